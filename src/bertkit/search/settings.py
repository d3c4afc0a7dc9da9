"""GenerationConfig: how a decoder writes, and its file `generation_config.json`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from bertkit.errors import ConfigError, UsageError, described, did_you_mean
from bertkit.heads import Writing
from bertkit.hub import Place, locate, parse_object, read_text
from bertkit.hub.saving import SavesJson
from bertkit.search.checks import SPECIAL, WORDS, check_values

_logger = logging.getLogger(__name__)

FILE = "generation_config.json"
_MOST_BYTES = 2**20

_NEUTRAL_IN_FILES: dict[str, tuple[object, ...]] = {
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
}
NEUTRAL = {
    **_NEUTRAL_IN_FILES,
    "output_attentions": (False, None),
    "output_hidden_states": (False, None),
    "synced_gpus": (False, None),
    "assistant_model": (None,),
    "custom_generate": (None,),
    "disable_compile": (True, False, None),
    "negative_prompt_attention_mask": (None,),
    "negative_prompt_ids": (None,),
    "past_key_values": (None,),
    "position_ids": (None,),
    "prefix_allowed_tokens_fn": (None,),
    "tokenizer": (None,),
    "trust_remote_code": (True, False, None),
}
"""Settings of transformers that bertkit does not have, and their values that change nothing."""

_MAY_BE_NONE = ("temperature", "top_k", "top_p")
"""Settings with a default that None replaces. None is the default of each other setting."""


@dataclass
class GenerationConfig(SavesJson):
    """How many words, how they are searched, and which are excluded.

    >>> GenerationConfig(num_beams=4, max_new_tokens=30).longest(prompt=5)
    35
    >>> GenerationConfig(num_beems=4)
    Traceback (most recent call last):
    ...
    TypeError: GenerationConfig.__init__() got an unexpected keyword argument 'num_beems'
    """

    max_length: int = 20  # of the words with the prompt; the default is without it
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
    decoder_start_token_id: int | list[int] | None = None  # a list: of each input
    others: Mapping[str, Any] = field(default_factory=dict)  # of a file: keys that are kept

    _file: ClassVar[str] = FILE
    _max_length_was_passed = False  # in a call
    _from_model_config = False  # transformers' Seq2SeqTrainer reads it

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) is None and one.default is not MISSING and one.name not in _MAY_BE_NONE:
                setattr(self, one.name, one.default)
        for name in WORDS:
            setattr(self, name, _plain(getattr(self, name)))
        self.validate()

    def validate(self, strict: bool = False) -> None:
        """Raise UsageError for a value that no search can have. strict has no effect, as there are no warnings."""
        check_values(self)

    @property
    def ends(self) -> list[int]:
        """The words that end a text."""
        given = self.eos_token_id
        return [word for word in (given if isinstance(given, list) else [given]) if word is not None and word >= 0]

    @property
    def filler(self) -> int:
        """The word after the end of a text: padding, or the first word that ends texts."""
        return next(iter(self.ends), 0) if self.pad_token_id is None else self.pad_token_id

    def words(self) -> Iterator[tuple[str, Any]]:
        """The numbers of words, each with the name of its setting."""
        for name in WORDS:
            given = getattr(self, name)
            for part in given if isinstance(given, (list, tuple)) else [] if given is None else [given]:
                yield from ((name, word) for word in (part if isinstance(part, (list, tuple)) else [part]))

    def longest(self, prompt: int) -> int:
        """The largest number of words, those of the prompt included.

        The default of max_length counts new words, unless a call passes the same number.
        """
        if self.max_new_tokens is not None:
            return prompt + self.max_new_tokens
        return self.max_length + (prompt if self.has_default_length else 0)

    @property
    def has_default_length(self) -> bool:
        """Whether no length was set."""
        is_default = self.max_length == GenerationConfig.max_length and not self._max_length_was_passed
        return self.max_new_tokens is None and is_default

    def for_prompt(self, length: int, positions: int, padding: int = 0) -> GenerationConfig:
        """Return the settings with the length of the text as max_length. Raises UsageError if there is no room for a word.

        length: of the prompt, padding included. positions: those of the model. padding: the least padding of a prompt.
        """
        longest = self.longest(length)
        if self.has_default_length:
            longest = min(longest, positions)
        if not length:
            raise UsageError("generate received an empty prompt: pass at least one word.")
        if longest <= length:
            raise UsageError(
                f"The prompt has {length} words, and max_length={longest} leaves no room: pass max_new_tokens, such as 20."
            )
        if longest - 1 - padding > positions:  # the last word is not read again
            raise UsageError(
                f"The text may have {longest} words, and the model has positions for {positions}: pass max_new_tokens="
                f"{max(1, positions + 1 + padding - length)} or less."
            )
        counted, most = ("min_length", longest) if self.min_new_tokens is None else ("min_new_tokens", longest - length)
        if getattr(self, counted) > most:
            _logger.warning("%s=%d cannot be reached: at most %d words fit.", counted, getattr(self, counted), most)
        found = replace(self, max_length=longest, max_new_tokens=None)
        found._max_length_was_passed = True
        return found

    def with_options(self, options: Mapping[str, Any]) -> GenerationConfig:
        """Return the settings with other values, as `generate` receives them. Raises UsageError for an unknown one."""
        own = {one.name for one in fields(self)} - {"others"}
        for name, value in {**self.others, **options}.items():
            if name in NEUTRAL and not any(value is one or value == one for one in NEUTRAL[name]):
                raise UsageError(f"{name}={value!r:.80} is not supported: leave it out.")
        for name in options:
            if name not in own and name not in NEUTRAL:
                raise UsageError(f"generate has no {name!r}.{did_you_mean(name, own)}")
        found = replace(self, **{name: value for name, value in options.items() if name in own})
        found._max_length_was_passed = self._max_length_was_passed or options.get("max_length") is not None
        return found

    def with_defaults(self, of_model: GenerationConfig, use_model_defaults: bool | None = None) -> GenerationConfig:
        """Return these settings, and those of the model in place of defaults. False: only in place of absent words."""
        names = SPECIAL if use_model_defaults is False else [one.name for one in fields(self) if one.name != "others"]
        plain = GenerationConfig()
        options = {name: getattr(of_model, name) for name in names if getattr(self, name) == getattr(plain, name)}
        return self.with_options(options)

    @classmethod
    def of(cls, settings: Any) -> GenerationConfig:
        """Return settings that are a GenerationConfig, or that of transformers."""
        if isinstance(settings, cls):
            return settings
        if not hasattr(settings, "to_dict"):
            raise UsageError(
                f"generation_config is {described(settings)}, and must be a GenerationConfig, as in "
                "GenerationConfig(num_beams=4)."
            )
        return cls.from_dict(settings.to_dict())

    def for_writing(self, writing: Writing) -> GenerationConfig:
        """Return the settings of a pipeline whose model has these.

        As in transformers, what is usual for the task replaces the settings of the model. But a length of the model, or of the
        call, replaces the usual one.
        """
        given, usual = dict(writing.settings), dict(writing.usual)
        if "max_new_tokens" not in given and ("max_length" in given or self.max_length != GenerationConfig.max_length):
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
    def from_dict(cls, config_dict: Mapping[str, Any], **options: Any) -> GenerationConfig:
        """Return the settings of a file, and of options in place of them. None means the default.

        Keys of the file that are no settings are kept. Raises UsageError for an unknown option.
        """
        own = {one.name for one in fields(cls)} - {"others"}
        try:
            found = cls(
                **{name: value for name, value in config_dict.items() if name in own and value is not None},
                others={name: value for name, value in config_dict.items() if name not in own},
            )
        except UsageError as error:
            raise ConfigError(str(error)) from error
        return found.with_options(options) if options else found

    @classmethod
    def from_model_config(cls, config: Any) -> GenerationConfig:
        """Return the settings of a model's configuration, or otherwise of the decoder in it, where old files keep them."""
        places = [config, getattr(config, "decoder", None)]
        own = [one.name for one in fields(cls) if one.name != "others"]
        names = [*own, *_NEUTRAL_IN_FILES]
        known = {
            name: next((v for one in places if (v := getattr(one, name, None)) is not None), None) for name in names
        }
        return cls.from_dict({name: value for name, value in known.items() if value is not None})

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name: str | os.PathLike[str] | Place,
        config_file_name: str = FILE,
        *,
        revision: str = "main",
        subfolder: str = "",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        **options: Any,
    ) -> GenerationConfig:
        """Read generation_config.json of a directory or a Hub id. Options replace its settings: `num_beams=4`."""
        place = locate(
            pretrained_model_name,
            revision=revision,
            subfolder=subfolder,
            cache_dir=cache_dir,
            token=token,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        return cls.from_dict(_read(place, config_file_name), **options)

    @classmethod
    def of_files(cls, place: Place, config: Any) -> GenerationConfig:
        """Return the settings of a model's generation_config.json, and what it leaves out of its configuration."""
        return cls.from_dict({**cls.from_model_config(config).to_dict(), **_read(place)})

    def to_dict(self) -> dict[str, Any]:
        """Return the values that differ from the defaults, and the keys that were kept."""
        plain = GenerationConfig()
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "others"}
        return {**self.others, **{name: value for name, value in own.items() if value != getattr(plain, name)}}

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the same as `to_dict`."""
        return self.to_dict()


def _read(place: Place, name: str = FILE) -> dict[str, Any]:
    path = place.fetch(name)
    return parse_object(read_text(path, _MOST_BYTES, ConfigError), str(path), ConfigError)


def _plain(words: Any) -> Any:
    """Numbers of words as a number or a list: they may be a tensor, an array or a tuple."""
    words = words.tolist() if hasattr(words, "tolist") else words
    return [_plain(word) for word in words] if isinstance(words, (list, tuple)) else words


def check_words(settings: GenerationConfig, vocabulary: int) -> None:
    """Raise UsageError for the number of a word that the vocabulary does not have."""
    for name, word in settings.words():
        if word >= vocabulary:
            raise UsageError(f"{name} has the word {word}, and the vocabulary has {vocabulary}: 0 to {vocabulary - 1}.")
