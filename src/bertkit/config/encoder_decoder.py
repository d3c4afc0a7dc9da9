"""EncoderDecoderConfig: the configurations of two BERTs, of which the second one writes what the first one reads."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bertkit import hub
from bertkit.config.bert import FILES, BertConfig, read_json
from bertkit.errors import ConfigError
from bertkit.hub.disk import whole_file

_TYPE = "encoder-decoder"


class EncoderDecoderConfig:
    """The configurations `encoder` and `decoder`, and settings of the whole, such as `decoder_start_token_id`.

    >>> config = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig.named("tiny"), BertConfig.named("tiny"))
    >>> config.decoder.is_decoder, config.decoder.add_cross_attention, config.encoder.is_decoder
    (True, True, False)
    """

    model_type = _TYPE
    is_encoder_decoder = True

    def __init__(
        self, *, encoder: Mapping[str, Any] | BertConfig, decoder: Mapping[str, Any] | BertConfig, **given: Any
    ):
        self.encoder, self.decoder = (_bert(one, what) for one, what in ((encoder, "encoder"), (decoder, "decoder")))
        if not (self.decoder.is_decoder and self.decoder.add_cross_attention):
            raise ConfigError(
                "The decoder of an EncoderDecoderConfig needs is_decoder=True and add_cross_attention=True: set both, or type "
                "EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)."
            )
        for name in ("encoder", "decoder", "model_type", "is_encoder_decoder"):
            given.pop(name, None)
        for name in given:
            if hasattr(type(self), name):
                raise ConfigError(f"The configuration has the key {name!r}, which is the name of a method: remove it.")
        self.decoder_start_token_id: int | None = None
        self.pad_token_id: int | None = None
        self.bos_token_id: int | None = None
        self.eos_token_id: int | list[int] | None = None
        self.tie_encoder_decoder = False
        self.tie_word_embeddings = True
        self.return_dict = True
        self.architectures: list[str] | None = None
        self.dtype: str | None = None
        self._name_or_path = ""
        vars(self).update(given)

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: BertConfig, decoder_config: BertConfig, **given: Any
    ) -> EncoderDecoderConfig:
        """Of two configurations. The second one becomes that of a decoder with cross-attention."""
        decoder = {**decoder_config.to_dict(), "is_decoder": True, "add_cross_attention": True}
        return cls(encoder=encoder_config.to_dict(), decoder=decoder, **given)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> EncoderDecoderConfig:
        """Of the keys of a `config.json`. Unknown keys are kept as attributes."""
        if values.get("model_type") != _TYPE or not {"encoder", "decoder"} <= values.keys():
            raise ConfigError(
                f"The configuration has model_type={values.get('model_type')!r:.80}, and an {_TYPE} has this type, an encoder "
                "and a decoder."
            )
        known = {key: value for key, value in values.items() if key not in ("encoder", "decoder")}
        return cls(encoder=values["encoder"], decoder=values["decoder"], **{**known, **overrides})

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str] | hub.Place, **overrides: Any) -> EncoderDecoderConfig:
        """Of a folder, a Hub id, or a Place of `hub.locate`."""
        place = hub.locate(name)
        config = cls.from_dict(read_json(place.file or place.fetch(*FILES)), **overrides)
        config._name_or_path = place.name
        return config

    def to_dict(self) -> dict[str, Any]:
        """All values, those of the two configurations as dicts."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        parts = {"encoder": self.encoder.to_dict(), "decoder": self.decoder.to_dict()}
        return {"model_type": _TYPE, "is_encoder_decoder": True, **copy.deepcopy(own), **parts}

    def to_json_string(self) -> str:
        """The text of a `config.json`, keys sorted."""
        own = {name: value for name, value in self.to_dict().items() if value is not None}
        parts = {"encoder": self.encoder.to_diff_dict(), "decoder": self.decoder.to_diff_dict()}
        return json.dumps({**own, **parts}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write `config.json` into a folder, which is created if it does not exist."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        with whole_file(Path(save_directory) / FILES[0]) as file:
            file.write(self.to_json_string().encode())

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """The configuration of the decoder, of the encoder, or itself."""
        return self.decoder if decoder else self.encoder if encoder else self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EncoderDecoderConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        return f"EncoderDecoderConfig {self.to_json_string()}"


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
