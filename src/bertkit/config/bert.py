"""BertConfig and its `config.json`.

The names of the fields are those of Google's BERT and of all files since. Unknown keys of a file are kept as attributes and
written back. Unknown arguments of a caller raise ConfigError.
"""

from __future__ import annotations

import copy
import json
import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from bertkit import hub
from bertkit.arguments import without_defaults
from bertkit.config.names import INERT, NEVER_WRITTEN, WRITTEN_WHEN_SET
from bertkit.config.rules import ATTENTION, check, read_labels, read_pruned, without_old_labels
from bertkit.errors import ConfigError, UsageError, did_you_mean
from bertkit.hub import parse_object, read_text
from bertkit.hub.disk import whole_file

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
_MOST_BYTES = 64 * 2**20  # of a config.json: a million labels have a place in it


@dataclass(init=False, repr=False, eq=False)
class BertConfig:
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
    torchscript = False  # whether a forward returns a tuple, for torch.jit.trace
    _name_or_path = ""  # of the model
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

    @property
    def torch_dtype(self) -> str | None:
        """The same as `dtype`, by its older name."""
        return self.dtype

    @torch_dtype.setter
    def torch_dtype(self, dtype: str | None) -> None:
        self.dtype = dtype

    @property
    def use_return_dict(self) -> bool:
        """Whether a forward returns an output object instead of a tuple."""
        return self.return_dict and not self.torchscript

    @property
    def name_or_path(self) -> str:
        """The name or path that the model was loaded from; empty if it was not."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, name: object) -> None:
        vars(self)["_name_or_path"] = str(name)

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
        unused = _unused(overrides) if return_unused_kwargs else {}
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
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> BertConfig:
        """A configuration from a `config.json`, or from Google's `bert_config.json`."""
        return cls.from_dict(read_json(json_file))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | hub.Place,
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
        """The configuration of a model.

        name: a folder, a JSON file, a Hub id, a built-in model, or a Place of `hub.locate`.
        overrides: fields that replace those of the file: `BertConfig.from_pretrained(name, num_labels=3)`.
        return_unused_kwargs: return (configuration, unknown overrides) instead of raising ConfigError for them.
        trust_remote_code has no effect: no code of a model is ever run.
        """
        if overrides:
            overrides, older_token = without_defaults(overrides)
            token = older_token if token is None else token
        if isinstance(pretrained_model_name_or_path, hub.Place):
            place = pretrained_model_name_or_path
        else:
            place = hub.locate(
                pretrained_model_name_or_path,
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
        """The keys of a `config.json`, and the options that do not say where the file is."""
        where = {name: options.pop(name) for name in list(options) if name in _WHERE}
        place = hub.locate(pretrained_model_name_or_path, **where)
        return read_json(place.file or place.fetch(*FILES)), options

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

    def to_json_string(self, use_diff: bool = True) -> str:
        """The text of a `config.json`, keys sorted."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write `to_json_string` to a file."""
        self.validate()
        with whole_file(json_file_path) as file:
            file.write(self.to_json_string(use_diff).encode())

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        push_to_hub: bool = False,
        *,
        repo_id: str | None = None,
        token: bool | str | None = None,
    ) -> None:
        """Write `config.json` into a folder, which is created if it does not exist.

        push_to_hub, repo_id, token: also commit it to a repository of the Hub, by default of the folder's name.
        """
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).name, token=token)
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        self.to_json_file(Path(save_directory) / FILES[0])

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
        """Commit `config.json` to a repository of the Hub, which is created if it does not exist. See `push_to_hub` of models."""
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

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set several attributes."""
        for name, value in config_dict.items():
            setattr(self, name, value)

    def update_from_string(self, update_str: str) -> None:
        """Set several attributes from a text, each with its type: "hidden_dropout_prob=0.2,use_cache=false"."""
        for pair in update_str.split(","):
            name, _, text = pair.partition("=")
            if not hasattr(self, name):
                raise ConfigError(f"BertConfig has no {name!r}.{did_you_mean(name, vars(self))}")
            setattr(self, name, _read_as(type(getattr(self, name)), name, text))

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> BertConfig:
        """The configuration itself."""
        return self

    def __iter__(self) -> Iterator[str]:
        """The names of the fields, for `"vocab_size" in config`."""
        return iter(vars(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BertConfig):
            return NotImplemented
        mine, its = ({k: v for k, v in vars(c).items() if k not in NEVER_WRITTEN} for c in (self, other))
        return mine == its

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        return f"BertConfig {self.to_json_string()}"

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

_WHERE = ("revision", "subfolder", "cache_dir", "token", "force_download", "local_files_only")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file. Raises ConfigError if it is invalid."""
    return parse_object(read_text(path, _MOST_BYTES, ConfigError), str(path), ConfigError)


def _check_names(given: Iterable[str]) -> None:
    """Raise ConfigError for an argument that is neither a field nor one of INERT."""
    for name in given:
        if name not in _FIELDS and name not in INERT:
            near = did_you_mean(name, _FIELDS) or " See help(BertConfig)."
            raise ConfigError(f"BertConfig has no {name!r}.{near}")


_FIELDS = frozenset(f.name for f in fields(BertConfig)) | {"num_labels", "torch_dtype"}


def _unused(given: dict[str, Any]) -> dict[str, Any]:
    """Remove the unknown arguments from the given ones, and return them."""
    return {name: given.pop(name) for name in list(given) if name not in _FIELDS and name not in INERT}


def _read_as(kind: type, name: str, text: str) -> Any:
    """A text converted to a type, for update_from_string."""
    if kind is bool and text.lower() in ("true", "1", "y", "yes", "false", "0", "n", "no"):
        return text.lower() in ("true", "1", "y", "yes")
    if kind in (int, float, str):
        return kind(text)
    raise ConfigError(f"{name}={text} cannot be set from a text: set config.{name} instead.")


def _other_model(who: str, model_type: object) -> ConfigError:
    return ConfigError(f"{who} has model_type {model_type!r:.80}, and bertkit supports only 'bert'.")
