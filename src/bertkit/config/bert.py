"""BertConfig and its `config.json`.

The names of the fields are those of Google's BERT and of all files since. Unknown keys of a file are kept as attributes and
written back. Unknown arguments of a caller raise ConfigError.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from bertkit.config.names import INERT, NEVER_WRITTEN, WRITTEN_WHEN_SET
from bertkit.config.rules import ATTENTION, check, read_labels, read_pruned, without_old_labels
from bertkit.config.shared import Configuration
from bertkit.errors import ConfigError, UsageError, did_you_mean

# Google's published sizes: layers, width, heads. The feed-forward layer is four times as wide.
SIZES = {
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}


@dataclass(init=False, repr=False, eq=False)
class BertConfig(Configuration):
    """The sizes of a BERT, its labels and its training settings.

    >>> config = BertConfig(num_hidden_layers=6, num_labels=3)
    >>> config.hidden_size, config.num_labels, config.id2label[2]
    (768, 3, 'LABEL_2')
    >>> BertConfig(hiden_size=128)
    Traceback (most recent call last):
    ...
    bertkit.errors.ConfigError: BertConfig has no 'hiden_size'. Did you mean 'hidden_size'?
    """

    # The network.
    vocab_size: int = 30522  # V: rows of the word embedding
    hidden_size: int = 768  # H: width of the states between the layers
    num_hidden_layers: int = 12  # L
    num_attention_heads: int = 12  # each has hidden_size / num_attention_heads
    intermediate_size: int = 3072  # I: width of the feed-forward part of a layer
    hidden_act: str = "gelu"  # one of ACTIVATIONS
    max_position_embeddings: int = 512  # P: the longest input
    type_vocab_size: int = 2  # T: first and second text
    layer_norm_eps: float = 1e-12  # far below the defaults of the frameworks; it matters in float16
    position_embedding_type: str = "absolute"  # one of POSITIONS
    tie_word_embeddings: bool = True  # whether the vocabulary projection is the word embedding
    pruned_heads: dict[int, list[int]] = field(default_factory=dict)  # layer -> removed heads

    # Decoding.
    is_decoder: bool = False  # a token attends only to itself and those before it
    add_cross_attention: bool = False  # a decoder also attends to the states of an encoder
    use_cache: bool = True  # return keys and values for the next step

    # Training.
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None  # None: hidden_dropout_prob
    initializer_range: float = 0.02  # standard deviation of initial weights
    chunk_size_feed_forward: int = 0  # tokens that the feed-forward part computes at a time; 0: all

    # Special tokens.
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    # Labels. `num_labels` is their number.
    id2label: dict[int, str] = field(default_factory=dict)  # default: {0: "LABEL_0", 1: "LABEL_1"}
    label2id: dict[str, int] = field(default_factory=dict)  # the inverse
    problem_type: str | None = None  # one of PROBLEMS; None: chosen by the labels

    # Defaults of the arguments of a forward.
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True

    # The weights that belong to the configuration.
    architectures: list[str] | None = None  # the saved class, such as ["BertForMaskedLM"]
    dtype: str | None = None  # of the saved weights, such as "float32"

    model_type = "bert"
    is_encoder_decoder: ClassVar[bool] = False  # may be in a file
    _attn_implementation_internal = None

    def __init__(self, **given: Any) -> None:
        _check_names(given)
        self._assign(given)

    def _assign(self, given: Mapping[str, Any]) -> None:
        """Set all fields, by default to their default values, and check them."""
        if given.get("model_type") not in (None, "bert"):
            raise _other_model("The configuration", given["model_type"])
        values = {k: value for k, value in given.items() if k not in ("model_type", "num_labels", "torch_dtype")}
        values |= read_labels(given.get("num_labels"), given.get("id2label"), given.get("label2id"))
        values["pruned_heads"] = read_pruned(given["pruned_heads"]) if given.get("pruned_heads") else {}
        dtype = given.get("dtype") or given.get("torch_dtype")
        values["dtype"] = None if dtype is None else str(dtype).removeprefix("torch.")
        for f in fields(self):
            default = f.default if f.default_factory is MISSING else f.default_factory()
            setattr(self, f.name, values.pop(f.name, default))
        for name, value in values.items():
            if hasattr(type(self), name) and name not in INERT:
                raise ConfigError(f"The key {name!r:.80} is the name of an attribute of BertConfig: rename it.")
            setattr(self, name, value)
        self.validate()

    # Labels and alternative names.

    @property
    def num_labels(self) -> int:
        """The number of labels, C. Setting another number renames them LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if count != len(self.id2label):
            vars(self).update(read_labels(count, None, None))

    def _set_attention(self, name: str | None) -> None:
        if name not in (None, *ATTENTION):
            near = did_you_mean(str(name), ATTENTION)
            raise ConfigError(f"attn_implementation is {name!r}, and must be 'sdpa' or 'eager'.{near}")
        vars(self)["_attn_implementation_internal"] = name

    _attn_implementation = property(operator.attrgetter("_attn_implementation_internal"), _set_attention)
    attn_implementation = property(operator.attrgetter("_attn_implementation_internal"), _set_attention)

    # Reading.

    @classmethod
    def named(cls, size: str, **given: Any) -> BertConfig:
        """One of Google's published sizes: tiny, mini, small, medium, base or large.

        >>> BertConfig.named("mini").hidden_size
        256
        """
        if size not in SIZES:
            near = did_you_mean(str(size), SIZES)
            raise ConfigError(f"Unknown size {size!r}: choose one of {', '.join(SIZES)}.{near}")
        layers, width, heads = SIZES[size]
        shape = {
            "num_hidden_layers": layers,
            "hidden_size": width,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
        }
        return cls(**(shape | given))

    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], return_unused_kwargs: bool = False, **overrides: Any
    ) -> BertConfig:
        """A configuration from the keys of a `config.json`. Unknown keys are kept as attributes.

        overrides: fields that replace those of the file. Unknown ones raise ConfigError.
        return_unused_kwargs: return (configuration, unknown overrides) instead.
        """
        if not isinstance(config_dict, Mapping):
            raise ConfigError(f"BertConfig.from_dict takes a dict of fields, not {config_dict!r:.80}.")
        unused = cls._unused(overrides) if return_unused_kwargs else {}
        if overrides:
            _check_names(overrides)
            config_dict = {**without_old_labels(config_dict, overrides), **overrides}
        config = cls.__new__(cls)
        config._assign(config_dict)
        return (config, unused) if return_unused_kwargs else config  # type: ignore[return-value]

    @classmethod
    def of(cls, config: Any, made: str = "A model") -> BertConfig:
        """A BertConfig unchanged, or a configuration of transformers as a BertConfig.

        >>> config = BertConfig()
        >>> BertConfig.of(config) is config
        True
        """
        if isinstance(config, BertConfig):
            return config
        if isinstance(config, str) or not callable(getattr(config, "to_dict", None)):
            received = repr(config) if isinstance(config, str) else f"a {type(config).__name__}"
            raise UsageError(
                f"{made} takes a BertConfig, not {received}: for trained weights type {made}.from_pretrained(name), for random "
                f"ones {made}(BertConfig(...))."
            )
        attention = getattr(config, "_attn_implementation", None)
        return cls.from_dict(config.to_dict() | ({"attn_implementation": attention} if attention else {}))

    @classmethod
    def _known_names(cls) -> frozenset[str]:
        return _FIELDS | INERT

    # Writing.

    def to_dict(self) -> dict[str, Any]:
        """All fields, with the unknown keys of a file."""
        return {"model_type": self.model_type, **copy.deepcopy(vars(self))}

    def to_diff_dict(self) -> dict[str, Any]:
        """The fields to write: those of BERT always, others if they differ from their default.

        >>> BertConfig(num_labels=3).to_diff_dict().keys() - BertConfig().to_diff_dict().keys() == {"id2label", "label2id"}
        True
        """
        default = vars(BertConfig())
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in NEVER_WRITTEN and (name not in WRITTEN_WHEN_SET or value != default[name])
        }

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> BertConfig:
        """The configuration itself."""
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BertConfig):
            return NotImplemented
        mine, its = ({k: v for k, v in vars(c).items() if k not in NEVER_WRITTEN} for c in (self, other))
        return mine == its

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def validate(self) -> None:
        """Raise ConfigError if the configuration is invalid. Called on creation, reading, writing, and by each model."""
        if self._attn_implementation_internal is not None:
            self._attn_implementation = self._attn_implementation_internal
        if self.pruned_heads:
            self.pruned_heads = read_pruned(self.pruned_heads)
        check(self)


class AutoConfig:
    """BertConfig for code that uses the Auto classes. Configurations of other models raise ConfigError."""

    from_pretrained = BertConfig.from_pretrained

    @staticmethod
    def for_model(model_type: str, **given: Any) -> BertConfig:
        """A configuration for a model type, which must be "bert"."""
        if model_type not in (None, "bert"):
            raise _other_model("AutoConfig.for_model", model_type)
        return BertConfig(**given)


CONFIG_MAPPING: dict[str, type[BertConfig]] = {"bert": BertConfig}
"""Configuration classes by model type."""


def _check_names(given: Iterable[str]) -> None:
    """Raise ConfigError for an argument that is neither a field nor one of INERT."""
    for name in given:
        if name not in _FIELDS and name not in INERT:
            near = did_you_mean(name, _FIELDS) or " See help(BertConfig)."
            raise ConfigError(f"BertConfig has no {name!r}.{near}")


_FIELDS = frozenset(f.name for f in fields(BertConfig)) | {"num_labels", "torch_dtype"}


def _other_model(who: str, model_type: object) -> ConfigError:
    return ConfigError(f"{who} has model_type {model_type!r:.80}, and bertkit supports only 'bert'.")
