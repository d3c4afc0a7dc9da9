"""Checks of the values of `GenerationConfig`, each with a message that says what is accepted."""

from __future__ import annotations

import sys
from typing import Any

from bertkit.errors import UsageError

_COUNTS = {
    "max_length": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "top_k": 0,
    "max_new_tokens": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
}
"""Settings that are counts, and their least values."""

_FLAGS = ("do_sample", "use_cache", "output_scores", "output_logits", "return_dict_in_generate")

_ABOVE_0 = sys.float_info.min
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", _ABOVE_0, sys.float_info.max),
    ("repetition_penalty", _ABOVE_0, sys.float_info.max),
    ("length_penalty", -100, 100),
    ("top_p", 0, 1),
)
"""Settings that are numbers, and their least and largest values."""

SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
WORDS = (
    *SPECIAL,
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
)
"""Settings that are numbers of words."""

_MOST = 2**16
"""The largest number of texts for one prompt. The prompt is repeated so many times."""


def check_values(settings: Any) -> None:
    """Raise UsageError for an invalid value of a GenerationConfig."""
    for name, least in _COUNTS.items():
        if getattr(settings, name) is not None:
            _check_integer(name, getattr(settings, name), least)
    for name, lowest, highest in _RANGES:
        if getattr(settings, name) is not None:
            _check_number(name, getattr(settings, name), lowest, highest)
    for name in _FLAGS:
        if not isinstance(getattr(settings, name), bool):
            raise UsageError(f"{name} is {getattr(settings, name)!r:.80}, and must be True or False.")
    _check_words(settings)
    _check_texts(settings)


def _check_words(settings: Any) -> None:
    for name, word in settings.words():
        _check_integer(name, word, -1 if name == "eos_token_id" else 0)
    for name in ("bad_words_ids", "suppress_tokens", "begin_suppress_tokens"):
        value, inner = getattr(settings, name), list if name == "bad_words_ids" else int
        if value is not None and not (isinstance(value, list) and all(isinstance(x, inner) and x != [] for x in value)):
            example = "[[5], [6, 8]]" if inner is list else "[5, 6]"
            raise UsageError(f"{name} is {value!r:.80}, and must be a list, such as {example}.")


def _check_texts(settings: Any) -> None:
    if settings.early_stopping not in (True, False, "never"):
        raise UsageError(f'early_stopping is {settings.early_stopping!r:.80}, and must be True, False or "never".')
    for name in ("num_beams", "num_return_sequences"):
        if getattr(settings, name) > _MOST:
            raise UsageError(f"{name} is {getattr(settings, name)!r:.80}, and must be {_MOST} or less.")
    if settings.num_return_sequences > settings.num_beams and not (settings.do_sample and settings.num_beams == 1):
        instead = "" if settings.do_sample else ", or type do_sample=True"
        raise UsageError(
            f"num_return_sequences={settings.num_return_sequences} needs as many different texts, and num_beams="
            f"{settings.num_beams} finds fewer: raise num_beams{instead}."
        )


def _check_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} is {value!r:.80}, and must be a whole number, {least} or above.")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and least <= value <= most):  # type: ignore[operator]
        wanted = "above 0" if least == _ABOVE_0 else f"from {least:g} to {most:g}"
        raise UsageError(f"{name} is {value!r:.80}, and must be a number {wanted}.")
