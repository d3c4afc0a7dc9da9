"""The settings of a tokenizer: what its constructor and `from_pretrained` take beside files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from bertkit.errors import UsageError
from bertkit.text.call.options import refuse_unknown
from bertkit.text.files.description import ATTRIBUTES, TokenizerFiles
from bertkit.text.files.settings import FIELDS, RULES, known_length, put
from bertkit.text.special import added_token
from bertkit.text.vocabulary import AddedToken, Vocabulary

_CHOICES = {
    "compat": ("fast", "slow", "google"),
    "padding_side": ("right", "left"),
    "truncation_side": ("right", "left"),
}


_LISTS = ("never_split", "additional_special_tokens", "model_input_names")
_FLAGS = (
    "do_lower_case",
    "do_basic_tokenize",
    "strip_accents",
    "tokenize_chinese_chars",
    "clean_text",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
)


class Settings(TypedDict, total=False):
    """The settings, all of them optional; `BertTokenizer` explains them."""

    do_lower_case: bool
    do_basic_tokenize: bool
    never_split: Iterable[str] | None
    bos_token: str | AddedToken | None
    eos_token: str | AddedToken | None
    unk_token: str | AddedToken
    sep_token: str | AddedToken
    pad_token: str | AddedToken
    cls_token: str | AddedToken
    mask_token: str | AddedToken
    additional_special_tokens: Iterable[str | AddedToken] | None
    tokenize_chinese_chars: bool
    strip_accents: bool | None
    clean_text: bool
    clean_up_tokenization_spaces: bool
    wordpieces_prefix: str
    compat: str | None
    model_max_length: int | None
    padding_side: str
    truncation_side: str
    model_input_names: list[str]
    split_special_tokens: bool
    name_or_path: str


NAMES = tuple(Settings.__annotations__)
OF_THE_OBJECT = ("name_or_path", "wordpieces_prefix")
"""Settings that no file tells of."""


def customize(files: TokenizerFiles, settings: Mapping[str, Any]) -> None:
    """Let settings that were given override a description."""
    refuse_unknown(set(settings) - set(NAMES), [*NAMES, "vocab_file", "tokenizer_file"])
    given = {name: value for name, value in settings.items() if value is not None or name == "strip_accents"}
    for name, value in given.items():
        _check(name, value)
    files.rules = replace(files.rules, **{RULES[name]: value for name, value in given.items() if name in RULES})
    for name, value in given.items():
        if name in FIELDS:
            put(files, name, value)
    if "model_max_length" in given:
        files.model_max_length = known_length(given["model_max_length"])
    files.prefix = given.get("wordpieces_prefix", files.prefix)
    files.special = files.special | {name: added_token(given[name], True) for name in ATTRIBUTES if name in given}
    if "unk_token" in given:
        files.unk = files.special["unk_token"].content
    if "additional_special_tokens" in given:
        files.additional = [added_token(token, True) for token in given["additional_special_tokens"]]


def _check(name: str, value: object) -> None:
    if name in _CHOICES and not (isinstance(value, str) and value in _CHOICES[name]):
        raise UsageError(f"{name}={value!r} is none of {', '.join(map(repr, _CHOICES[name]))}.")
    if name in _FLAGS and not (isinstance(value, bool) or value is None):
        raise UsageError(f"{name}={value!r} is neither True nor False: type {name}=True, or leave it out.")
    if name in _LISTS and (isinstance(value, (str, bytes)) or not isinstance(value, Iterable)):
        raise UsageError(f"{name}={value!r} is no list of tokens: type {name}=[{value!r}].")
    if name == "model_max_length" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise UsageError(f"model_max_length={value!r} is no number of tokens: type model_max_length=512.")
    if name == "wordpieces_prefix" and not isinstance(value, str):
        raise UsageError(f'wordpieces_prefix={value!r} is no string: type wordpieces_prefix="##".')


def refuse_unnamed(given: Sequence[object]) -> None:
    """An error for what stands behind the name in `from_pretrained`, where other models' tokenizers take further files."""
    if given:
        raise UsageError(
            f"{given[0]!r:.80} stands behind the name of the tokenizer: give settings by their names, as in "
            "do_lower_case=False."
        )


def vocabulary_of(source: object) -> Vocabulary:
    """The vocabulary that a constructor was given: a file, a mapping token -> id, or a list of tokens."""
    if isinstance(source, Vocabulary):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Vocabulary.from_file(source)
    if isinstance(source, Mapping):
        return Vocabulary.from_ids(source)
    if isinstance(source, (list, tuple)) and all(isinstance(token, str) for token in source):
        return Vocabulary(source)
    raise UsageError(
        f'{source!r} is no vocabulary: type BertTokenizer("vocab.txt"), or BertTokenizer.from_pretrained(name) for a '
        "model's own."
    )
