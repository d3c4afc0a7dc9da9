"""BERT under the paths of transformers: `from bertkit.models.bert.modeling_bert import BertModel`.

The package also has the names of its modules. A module is imported on first use of one of its names.
"""

from __future__ import annotations

from importlib import import_module

_NAMES = {
    "configuration_bert": ("BertConfig", "BertOnnxConfig"),
    "modeling_bert": (
        "BertForMaskedLM",
        "BertForMultipleChoice",
        "BertForNextSentencePrediction",
        "BertForPreTraining",
        "BertForQuestionAnswering",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertLayer",
        "BertLMHeadModel",
        "BertModel",
        "BertPreTrainedModel",
        "load_tf_weights_in_bert",
    ),
    "tokenization_bert": ("BasicTokenizer", "BertTokenizer", "WordpieceTokenizer"),
    "tokenization_bert_fast": ("BertTokenizerFast",),
    "tokenization_bert_tf": ("TFBertTokenizer",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = (*_NAMES, "modeling_flax_bert", "modeling_tf_bert")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    home = _HOMES.get(name)
    if home is None and name.startswith("TFBert"):
        home = "modeling_tf_bert"
    if home is None and name.startswith("FlaxBert"):
        home = "modeling_flax_bert"
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, *_HOMES])
