"""EncoderDecoderConfig: the configurations of two BERTs, of which the second one writes what the first one reads."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from bertkit import hub
from bertkit.config.bert import BertConfig
from bertkit.config.names import INERT
from bertkit.config.shared import FILES, Configuration, read_json
from bertkit.errors import ConfigError, did_you_mean

_TYPE = "encoder-decoder"


class EncoderDecoderConfig(Configuration):
    """The configurations `encoder` and `decoder`, and settings of the whole, such as `decoder_start_token_id`.

    >>> config = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig.named("tiny"), BertConfig.named("tiny"))
    >>> config.decoder.is_decoder, config.decoder.add_cross_attention, config.encoder.is_decoder
    (True, True, False)
    """

    model_type = _TYPE
    is_encoder_decoder = True
    decoder_start_token_id: int | None
    pad_token_id: int | None
    bos_token_id: int | None
    eos_token_id: int | list[int] | None
    tie_encoder_decoder: bool
    tie_word_embeddings: bool
    architectures: list[str] | None

    def __init__(
        self, *, encoder: Mapping[str, Any] | BertConfig, decoder: Mapping[str, Any] | BertConfig, **given: Any
    ):
        self._check_names(given)
        self._assign({"model_type": _TYPE, **given, "encoder": encoder, "decoder": decoder})

    def _assign(self, values: Mapping[str, Any]) -> None:
        """Set all values, by default to their default values, and check them."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"EncoderDecoderConfig.from_dict takes a dict of fields, not {values!r:.80}.")
        if values.get("model_type") != _TYPE:
            raise ConfigError(
                f"The configuration has model_type={values.get('model_type')!r:.80}, and an {_TYPE} has this type."
            )
        if not {"encoder", "decoder"} <= values.keys():
            raise ConfigError(f"The configuration has no {'decoder' if 'encoder' in values else 'encoder'}.")
        self.encoder, self.decoder = (_bert(values[what], what) for what in ("encoder", "decoder"))
        dtype = values.get("dtype") or values.get("torch_dtype")
        vars(self).update(_DEFAULTS)
        self.dtype = None if dtype is None else str(dtype).removeprefix("torch.")
        for name in values.keys() - _OWN:
            if hasattr(type(self), name) and name not in INERT:
                raise ConfigError(f"The configuration has the key {name!r}, which is the name of a method: remove it.")
            setattr(self, name, values[name])
        self.validate()

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: BertConfig, decoder_config: BertConfig, **given: Any
    ) -> EncoderDecoderConfig:
        """Of two configurations. The second one becomes that of a decoder with cross-attention."""
        encoder, decoder = (
            BertConfig.of(one, "The configuration of two BERTs") for one in (encoder_config, decoder_config)
        )
        options = {"is_decoder": True, "add_cross_attention": True}
        return cls(encoder=encoder.to_dict(), decoder={**decoder.to_dict(), **options}, **given)

    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], return_unused_kwargs: bool = False, **overrides: Any
    ) -> EncoderDecoderConfig:
        """Of the keys of a `config.json`. Unknown keys are kept as attributes.

        overrides: values that replace those of the file. Unknown ones raise ConfigError.
        return_unused_kwargs: return (configuration, unknown overrides) instead.
        """
        unused = cls._unused(overrides) if return_unused_kwargs else {}
        cls._check_names(overrides)
        config = cls.__new__(cls)
        config._assign({**config_dict, **overrides} if overrides else config_dict)
        return (config, unused) if return_unused_kwargs else config  # type: ignore[return-value]

    @classmethod
    def _known_names(cls) -> frozenset[str]:
        return _NAMES

    @classmethod
    def _check_names(cls, given: Iterable[str]) -> None:
        for name in given:
            if name not in _NAMES:
                raise ConfigError(f"EncoderDecoderConfig has no {name!r}.{did_you_mean(name, _NAMES)}")

    def validate(self) -> None:
        """Raise ConfigError if the configuration is invalid. Called on creation, reading, writing, and by each model."""
        if not (self.decoder.is_decoder and self.decoder.add_cross_attention):
            raise ConfigError(
                "The decoder of an EncoderDecoderConfig needs is_decoder=True and add_cross_attention=True: set both, or type "
                "EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)."
            )
        for part in (self.encoder, self.decoder):
            part.validate()

    def to_dict(self) -> dict[str, Any]:
        """All values, those of the two configurations as dicts."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        parts = {"encoder": self.encoder.to_dict(), "decoder": self.decoder.to_dict()}
        return {"model_type": _TYPE, "is_encoder_decoder": True, **copy.deepcopy(own), **parts}

    def to_diff_dict(self) -> dict[str, Any]:
        """The values to write: those that are not None, and of each BERT what its own file would have."""
        own = {name: value for name, value in self.to_dict().items() if value is not None}
        return {**own, "encoder": self.encoder.to_diff_dict(), "decoder": self.decoder.to_diff_dict()}

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """The configuration of the decoder, of the encoder, or itself."""
        return self.decoder if decoder else self.encoder if encoder else self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EncoderDecoderConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it is mutable


_OWN = frozenset(["encoder", "decoder", "model_type", "is_encoder_decoder", "dtype", "torch_dtype"])
_DEFAULTS: Mapping[str, Any] = {
    "decoder_start_token_id": None,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "return_dict": True,
    "architectures": None,
}
_NAMES = (
    frozenset(field.name for field in fields(BertConfig))
    | INERT
    | _OWN
    | {"max_new_tokens", "min_new_tokens", "output_logits", "num_labels"}
)
"""What a caller may pass: settings of the whole, of `generate`, and those that BERT has, too, such as vocab_size."""


def config_of(
    name: str | os.PathLike[str] | hub.Place, overrides: Mapping[str, Any] = MappingProxyType({})
) -> BertConfig | EncoderDecoderConfig:
    """Read the configuration of a BERT, or of two BERTs."""
    place = hub.locate(name)
    values = read_json(place.file or place.fetch(*FILES)) if place.file is None or place.file.suffix == ".json" else {}
    made: Any = EncoderDecoderConfig if values.get("model_type") == _TYPE else BertConfig
    found: BertConfig | EncoderDecoderConfig = made.from_pretrained(place, **overrides)
    return found


def _bert(config: Mapping[str, Any] | BertConfig, what: str) -> BertConfig:
    """One of the two configurations. Raises ConfigError for another model."""
    if isinstance(config, BertConfig):
        return config
    try:
        return BertConfig.from_dict(config)
    except ConfigError as error:
        raise ConfigError(f"The {what}: {error}") from error
