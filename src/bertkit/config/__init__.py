"""BertConfig: the fields of a BERT (bert), their values (rules), and the other names of a `config.json` (names)."""

from bertkit.config.bert import CONFIG_MAPPING, SIZES, AutoConfig, BertConfig
from bertkit.config.rules import ACTIVATIONS, ATTENTION
from bertkit.config.shared import FILES, read_json

__all__ = ["ACTIVATIONS", "ATTENTION", "CONFIG_MAPPING", "FILES", "SIZES", "AutoConfig", "BertConfig", "read_json"]
