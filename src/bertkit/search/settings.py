"""GenerationConfig: how a decoder writes, and its file `generation_config.json`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from bertkit.errors import ConfigError, UsageError, did_you_mean
from bertkit.heads import Writing
from bertkit.hub import Place, locate, parse_object, read_text
from bertkit.hub.disk import whole_file

FILE = "generation_config.json"
_MOST_BYTES = 2**20

NEUTRAL: dict[str, tuple[object, ...]] = {
    "num_beam_groups": (1, None),
    "diversity_penalty": (0.0, None),
    "penalty_alpha": (None,),
    "typical_p": (1.0, None),
    "epsilon_cutoff": (0.0, None),
    "eta_cutoff": (0.0, None),
    "min_p": (None,),
    "encoder_repetition_penalty": (1.0, None),
    "encoder_no_repeat_ngram_size": (0, None),
    "constraints": (None,),
    "force_words_ids": (None,),
    "guidance_scale": (None, 1.0, 1),
    "sequence_bias": (None,),
    "exponential_decay_length_penalty": (None,),
    "renormalize_logits": (False, None),
    "remove_invalid_values": (False, None),
    "stop_strings": (None,),
    "max_time": (None,),
    "watermarking_config": (None,),
    "prompt_lookup_num_tokens": (None,),
    "cache_implementation": (None, "dynamic"),
    "output_attentions": (False, None),
    "output_hidden_states": (False, None),
    "synced_gpus": (False, None),
}
"""Settings of transformers that bertkit does not have, and their values that change nothing."""


_COUNTS = {
    "max_length": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "max_new_tokens": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
}
"""Settings that are counts, and their least values."""

_WORDS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
)
"""Settings that are numbers of words."""


@dataclass
class GenerationConfig:
    """How many words, how they are searched, and which are excluded.

    >>> GenerationConfig(num_beams=4, max_new_tokens=30).longest(prompt=5)
    35
    >>> GenerationConfig(num_beems=4)
    Traceback (most recent call last):
    ...
    TypeError: GenerationConfig.__init__() got an unexpected keyword argument 'num_beems'
    """

    max_length: int = 20  # of the words with the prompt
    max_new_tokens: int | None = None  # without the prompt; replaces max_length
    min_length: int = 0
    min_new_tokens: int | None = None  # without the prompt; replaces min_length
    early_stopping: bool | Literal["never"] = False  # True: as soon as there are num_beams texts
    do_sample: bool = False
    num_beams: int = 1
    num_return_sequences: int = 1
    temperature: float | None = 1.0
    top_k: int | None = 50
    top_p: float | None = 1.0
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0  # above 0, longer texts are preferred
    no_repeat_ngram_size: int = 0
    bad_words_ids: list[list[int]] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    use_cache: bool = True
    output_scores: bool = False
    output_logits: bool = False
    return_dict_in_generate: bool = False
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | None = None
    others: Mapping[str, Any] = field(default_factory=dict)  # of a file: keys that are kept

    _from_model_config = False  # transformers' Seq2SeqTrainer reads it

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            if getattr(self, name) is not None or name not in ("max_new_tokens", "min_new_tokens"):
                _check_integer(name, getattr(self, name), least)
        for name, word in self.words():
            _check_integer(name, word, 0)
        for name in ("temperature", "repetition_penalty"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 < value < math.inf):
                raise UsageError(f"{name} is {value!r:.80}, and must be a number above 0.")
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p!r:.80}, and must be from 0 to 1.")
        if self.early_stopping not in (True, False, "never"):
            raise UsageError(f'early_stopping is {self.early_stopping!r:.80}, and must be True, False or "never".')
        if self.num_return_sequences > self.num_beams and not self.do_sample:
            raise UsageError(
                f"num_return_sequences={self.num_return_sequences} needs as many different texts, and num_beams="
                f"{self.num_beams} finds fewer: raise num_beams, or type do_sample=True."
            )

    @property
    def ends(self) -> list[int]:
        """The words that end a text."""
        given = self.eos_token_id
        return [] if given is None else list(given) if isinstance(given, list) else [given]

    def words(self) -> Iterator[tuple[str, Any]]:
        """The numbers of words, each with the name of its setting."""
        for name in _WORDS:
            given = getattr(self, name)
            for part in given if isinstance(given, (list, tuple)) else [] if given is None else [given]:
                yield from ((name, word) for word in (part if isinstance(part, (list, tuple)) else [part]))

    def longest(self, prompt: int) -> int:
        """The largest number of words, those of the prompt included."""
        return self.max_length if self.max_new_tokens is None else prompt + self.max_new_tokens

    def with_options(self, options: Mapping[str, Any]) -> GenerationConfig:
        """Return the settings with other values, as `generate` receives them. Raises UsageError for an unknown one."""
        own = {one.name for one in fields(self)} - {"others"}
        for name, value in options.items():
            if name in NEUTRAL and value not in NEUTRAL[name]:
                raise UsageError(f"{name}={value!r:.80} is not supported: leave it out.")
            if name not in own and name not in NEUTRAL:
                raise UsageError(f"generate has no {name!r}.{did_you_mean(name, own)}")
        return replace(self, **{name: value for name, value in options.items() if name in own})

    def for_writing(self, writing: Writing) -> GenerationConfig:
        """Return the settings of a pipeline whose model has these.

        As in transformers, what is usual for the task replaces the settings of the model. But a length of the model, or of the
        call, replaces the usual one.
        """
        given, usual = dict(writing.settings), dict(writing.usual)
        if "max_new_tokens" not in given and (
            "max_length" in given or self.max_length != GenerationConfig().max_length
        ):
            usual["max_new_tokens"] = None
        if self.pad_token_id is not None:
            usual.pop("pad_token_id", None)
        return self.with_options({**usual, **given})

    def update(self, defaults_only: bool = False, **values: Any) -> dict[str, Any]:
        """Set values, those of unknown names excepted, which are returned. defaults_only: only where the value is None."""
        own = {one.name for one in fields(self)} - {"others"}
        for name in own & values.keys():
            if not defaults_only or getattr(self, name) is None:
                setattr(self, name, values[name])
        self.__post_init__()
        return {name: value for name, value in values.items() if name not in own}

    @staticmethod
    def _get_default_generation_params() -> dict[str, Any]:
        """Empty, for transformers' Seq2SeqTrainer: a value that was not set is the default already."""
        return {}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GenerationConfig:
        """Return the settings of a file. None means the default. Keys that are no settings are kept."""
        own = {one.name for one in fields(cls)} - {"others"}
        try:
            return cls(
                **{name: value for name, value in values.items() if name in own and value is not None},
                others={name: value for name, value in values.items() if name not in own},
            )
        except UsageError as error:
            raise ConfigError(str(error)) from error

    @classmethod
    def from_model_config(cls, config: Any) -> GenerationConfig:
        """Return the settings of a model's configuration, or otherwise of the decoder in it, where old files keep them."""
        places = [config, getattr(config, "decoder", None)]
        names = [one.name for one in fields(cls) if one.name != "others"]
        known = {
            name: next((v for one in places if (v := getattr(one, name, None)) is not None), None) for name in names
        }
        return cls.from_dict(known)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str] | Place) -> GenerationConfig:
        """Read generation_config.json of a directory or a Hub id."""
        path = locate(name).fetch(FILE)
        return cls.from_dict(parse_object(read_text(path, _MOST_BYTES, ConfigError), str(path), ConfigError))

    @classmethod
    def of_files(cls, place: Place, config: Any) -> GenerationConfig:
        """Return the settings of a model's generation_config.json, and what it leaves out of its configuration."""
        settings = {**cls.from_model_config(config).to_dict(), **cls.from_pretrained(place).to_dict()}
        return cls.from_dict(settings)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that differ from the defaults, and the keys that were kept."""
        plain = GenerationConfig()
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "others"}
        return {**self.others, **{name: value for name, value in own.items() if value != getattr(plain, name)}}

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write generation_config.json into a directory."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with whole_file(Path(folder) / FILE) as file:
            file.write(json.dumps(self.to_dict(), indent=2, sort_keys=True).encode() + b"\n")


def _check_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} is {value!r:.80}, and must be a whole number, {least} or above.")


def check_words(settings: GenerationConfig, vocabulary: int) -> None:
    """Raise UsageError for the number of a word that the vocabulary does not have."""
    for name, word in settings.words():
        if word >= vocabulary:
            raise UsageError(f"{name} has the word {word}, and the vocabulary has {vocabulary}: 0 to {vocabulary - 1}.")


def check_lengths(length: int, settings: GenerationConfig, most: int) -> None:
    """Raise UsageError if there is no room for another word."""
    longest = settings.longest(length)
    if not length:
        raise UsageError("generate received an empty prompt: pass at least one word, such as [CLS].")
    if longest <= length:
        raise UsageError(
            f"The prompt has {length} words, and max_length={longest} leaves no room: pass max_new_tokens, such as 20."
        )
    if longest > most:
        raise UsageError(
            f"The text may have {longest} words, and the model has positions for {most}: pass max_new_tokens="
            f"{max(1, most - length)} or less."
        )
