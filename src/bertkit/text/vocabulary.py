r"""The vocabulary: tokens and their ids, read from a `vocab.txt`.

The lines of a `vocab.txt` are the tokens, and the number of a line, from 0, is the id. Reading drops a byte-order mark, the
\r of \r\n, whitespace after a token and empty lines at the end, which does not change the ids. An empty line elsewhere is an
id without a token. If a token occurs twice, its last id is used, as in other libraries, and a warning is logged.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bertkit.errors import TokenizerError, UsageError
from bertkit.hub import read_text
from bertkit.hub.disk import whole_file
from bertkit.text.surrogates import SURROGATE, check_surrogates

MOST_BYTES = 64 * 2**20
MOST_TOKENS = 2**22
LONGEST_TOKEN = 1_000
MOST_ADDED, MOST_ADDED_CHARACTERS = 50_000, 500_000
"""The maximum number of added tokens and of their characters. One pattern searches for all of them."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in the raw text, before the text is split into words.

    The attributes are those of `tokenizers.AddedToken`. By default, `normalized` is True unless the token is special.

    >>> AddedToken("[ENT]", special=True).normalized
    False
    """

    content: str
    single_word: bool = False  # not found inside a word
    lstrip: bool = False  # includes the whitespace before it
    rstrip: bool = False  # includes the whitespace after it
    normalized: bool | None = None  # found in the normalized text
    special: bool = False  # skipped by decode(skip_special_tokens=True)

    def __post_init__(self) -> None:
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)
        if not isinstance(self.content, str):
            raise TokenizerError(f"The content of a token must be a string, not {self.content!r:.80}.")
        if len(self.content) > LONGEST_TOKEN:
            raise TokenizerError(
                f"The token {self.content:.20}... has {len(self.content):,} characters; up to {LONGEST_TOKEN:,} are accepted."
            )
        if SURROGATE.search(self.content):
            check_surrogates(self.content, "The token")
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise TokenizerError(
                    f"{name} of the token {self.content!r:.80} must be True or False, not {getattr(self, name)!r:.80}."
                )

    @classmethod
    def of(cls, value: object, **default: bool) -> AddedToken:
        """Return a string, a JSON object or a `tokenizers.AddedToken` as an AddedToken.

        `default` are the flags for a string. An object has its own flags.

        >>> AddedToken.of({"content": "[MASK]", "lstrip": True}).lstrip
        True
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls(value, **default)
        known = [field.name for field in fields(cls)]
        if isinstance(value, Mapping) and "content" in value:
            return cls(**{name: value[name] for name in known if name in value})
        if hasattr(value, "content"):
            return cls(**{name: getattr(value, name) for name in known})
        raise TokenizerError(f'A token must be a string, or an object with a "content", not {value!r:.80}.')

    def to_dict(self) -> dict[str, Any]:
        """Return the token as an object for a JSON file."""
        return {"content": self.content} | {name: getattr(self, name) for name in FLAGS}

    def __str__(self) -> str:
        return self.content


FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def as_token(value: object, special: bool) -> AddedToken:
    """Return a string, or an AddedToken of bertkit or of the `tokenizers` library, as an AddedToken.

    >>> as_token("[ENT]", special=True).special
    True
    """
    if isinstance(value, str):
        return AddedToken(value, special=special)
    if isinstance(value, AddedToken) or all(hasattr(value, name) for name in ("content", "single_word", "lstrip")):
        names = ("content", "single_word", "lstrip", "rstrip", "normalized")
        return AddedToken(**{name: getattr(value, name) for name in names}, special=special or value.special)  # type: ignore[attr-defined]
    raise UsageError(
        f'{value!r} ({type(value).__name__}) is not a token: type a string or AddedToken("[ENT]", special=True).'
    )


class Vocabulary:
    """Tokens and their ids.

    `tokens[i]` is the token with the id i, or "" for an id without a token. `ids[token]` is the id of a token.

    >>> vocabulary = Vocabulary(["[UNK]", "un", "##aff", "##able"])
    >>> vocabulary.ids["##aff"], vocabulary.tokens[3], len(vocabulary), "a" in vocabulary
    (2, '##able', 4, False)
    """

    def __init__(self, tokens: Iterable[str], where: str = "The vocabulary") -> None:
        self.tokens = list(tokens)
        _check_tokens(self.tokens, where)
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self.ids) < len(self.tokens):
            _warn_of_duplicates(self.tokens, self.ids, where)

    @classmethod
    def from_ids(cls, ids: Mapping[str, int], where: str = "The vocabulary") -> Vocabulary:
        """Return the vocabulary of a mapping token -> id. Ids may have gaps, but two tokens cannot have the same id.

        >>> Vocabulary.from_ids({"[UNK]": 0, "a": 2}).tokens
        ['[UNK]', '', 'a']
        """
        check_ids(ids, where)
        tokens = [""] * (max(ids.values(), default=-1) + 1)
        for token, index in ids.items():
            tokens[index] = token
        _check_tokens(tokens, where)
        vocabulary = cls.__new__(cls)
        vocabulary.tokens, vocabulary.ids = tokens, dict(ids)
        return vocabulary

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a `vocab.txt`."""
        return cls(_lines(read_text(path, MOST_BYTES, TokenizerError), str(path)), str(path))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a `vocab.txt`. The line of a token that contains a line end is left empty."""
        lines = ["" if "\n" in token or "\r" in token else token for token in self.tokens]
        with whole_file(path) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def __len__(self) -> int:
        """The number of different tokens, which other libraries call `vocab_size`."""
        return len(self.ids)

    def __contains__(self, token: object) -> bool:
        return token in self.ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.tokens, self.ids) == (other.tokens, other.ids)

    __hash__ = None  # type: ignore[assignment]  # its tokens can change

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"


def vocabulary_of(source: object) -> Vocabulary:
    """Return the vocabulary of a file, a mapping token -> id, or a list of tokens.

    >>> vocabulary_of(["[UNK]", "a"]).ids
    {'[UNK]': 0, 'a': 1}
    """
    if isinstance(source, Vocabulary):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Vocabulary.from_file(source)
    if isinstance(source, Mapping):
        return Vocabulary.from_ids(source)
    if isinstance(source, (list, tuple)) and all(isinstance(token, str) for token in source):
        return Vocabulary(source)
    raise UsageError(
        f'{source!r} is not a vocabulary: type BertTokenizer("vocab.txt"), or BertTokenizer.from_pretrained(name) for the '
        "vocabulary of a model."
    )


def give_ids(tokens: Iterable[AddedToken], vocabulary: Vocabulary, added: dict[int, AddedToken]) -> list[int]:
    """Put tokens into `added` and return their ids.

    A token that is in `added` or in the vocabulary keeps its id. A new token gets the next free id, starting from the number
    of tokens.

    >>> added = {2: AddedToken("c")}
    >>> give_ids(map(AddedToken, ["a", "b", "c"]), Vocabulary(["[UNK]", "a"]), added)
    [1, 3, 2]
    """
    known = {token.content: index for index, token in added.items()}
    free = len(vocabulary.tokens) + sum(content not in vocabulary for content in known)
    ids = []
    for token in tokens:
        index = known.get(token.content, vocabulary.ids.get(token.content))
        if index is None:
            while free in added:
                free += 1
            index, free = free, free + 1
        known[token.content], added[index] = index, token
        ids.append(index)
    return ids


def read_token(value: object, what: str) -> AddedToken:
    """Return a token from a file; a string is special. Raises TokenizerError, with a text that begins with `what`."""
    try:
        return AddedToken.of(value, special=True)
    except TokenizerError as error:
        raise TokenizerError(f"{what}: {error}") from error


def check_id(index: object, what: str) -> int:
    """Return an id from a file. Raises TokenizerError for an invalid one, with a text that begins with `what`."""
    if type(index) is not int or not 0 <= index < MOST_TOKENS:
        raise TokenizerError(f"{what} has the id {index!r:.80}: an id must be an integer from 0 to {MOST_TOKENS - 1}.")
    return index


def check_added(added: Mapping[int, AddedToken], where: str) -> None:
    """Raise TokenizerError for too many added tokens."""
    characters = sum(len(token.content) for token in added.values())
    if len(added) > MOST_ADDED or characters > MOST_ADDED_CHARACTERS:
        raise TokenizerError(
            f"{where} has {len(added):,} added tokens with {characters:,} characters; up to {MOST_ADDED:,} with "
            f"{MOST_ADDED_CHARACTERS:,} are accepted: put them into the vocabulary."
        )


def missing_unk(unk: str, where: str) -> TokenizerError:
    """Return the error for a vocabulary without the token for unknown words."""
    return TokenizerError(
        f"{where} has no {unk!r:.80} in its vocabulary, the token for unknown words: add it, or pass the token that is used "
        'instead, for example unk_token="<unk>".'
    )


def _lines(text: str, where: str) -> list[str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _check_count(text.count("\n"), where)
    lines = text.split("\n")
    if " \n" in text or "\t\n" in text or text[-1:] in (" ", "\t"):
        lines = [line.rstrip(" \t") or line for line in lines]  # a token may be a space
    while lines and not lines[-1].strip(" \t"):
        lines.pop()
    return lines


def _check_tokens(tokens: list[str], where: str) -> None:
    if not tokens:
        raise TokenizerError(f"{where} has no tokens: write one token per line, such as [UNK].")
    _check_count(len(tokens), where)
    if max(map(len, tokens)) > LONGEST_TOKEN:
        longest = max(tokens, key=len)
        raise TokenizerError(
            f"{where} has a token of {len(longest)} characters ({longest:.20}...); up to {LONGEST_TOKEN} are accepted: write "
            "one token per line. A text is not a vocabulary."
        )


def _check_count(count: int, where: str) -> None:
    if count > MOST_TOKENS:
        raise TokenizerError(f"{where} has {count} tokens; up to {MOST_TOKENS} are accepted.")


def check_ids(ids: Mapping[str, int], where: str) -> None:
    """Raise TokenizerError for an invalid id, and for two tokens with the same id."""
    values = ids.values()
    if set(map(type, values)) - {int} or min(values, default=0) < 0 or max(values, default=0) >= MOST_TOKENS:
        for token, index in ids.items():
            check_id(index, f"{where}: {token!r:.80}")
    if len(set(values)) < len(ids):
        holders: dict[int, str] = {}
        for token, index in ids.items():
            if holders.setdefault(index, token) != token:
                raise TokenizerError(f"{where} gives {holders[index]!r:.80} and {token!r:.80} the same id {index}.")


def _warn_of_duplicates(tokens: list[str], ids: dict[str, int], where: str) -> None:
    twice = dict.fromkeys(token for index, token in enumerate(tokens) if token and ids[token] != index)
    if twice:
        shown = ", ".join(f"{token!r:.80}" for token in list(twice)[:5]) + (", ..." if len(twice) > 5 else "")
        _logger.warning("%s has tokens more than once, and their last id is used: %s.", where, shown)
