"""BertConfig: what a BERT is made of, and the `config.json` that says so.

The names are Google's, and every BERT file of the last years uses them. A field that a file has and BERT does not is kept as
an attribute and written back; a name that a caller misspells is refused.
"""

from __future__ import annotations

import copy
import json
import math
import operator
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar

from bertkit import hub
from bertkit.arguments import without_defaults
from bertkit.errors import ConfigError, UsageError, did_you_mean
from bertkit.hub import parse_object, read_text
from bertkit.hub.disk import whole_file

_Range = tuple[tuple[type[Any], ...], float, float, str]

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")
"""`gelu` is the exact one (erf), `gelu_new` and `gelu_pytorch_tanh` its tanh approximation, `swish` another name of `silu`."""

ATTENTION = ("sdpa", "eager", "flash_attention_2")
"""How attention is computed: by fused kernels, or as it is written in the paper. The last is another name of the first."""

POSITIONS = ("absolute", "relative_key", "relative_key_query")
PROBLEMS = (None, "regression", "single_label_classification", "multi_label_classification")

# Google's published sizes: layers, width, heads. The feed-forward layer is four times as wide.
SIZES = {
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}

FILES = ("config.json", "bert_config.json")

# What a number may be: its types, the least, the most, and how a message says so. No bool, which Python counts among them.
# What has a most is what a few bytes of a file could make endless.
_MOST_LAYERS, _MOST_LABELS = 9_999, 1_000_000
_LARGEST = sys.float_info.max
_COUNT: _Range = ((int,), 1, 2**31 - 1, "a whole number from 1 to 2,147,483,647")
_CHANCE: _Range = ((int, float), 0, math.nextafter(1, 0), "a number from 0 up to, not including, 1")
_RANGES: dict[str, _Range] = {
    "vocab_size": _COUNT,
    "hidden_size": _COUNT,
    "num_hidden_layers": ((int,), 1, _MOST_LAYERS, f"a whole number from 1 to {_MOST_LAYERS:,}"),
    "num_attention_heads": _COUNT,
    "intermediate_size": _COUNT,
    "max_position_embeddings": _COUNT,
    "type_vocab_size": _COUNT,
    "hidden_dropout_prob": _CHANCE,
    "attention_probs_dropout_prob": _CHANCE,
    "classifier_dropout": ((int, float, NoneType), *_CHANCE[1:3], f"None or {_CHANCE[3]}"),
    "initializer_range": ((int, float), 0, _LARGEST, "a number, 0 or above"),
    "layer_norm_eps": ((int, float), math.nextafter(0, 1), _LARGEST, "a number above 0"),
    "chunk_size_feed_forward": ((int,), 0, math.inf, "a whole number, 0 or above"),
}
_SWITCH = (True, False, None)  # a file's null is no, as everywhere
_CHOICES: dict[str, tuple[object, ...]] = {
    "hidden_act": ACTIVATIONS,
    "position_embedding_type": POSITIONS,
    "problem_type": PROBLEMS,
    **dict.fromkeys(("is_decoder", "add_cross_attention", "use_cache", "tie_word_embeddings"), _SWITCH),
    **dict.fromkeys(("output_hidden_states", "return_dict"), _SWITCH),
}
_MOST_BYTES = 64 * 2**20  # of a config.json: a million labels have a place in it

# Fields that a file needs only where they differ from their default; BERT's other fields are always written.
_WRITTEN_WHEN_SET = frozenset(
    [
        "pruned_heads",
        "chunk_size_feed_forward",
        "id2label",
        "label2id",
        "problem_type",
        "output_hidden_states",
        "output_attentions",
        "return_dict",
        "architectures",
        "dtype",
    ]
)

# Of this process, and not of the model: no file has them.
_NEVER_WRITTEN = frozenset(["_name_or_path", "_attn_implementation_internal"])

# Names that files and users of other libraries pass along: kept, not refused. Those that BERT has a use for are properties.
INERT = frozenset(
    [
        "_attn_implementation",
        "_attn_implementation_internal",
        "_commit_hash",
        "_name_or_path",
        "attn_implementation",
        "bad_words_ids",
        "begin_suppress_tokens",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "directionality",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "is_encoder_decoder",
        "length_penalty",
        "max_length",
        "min_length",
        "model_type",
        "name_or_path",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_past",
        "output_scores",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "prefix",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
    ]
)


@dataclass(init=False, repr=False, eq=False)
class BertConfig:
    """The shape of a BERT, its labels, and how it is trained.

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
    hidden_size: int = 768  # H: width of a token everywhere between the layers
    num_hidden_layers: int = 12  # L
    num_attention_heads: int = 12  # they share the width evenly
    intermediate_size: int = 3072  # I: width inside the feed-forward part of a layer
    hidden_act: str = "gelu"  # one of ACTIVATIONS
    max_position_embeddings: int = 512  # P: the longest input
    type_vocab_size: int = 2  # T: first and second sentence
    layer_norm_eps: float = 1e-12  # far below the default of any framework, and it matters in float16
    position_embedding_type: str = "absolute"  # one of POSITIONS
    tie_word_embeddings: bool = True  # the vocabulary projection is the word embedding
    pruned_heads: dict[int, list[int]] = field(default_factory=dict)  # layer -> heads that were removed

    # Decoding.
    is_decoder: bool = False  # a token attends to those before it only
    add_cross_attention: bool = False  # and to the states of an encoder
    use_cache: bool = True  # keep keys and values between steps

    # Training.
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None  # None: as hidden_dropout_prob
    initializer_range: float = 0.02  # standard deviation of fresh weights
    chunk_size_feed_forward: int = 0  # rows that the feed-forward part takes at a time; 0: all

    # Special tokens.
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    # Labels. `num_labels` is their number.
    id2label: dict[int, str] = field(default_factory=dict)  # where nothing is given: {0: "LABEL_0", 1: "LABEL_1"}
    label2id: dict[str, int] = field(default_factory=dict)  # the inverse
    problem_type: str | None = None  # one of PROBLEMS; None: told by the labels

    # What a forward returns when the call does not say.
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True

    # The files beside this one.
    architectures: list[str] | None = None  # the class that was saved, such as ["BertForMaskedLM"]
    dtype: str | None = None  # the type of the saved weights, such as "float32"

    model_type = "bert"
    is_encoder_decoder: ClassVar[bool] = False  # which a file may say too
    torchscript = False  # a forward returns a tuple, as torch.jit.trace wants it
    _name_or_path = ""  # what it was read from
    _attn_implementation_internal = None

    def __init__(self, **given: Any) -> None:
        _check_names(given)
        self._assign(given)

    def _assign(self, given: Mapping[str, Any]) -> None:
        """Set every field, to its default where nothing is given, then check the whole."""
        if given.get("model_type") not in (None, "bert"):
            raise _other_model("The configuration", given["model_type"])
        values = {k: value for k, value in given.items() if k not in ("model_type", "num_labels", "torch_dtype")}
        values |= _labels(given.get("num_labels"), given.get("id2label"), given.get("label2id"))
        values["pruned_heads"] = _pruned(given["pruned_heads"]) if given.get("pruned_heads") else {}
        dtype = given.get("dtype") or given.get("torch_dtype")
        values["dtype"] = None if dtype is None else str(dtype).removeprefix("torch.")
        for f in fields(self):
            default = f.default if f.default_factory is MISSING else f.default_factory()
            setattr(self, f.name, values.pop(f.name, default))
        for name, value in values.items():
            if hasattr(type(self), name) and name not in INERT:
                raise ConfigError(
                    f"A configuration cannot have a key {name!r:.80}, which BertConfig uses itself: rename it."
                )
            setattr(self, name, value)
        self.validate()

    # Labels and other spellings.

    @property
    def num_labels(self) -> int:
        """C, the number of labels. Setting another number renames them LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if count != len(self.id2label):
            vars(self).update(_labels(count, None, None))

    @property
    def torch_dtype(self) -> str | None:
        """The older name of `dtype`."""
        return self.dtype

    @torch_dtype.setter
    def torch_dtype(self, dtype: str | None) -> None:
        self.dtype = dtype

    @property
    def use_return_dict(self) -> bool:
        """Whether a forward returns an output object rather than a tuple."""
        return self.return_dict and not self.torchscript

    @property
    def name_or_path(self) -> str:
        """What the model was loaded from; empty where it was made here."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, name: object) -> None:
        vars(self)["_name_or_path"] = str(name)

    def _set_attention(self, name: str | None) -> None:
        if name not in (None, *ATTENTION):
            near = did_you_mean(str(name), ATTENTION)
            raise ConfigError(f"attn_implementation is {name!r}, and must be sdpa or eager.{near}")
        vars(self)["_attn_implementation_internal"] = name

    _attn_implementation = property(operator.attrgetter("_attn_implementation_internal"), _set_attention)
    attn_implementation = property(operator.attrgetter("_attn_implementation_internal"), _set_attention)

    # Where configurations come from.

    @classmethod
    def named(cls, size: str, **given: Any) -> BertConfig:
        """One of Google's published sizes: tiny, mini, small, medium, base or large.

        >>> BertConfig.named("mini").hidden_size
        256
        """
        if size not in SIZES:
            near = did_you_mean(str(size), SIZES)
            raise ConfigError(f"There is no size {size!r}; the sizes are {', '.join(SIZES)}.{near}")
        layers, width, heads = SIZES[size]
        shape = {
            "num_hidden_layers": layers,
            "hidden_size": width,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
        }
        return cls(**(shape | given))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], return_unused_kwargs: bool = False, **overrides: Any) -> BertConfig:
        """A configuration from the keys of a `config.json`. Keys that BERT does not know are kept as attributes.

        `overrides` are checked as the arguments of `BertConfig` are.
        return_unused_kwargs: return (configuration, the overrides that are no fields of it) rather than refuse these.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"A configuration is made of a dict of its fields, and {values!r:.80} came.")
        unused = _unused(overrides) if return_unused_kwargs else {}
        if overrides:
            _check_names(overrides)
            values = {**_without_old_labels(values, overrides), **overrides}
        config = cls.__new__(cls)
        config._assign(values)
        return (config, unused) if return_unused_kwargs else config  # type: ignore[return-value]

    @classmethod
    def of(cls, config: Any, made: str = "A model") -> BertConfig:
        """A configuration of ours as it is, one of transformers' taken over.

        >>> config = BertConfig()
        >>> BertConfig.of(config) is config
        True
        """
        if isinstance(config, BertConfig):
            return config
        if isinstance(config, str) or not callable(getattr(config, "to_dict", None)):
            received = repr(config) if isinstance(config, str) else f"a {type(config).__name__}"
            raise UsageError(
                f"{made} is made of a BertConfig, and received {received}: for trained weights write "
                f"{made}.from_pretrained(name), for random ones {made}(BertConfig(...))."
            )
        attention = getattr(config, "_attn_implementation", None)
        return cls.from_dict(config.to_dict() | ({"attn_implementation": attention} if attention else {}))

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str]) -> BertConfig:
        """A configuration from a `config.json`, or from a `bert_config.json` of Google's."""
        return cls.from_dict(read_json(path))

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] | hub.Place,
        *,
        revision: str = "main",
        subfolder: str = "",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        trust_remote_code: bool | None = False,
        return_unused_kwargs: bool = False,
        **overrides: Any,
    ) -> BertConfig:
        """The configuration of a model: a directory, a JSON file, a Hub id, a built-in model, or what `hub.locate` made of one.

        `overrides` replace what the file says: `BertConfig.from_pretrained(name, num_labels=3)`. trust_remote_code changes
        nothing: no code is ever run.
        return_unused_kwargs: return (configuration, the overrides that are no fields of it) rather than refuse these.
        """
        if overrides:
            overrides, older_token = without_defaults(overrides)
            token = older_token if token is None else token
        if isinstance(name, hub.Place):
            place = name
        else:
            place = hub.locate(
                name,
                revision=revision or "main",
                subfolder=subfolder or "",
                cache_dir=cache_dir,
                token=token,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        named = place.file and place.file.suffix == ".json" and ".index." not in place.file.name
        path = place.file if place.file and named else place.fetch(*FILES)
        values = parse_object(read_text(path, _MOST_BYTES, ConfigError), str(path), ConfigError)
        if values.get("model_type") not in (None, "bert"):
            raise _other_model(str(path), values["model_type"])
        unused = _unused(overrides) if return_unused_kwargs else {}
        try:
            config = cls.from_dict(values, **overrides)
        except ConfigError as error:
            raise error if overrides else ConfigError(f"{path}: {error}") from error
        config._name_or_path = place.name
        return (config, unused) if return_unused_kwargs else config  # type: ignore[return-value]

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The keys of a `config.json` as the file has them, and those of the options that do not say where it is."""
        where = {name: options.pop(name) for name in list(options) if name in _WHERE}
        place = hub.locate(pretrained_model_name_or_path, **where)
        return read_json(place.file or place.fetch(*FILES)), options

    # Where they go.

    def to_dict(self) -> dict[str, Any]:
        """All fields, with those that a file brought along."""
        return {"model_type": self.model_type, **copy.deepcopy(vars(self))}

    def to_diff_dict(self) -> dict[str, Any]:
        """What a file has to say: BERT's own fields always, the others where they differ from their default.

        >>> BertConfig(num_labels=3).to_diff_dict().keys() - BertConfig().to_diff_dict().keys() == {"id2label", "label2id"}
        True
        """
        default = vars(BertConfig())
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in _NEVER_WRITTEN and (name not in _WRITTEN_WHEN_SET or value != default[name])
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """The text of a `config.json`, keys sorted."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write the text of `to_json_string` to a file."""
        self.validate()
        with whole_file(path) as file:
            file.write(self.to_json_string(use_diff).encode())

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write `config.json` into a directory, which is made where there is none."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.to_json_file(Path(directory) / FILES[0])

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> Any:
        """Commit `config.json` to a repository of the Hub, which is made where there is none. See `push_to_hub` of models."""
        from bertkit.hub.upload import push

        return push(
            self.save_pretrained,
            repo_id,
            commit_message=commit_message or "Upload config",
            commit_description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
        )

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several attributes at once."""
        for name, value in values.items():
            setattr(self, name, value)

    def update_from_string(self, update_str: str) -> None:
        """Set several attributes, each of the type that it has: "hidden_dropout_prob=0.2,use_cache=false"."""
        for pair in update_str.split(","):
            name, _, text = pair.partition("=")
            if not hasattr(self, name):
                raise ConfigError(f"BertConfig has no {name!r}.{did_you_mean(name, vars(self))}")
            setattr(self, name, _read_as(type(getattr(self, name)), name, text))

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> BertConfig:
        """The configuration itself: BERT is text alone."""
        return self

    def __iter__(self) -> Iterator[str]:
        """The names of the fields, so that `"vocab_size" in config`."""
        return iter(vars(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BertConfig):
            return NotImplemented
        mine, its = ({k: v for k, v in vars(c).items() if k not in _NEVER_WRITTEN} for c in (self, other))
        return mine == its

    __hash__ = None  # type: ignore[assignment]  # its fields can be set

    def __repr__(self) -> str:
        return f"BertConfig {self.to_json_string()}"

    # What cannot be.

    def validate(self) -> None:
        """Refuse a configuration that cannot be. Called when one is made, read or written, and when a model is made of it."""
        if self._attn_implementation_internal is not None:
            self._attn_implementation = self._attn_implementation_internal
        if self.pruned_heads:
            self.pruned_heads = _pruned(self.pruned_heads)
        for name, (types, least, most, accepted) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, types) and not isinstance(value, bool) and (value is None or least <= value <= most):
                continue
            raise ConfigError(f"{name} is {value!r:.80}, and must be {accepted}.")
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                words = [c for c in choices if isinstance(c, str)]
                near = did_you_mean(value[:80], words) if isinstance(value, str) else ""
                raise ConfigError(f"{name} is {value!r:.80}, and must be one of {', '.join(map(str, choices))}.{near}")
        for sentence in self._contradictions():
            raise ConfigError(sentence)

    def _contradictions(self) -> Iterator[str]:
        """What does not go together, a sentence for each."""
        layers, heads, labels = self.num_hidden_layers, self.num_attention_heads, self.id2label
        if self.hidden_size % heads:
            yield (
                f"hidden_size {self.hidden_size} cannot be shared by num_attention_heads {heads}: "
                f"choose a width that is a multiple of the heads, such as {self._divisible_width()}."
            )
        for layer, gone in self.pruned_heads.items():
            if not 0 <= layer < layers or any(not 0 <= head < heads for head in gone):
                yield (
                    f"pruned_heads names {gone!r:.80} of layer {layer}; layers are 0 to {layers - 1} and heads 0 to {heads - 1}."
                )
        pad = self.pad_token_id
        if pad is not None and not (type(pad) is int and 0 <= pad < self.vocab_size):
            yield f"pad_token_id is {pad!r:.80}, and must be None or below vocab_size {self.vocab_size}."
        for name in ("bos_token_id", "eos_token_id"):
            given = getattr(self, name)
            if not all(type(token) is int for token in (given if isinstance(given, list) else [given or 0])):
                yield f"{name} is {given!r:.80}, and must be None or the number of a token."
        if labels.keys() != set(range(len(labels))):
            numbers = ", ".join(map(str, sorted(labels)[:8])) + (", ..." if len(labels) > 8 else "")
            yield (
                f"id2label names the labels {numbers}, and {len(labels)} labels are numbered from 0 to {len(labels) - 1}: "
                "number them so, or give num_labels alone."
            )
        for label in labels.values():
            if not isinstance(label, (str, int, float)):
                yield f"id2label has the label {label!r:.80}, and a label must be a text."
        if self.add_cross_attention and not self.is_decoder:
            yield "add_cross_attention=True is for decoders: add is_decoder=True."
        classes = self.architectures
        if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
            yield f"architectures is {classes!r:.80}, and must be None or names of classes: ['BertForMaskedLM']."

    def _divisible_width(self) -> int:
        heads = self.num_attention_heads
        return max(1, round(self.hidden_size / heads)) * heads


class AutoConfig:
    """BertConfig under the name that code for many models uses. Another model is refused by name."""

    from_pretrained = BertConfig.from_pretrained

    @staticmethod
    def for_model(model_type: str, **given: Any) -> BertConfig:
        """The configuration class of a model type, which here is "bert"."""
        if model_type not in (None, "bert"):
            raise _other_model("AutoConfig.for_model", model_type)
        return BertConfig(**given)


CONFIG_MAPPING: dict[str, type[BertConfig]] = {"bert": BertConfig}
"""Configuration classes by model type."""

_WHERE = ("revision", "subfolder", "cache_dir", "token", "force_download", "local_files_only")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file, or a ConfigError that says what is wrong with it."""
    return parse_object(read_text(path, _MOST_BYTES, ConfigError), str(path), ConfigError)


def _check_names(given: Iterable[str]) -> None:
    """Refuses an argument that is no field of ours, nor a name that others pass along."""
    for name in given:
        if name not in _FIELDS and name not in INERT:
            near = did_you_mean(name, _FIELDS) or " See help(BertConfig)."
            raise ConfigError(f"BertConfig has no {name!r}.{near}")


_FIELDS = frozenset(f.name for f in fields(BertConfig)) | {"num_labels", "torch_dtype"}


def _unused(given: dict[str, Any]) -> dict[str, Any]:
    """Takes the arguments that are no fields out of the given ones."""
    return {name: given.pop(name) for name in list(given) if name not in _FIELDS and name not in INERT}


def _read_as(kind: type, name: str, text: str) -> Any:
    """A text as a value of a type, for update_from_string."""
    if kind is bool and text.lower() in ("true", "1", "y", "yes", "false", "0", "n", "no"):
        return text.lower() in ("true", "1", "y", "yes")
    if kind in (int, float, str):
        return kind(text)
    raise ConfigError(f"{name}={text} cannot be read from a text: set config.{name} itself.")


def _other_model(who: str, model_type: object) -> ConfigError:
    return ConfigError(f"{who} is of model_type {model_type!r:.80}. bertkit is BERT alone: it takes model_type 'bert'.")


def _labels(
    count: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, Any] | None
) -> dict[str, dict[int, str] | dict[str, int]]:
    """Both mappings, from whichever of the three is given."""
    if isinstance(count, int) and count > _MOST_LABELS:
        raise ConfigError(f"num_labels is {count!r:.80}, and {_MOST_LABELS:,} is the most that bertkit takes.")
    try:
        if id2label:
            names = {int(i): label for i, label in id2label.items()}
        elif label2id:
            names = {int(i): label for label, i in label2id.items()}
        else:
            names = {i: f"LABEL_{i}" for i in range(2 if count is None else count)}
        pairs = label2id.items() if label2id else [(label, i) for i, label in names.items()]
        numbers = {label: int(i) for label, i in pairs}
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"Labels are {{0: 'first', 1: 'second', ...}} in id2label, or a num_labels above 0: {error}."
        ) from error
    if len(names) > _MOST_LABELS:
        raise ConfigError(f"There are {len(names)} labels, and {_MOST_LABELS:,} is the most that bertkit takes.")
    if not names or (count is not None and count != len(names)):
        raise ConfigError(
            f"num_labels is {count!r:.80}, and id2label has {len(names)}: give one of them, or let them agree."
        )
    return {"id2label": names, "label2id": numbers}


def _pruned(heads: Any) -> dict[int, list[int]]:
    try:
        if any(isinstance(of_layer, str) for of_layer in heads.values()):
            raise TypeError("a text is no list of heads")
        return {int(layer): sorted({int(head) for head in of_layer}) for layer, of_layer in heads.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"pruned_heads is {heads!r:.80}, and must be like {{0: [2, 5]}}: a layer and its heads."
        ) from error


def _without_old_labels(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A file's labels make way for others, or for another number of them; else they keep their names."""
    count = overrides.get("num_labels")
    if not overrides.keys() & {"id2label", "label2id"} and count in (None, len(values.get("id2label") or ())):
        return dict(values)
    return {name: value for name, value in values.items() if name not in ("num_labels", "id2label", "label2id")}
