"""The table: every parameter of BERT, once.

A row is a name, a shape and a kind. The rest is derived from it: the name of the parameter in each kind of checkpoint,
whether it is transposed there, its initial value and its weight decay in training.

    V vocabulary   H hidden   I intermediate   P positions   T token types   C labels
    D width of a head   A = D times the heads of a layer that are not pruned   R = 2P - 1 distances

`{}` in a name is the number of the layer. Names are those of Hugging Face's files today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.config import BertConfig
from bertkit.heads import HEADS, PARTS

Kind = Literal["embedding", "dense", "norm", "bias"]
Naming = Literal["huggingface", "legacy", "google", "google2", "keras", "flax"]
"""The conventions of the names in files. `legacy` is the first one of Hugging Face, with gamma and beta."""


@dataclass(frozen=True)
class ParameterRow:
    """One parameter, or the same parameter of every layer."""

    name: str
    shape: str
    kind: Kind
    google2: str  # its module in Google's TF2 checkpoints, empty if they cannot store it
    google: str = ""  # its name in Google's TF1 checkpoints, if it does not follow LEAVES
    alias: str = ""  # a second name of the same tensor, unless the configuration unties them


_ATTENTION = "bert.encoder.layer.{}.attention."
_LAYER = "bert.encoder.layer.{}."
_LAYER2 = "_transformer_layers/{}/"

# fmt: off
TABLE: tuple[ParameterRow, ...] = (
    ParameterRow("bert.embeddings.word_embeddings.weight",        "V H", "embedding", "_embedding_layer", alias="cls.predictions.decoder.weight"),
    ParameterRow("bert.embeddings.position_embeddings.weight",    "P H", "embedding", "_position_embedding_layer"),
    ParameterRow("bert.embeddings.token_type_embeddings.weight",  "T H", "embedding", "_type_embedding_layer"),
    ParameterRow("bert.embeddings.LayerNorm.weight",              "H",   "norm",      "_embedding_norm_layer"),
    ParameterRow("bert.embeddings.LayerNorm.bias",                "H",   "bias",      "_embedding_norm_layer"),
    ParameterRow(_ATTENTION + "self.query.weight",                "A H", "dense",     _LAYER2 + "_attention_layer/_query_dense"),
    ParameterRow(_ATTENTION + "self.query.bias",                  "A",   "bias",      _LAYER2 + "_attention_layer/_query_dense"),
    ParameterRow(_ATTENTION + "self.key.weight",                  "A H", "dense",     _LAYER2 + "_attention_layer/_key_dense"),
    ParameterRow(_ATTENTION + "self.key.bias",                    "A",   "bias",      _LAYER2 + "_attention_layer/_key_dense"),
    ParameterRow(_ATTENTION + "self.value.weight",                "A H", "dense",     _LAYER2 + "_attention_layer/_value_dense"),
    ParameterRow(_ATTENTION + "self.value.bias",                  "A",   "bias",      _LAYER2 + "_attention_layer/_value_dense"),
    ParameterRow(_ATTENTION + "self.distance_embedding.weight",   "R D", "embedding", ""),
    ParameterRow(_ATTENTION + "output.dense.weight",              "H A", "dense",     _LAYER2 + "_attention_layer/_output_dense"),
    ParameterRow(_ATTENTION + "output.dense.bias",                "H",   "bias",      _LAYER2 + "_attention_layer/_output_dense"),
    ParameterRow(_ATTENTION + "output.LayerNorm.weight",          "H",   "norm",      _LAYER2 + "_attention_layer_norm"),
    ParameterRow(_ATTENTION + "output.LayerNorm.bias",            "H",   "bias",      _LAYER2 + "_attention_layer_norm"),
    ParameterRow(_LAYER + "intermediate.dense.weight",            "I H", "dense",     _LAYER2 + "_intermediate_dense"),
    ParameterRow(_LAYER + "intermediate.dense.bias",              "I",   "bias",      _LAYER2 + "_intermediate_dense"),
    ParameterRow(_LAYER + "output.dense.weight",                  "H I", "dense",     _LAYER2 + "_output_dense"),
    ParameterRow(_LAYER + "output.dense.bias",                    "H",   "bias",      _LAYER2 + "_output_dense"),
    ParameterRow(_LAYER + "output.LayerNorm.weight",              "H",   "norm",      _LAYER2 + "_output_layer_norm"),
    ParameterRow(_LAYER + "output.LayerNorm.bias",                "H",   "bias",      _LAYER2 + "_output_layer_norm"),
    ParameterRow("bert.pooler.dense.weight",                      "H H", "dense",     "_pooler_layer"),
    ParameterRow("bert.pooler.dense.bias",                        "H",   "bias",      "_pooler_layer"),
    ParameterRow("cls.predictions.transform.dense.weight",        "H H", "dense",     "masked_lm/dense"),
    ParameterRow("cls.predictions.transform.dense.bias",          "H",   "bias",      "masked_lm/dense"),
    ParameterRow("cls.predictions.transform.LayerNorm.weight",    "H",   "norm",      "masked_lm/layer_norm"),
    ParameterRow("cls.predictions.transform.LayerNorm.bias",      "H",   "bias",      "masked_lm/layer_norm"),
    ParameterRow("cls.predictions.bias",                          "V",   "bias",      "masked_lm/output_bias", google="cls/predictions/output_bias", alias="cls.predictions.decoder.bias"),
    ParameterRow("cls.seq_relationship.weight",                   "2 H", "dense",     "next_sentence/out_proj", google="cls/seq_relationship/output_weights"),
    ParameterRow("cls.seq_relationship.bias",                     "2",   "bias",      "next_sentence/out_proj", google="cls/seq_relationship/output_bias"),
    ParameterRow("classifier.weight",                             "C H", "dense",     "", google="output_weights"),
    ParameterRow("classifier.bias",                               "C",   "bias",      "", google="output_bias"),
    ParameterRow("qa_outputs.weight",                             "2 H", "dense",     "", google="cls/squad/output_weights"),
    ParameterRow("qa_outputs.bias",                               "2",   "bias",      "", google="cls/squad/output_bias"),
)
# fmt: on

LEAVES: dict[Naming, dict[str, str]] = {
    "huggingface": {"embedding": "weight", "dense": "weight", "norm": "weight", "shift": "bias", "bias": "bias"},
    "legacy": {"embedding": "weight", "dense": "weight", "norm": "gamma", "shift": "beta", "bias": "bias"},
    "google": {"embedding": "", "dense": "kernel", "norm": "gamma", "shift": "beta", "bias": "bias"},
    "google2": {"embedding": "embeddings", "dense": "kernel", "norm": "gamma", "shift": "beta", "bias": "bias"},
    "keras": {"embedding": "embeddings", "dense": "kernel", "norm": "gamma", "shift": "beta", "bias": "bias"},
    "flax": {"embedding": "embedding", "dense": "kernel", "norm": "scale", "shift": "bias", "bias": "bias"},
}
"""{naming: {kind: last part of a name}}. The bias of a norm has the kind "shift"."""


class Initial(NamedTuple):
    """How a new parameter is initialized: with normally distributed values, or all with the mean if the deviation is 0."""

    mean: float = 0.0
    deviation: float = 0.0
    zero_row: int | None = None  # the number of a row of zeros


@dataclass(frozen=True)
class Parameter:
    """A row of the table for one configuration and one layer."""

    name: str
    shape: tuple[int, ...]
    row: ParameterRow
    layer: int | None = None

    def spelled(self, naming: Naming) -> str:
        """Return its name in the files of a naming, empty if they cannot store it."""
        return self._of_layer(spelling(self.row, naming))

    def path(self, naming: Naming) -> str:
        """Return its path in a model of the framework, even if files of the framework cannot store it."""
        return self._of_layer(path(self.row, naming))

    def _of_layer(self, name: str) -> str:
        return (crossed(name) if ".crossattention." in self.name else name).format(self.layer)

    @property
    def kind(self) -> Kind:
        """One of embedding, dense, norm, bias."""
        return self.row.kind

    @property
    def decays(self) -> bool:
        """Whether weight decay applies to it in training: to matrices, but not to norms and biases."""
        return self.kind in ("embedding", "dense")

    def initial(self, config: BertConfig) -> Initial:
        """How it is initialized: matrices normal around zero, the row of the padding token zero, norms one, biases zero."""
        if self.kind in ("norm", "bias"):
            return Initial(mean=float(self.kind == "norm"))
        padding = config.pad_token_id if self.name.endswith("word_embeddings.weight") else None
        return Initial(deviation=config.initializer_range, zero_row=padding)


def expand(config: BertConfig, head: str | None = None) -> dict[str, Parameter]:
    """Return every parameter of a class, in the order of the table. Without a head: those of all heads.

    >>> config = BertConfig.named("tiny")
    >>> parameters = expand(config, "ForMaskedLM")
    >>> len(parameters), parameters["cls.predictions.bias"].shape
    (42, (30522,))
    """
    hidden, heads, positions = config.hidden_size, config.num_attention_heads, config.max_position_embeddings
    sizes = {
        "V": config.vocab_size,
        "H": hidden,
        "I": config.intermediate_size,
        "P": positions,
        "T": config.type_vocab_size,
        "C": (HEADS[head].classes if head else None) or len(config.id2label),
        "D": hidden // heads,
        "R": 2 * positions - 1,
        "2": 2,
    }
    kept = [heads - len(config.pruned_heads.get(layer, ())) for layer in range(config.num_hidden_layers)]
    absent = () if head is None else tuple(part for part in PARTS if part not in HEADS[head].parts)
    found = {}
    for row in TABLE:
        symbols = row.shape.split()
        if row.name.startswith(absent) or ("R" in symbols and config.position_embedding_type == "absolute"):
            continue
        templates = [row.name]
        if config.add_cross_attention and ".attention." in row.name and "R" not in symbols:
            templates.append(crossed(row.name))
        for layer in range(config.num_hidden_layers) if "{}" in row.name else [None]:
            for template in templates:
                # Only the self-attention of a layer is pruned.
                sizes["A"] = sizes["D"] * (heads if layer is None or template != row.name else kept[layer])
                name = template.format(layer)
                found[name] = Parameter(name, tuple(sizes[symbol] for symbol in symbols), row, layer)
    if not config.tie_word_embeddings and "cls.predictions." not in absent:
        table = found["bert.embeddings.word_embeddings.weight"]
        found[table.row.alias] = Parameter(table.row.alias, table.shape, UNTIED)
    return found


def kept_heads(config: BertConfig, layer: int | None) -> list[int]:
    """Return the numbers of the heads of a layer that are not pruned.

    >>> kept_heads(BertConfig.named("mini", pruned_heads={3: [0, 2]}), 3)
    [1, 3]
    """
    pruned = [] if layer is None else config.pruned_heads.get(layer, [])
    return [head for head in range(config.num_attention_heads) if head not in pruned]


UNTIED = ParameterRow("cls.predictions.decoder.weight", "V H", "dense", "")
"""The vocabulary projection of a model that does not share its word embedding with it."""


def crossed(name: str) -> str:
    """Return the name in the cross-attention for a name in the self-attention."""
    return name.replace("attention", "crossattention", 1)


def spelling(row: ParameterRow, naming: Naming) -> str:
    """Return the name of a row in the files of a naming, with `{}` for the layer. Empty if they cannot store it.

    >>> query = next(row for row in TABLE if row.name.endswith("query.weight"))
    >>> spelling(query, "google")
    'bert/encoder/layer_{}/attention/self/query/kernel'
    >>> spelling(query, "keras")
    'bert/encoder/layer_._{}/attention/self/query/kernel'
    """
    if naming not in ("huggingface", "legacy"):
        if naming != "flax" and ("distance_embedding" in row.name or row is UNTIED):
            return ""
        if naming == "google2":
            return f"{row.google2}/{LEAVES[naming][_kind(row)]}" if row.google2 else ""
        if naming == "google" and row.google:
            return row.google
        if naming == "keras" and "word_embeddings" in row.name:
            return path(row, naming).replace("embeddings/embeddings", "embeddings/weight")
    return path(row, naming)


def path(row: ParameterRow, naming: Naming) -> str:
    """Return the path of a row in a model: its modules and its last part, without the exceptions of `spelling`.

    >>> path(UNTIED, "keras")
    'mlm___cls/predictions/decoder/kernel'
    """
    module, leaf = row.name.rpartition(".")[0], LEAVES[naming][_kind(row)]
    if naming in ("huggingface", "legacy"):
        return f"{module}.{leaf}"
    place = module.replace(".", "/")
    if naming == "google":
        place = place.replace("layer/", "layer_")
    if naming == "keras":
        place = place.replace("layer/", "layer_._")
        place = place.replace("cls/pred", "mlm___cls/pred").replace("cls/seq", "nsp___cls/seq")
    return f"{place}/{leaf}".rstrip("/")


def _kind(row: ParameterRow) -> str:
    """The key of a row in LEAVES."""
    return "shift" if row.name.endswith("LayerNorm.bias") else row.kind


def transposed(row: ParameterRow, naming: Naming) -> bool:
    """Whether files of a naming have the matrix as [in, out]. The table has [out, in]."""
    return row.kind == "dense" and naming not in ("huggingface", "legacy") and not (naming == "google" and row.google)


def initial(parameter: Parameter, config: BertConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an initial value of a parameter, as `Parameter.initial` defines it."""
    return draw(parameter.initial(config), parameter.shape, rng)


def draw(initial: Initial, shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an initial value.

    >>> draw(Initial(mean=1.0), (3,), np.random.default_rng(0))
    array([1., 1., 1.], dtype=float32)
    """
    if not initial.deviation:
        return np.full(shape, initial.mean, np.float32)
    values = rng.standard_normal(shape, np.float32) * np.float32(initial.deviation)
    if initial.zero_row is not None:
        values[initial.zero_row] = 0
    return values
