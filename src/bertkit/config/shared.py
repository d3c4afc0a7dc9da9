"""What the configurations of one BERT and of two BERTs share: reading and writing `config.json`, and changing values."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bertkit import hub
from bertkit.arguments import without_defaults
from bertkit.errors import ConfigError, did_you_mean
from bertkit.hub import parse_object, read_text
from bertkit.hub.saving import SavesJson

if TYPE_CHECKING:
    from typing import Self

FILES = ("config.json", "bert_config.json")
_MOST_BYTES = 64 * 2**20  # of a config.json: a million labels have a place in it
_WHERE = ("revision", "subfolder", "cache_dir", "token", "force_download", "local_files_only")


class Configuration(SavesJson):
    """The methods of a configuration."""

    _file = FILES[0]
    _pushed = "config"
    torchscript = False  # whether a forward returns a tuple, for torch.jit.trace
    _name_or_path = ""  # of the model
    model_type: ClassVar[str]
    return_dict: bool
    dtype: str | None

    @classmethod
    @abstractmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **overrides: Any) -> Self:
        """A configuration from the keys of a `config.json`."""

    @classmethod
    @abstractmethod
    def _known_names(cls) -> frozenset[str]:
        """The names that a caller may pass."""

    # Names.

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

    # Reading.

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Self:
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
    ) -> Self:
        """The configuration of a model.

        name: a folder, a JSON file, a Hub id, a built-in model, or a Place of `hub.locate`.
        overrides: fields that replace those of the file: `BertConfig.from_pretrained(name, num_labels=3)`.
        return_unused_kwargs: return (configuration, unknown overrides) instead of raising ConfigError for them.
        trust_remote_code has no effect: no code of a model is ever run.
        """
        if overrides:
            overrides, older_token = without_defaults(overrides)
            token = older_token if token is None else token
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
        unused = cls._unused(overrides) if return_unused_kwargs else {}
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

    @classmethod
    def _unused(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Remove the unknown arguments from the given ones, and return them."""
        return {name: given.pop(name) for name in list(given) if name not in cls._known_names()}

    # Changing.

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set several attributes."""
        for name, value in config_dict.items():
            setattr(self, name, value)

    def update_from_string(self, update_str: str) -> None:
        """Set several attributes from a text, each with its type: "hidden_dropout_prob=0.2,use_cache=false"."""
        for pair in update_str.split(","):
            name, _, text = pair.partition("=")
            if not hasattr(self, name):
                raise ConfigError(f"{type(self).__name__} has no {name!r}.{did_you_mean(name, vars(self))}")
            setattr(self, name, _read_as(type(getattr(self, name)), name, text))

    def __iter__(self) -> Iterator[str]:
        """The names of the fields, for `"vocab_size" in config`."""
        return iter(vars(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file. Raises ConfigError if it is invalid."""
    return parse_object(read_text(path, _MOST_BYTES, ConfigError), str(path), ConfigError)


def _read_as(kind: type, name: str, text: str) -> Any:
    """A text converted to a type, for update_from_string."""
    if kind is bool and text.lower() in ("true", "1", "y", "yes", "false", "0", "n", "no"):
        return text.lower() in ("true", "1", "y", "yes")
    if kind in (int, float, str):
        return kind(text)
    raise ConfigError(f"{name}={text} cannot be set from a text: set config.{name} instead.")
