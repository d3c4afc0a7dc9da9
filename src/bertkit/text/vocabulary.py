r"""The vocabulary: which token has which id, and the `vocab.txt` that says so.

The lines of a `vocab.txt` are its tokens, and the number of a line, from 0, is the id. Reading repairs what leaves the ids
where they are: a byte-order mark, the \r of \r\n, blanks after a token, and blank lines at the end are dropped. A blank
line in between is an id that no text has. Of a token that is there twice the last id counts, as in all other libraries,
and a warning names it.
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
from bertkit.text.surrogates import HALF, refuse_halves

MOST_BYTES = 64 * 2**20
MOST_TOKENS = 2**22
LONGEST_TOKEN = 1_000
MOST_ADDED, MOST_ADDED_CHARACTERS = 50_000, 500_000
"""Of tokens that are looked for in the raw text, which a search for any of them is made of."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AddedToken:
    """A token that is looked for in the raw text, before it is split into words.

    The names are those of `tokenizers.AddedToken`. `normalized=None` means: unless it is special.

    >>> AddedToken("[ENT]", special=True).normalized
    False
    """

    content: str
    single_word: bool = False  # not as a part of a word
    lstrip: bool = False  # takes the blanks before it along
    rstrip: bool = False  # takes the blanks after it along
    normalized: bool | None = None  # looked for in the normalized text
    special: bool = False  # what decode(skip_special_tokens=True) skips

    def __post_init__(self) -> None:
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)
        if not isinstance(self.content, str):
            raise TokenizerError(f"The content of a token is a string, not {self.content!r:.80}.")
        if len(self.content) > LONGEST_TOKEN:
            raise TokenizerError(
                f"The token {self.content:.20}... has {len(self.content):,} characters, and bertkit takes up to "
                f"{LONGEST_TOKEN:,}."
            )
        if HALF.search(self.content):
            refuse_halves(self.content, "The token")
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise TokenizerError(
                    f"{name} of the token {self.content!r:.80} is True or False, not {getattr(self, name)!r:.80}."
                )

    @classmethod
    def of(cls, value: object, **default: bool) -> AddedToken:
        """A string, the object of a JSON file or a `tokenizers.AddedToken` as a token.

        A string gets the flags of `default`, an object brings its own.

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
        raise TokenizerError(f'A token is a string, or an object with a "content", not {value!r:.80}.')

    def to_dict(self) -> dict[str, Any]:
        """The token as JSON files have it."""
        return {"content": self.content} | {name: getattr(self, name) for name in FLAGS}

    def __str__(self) -> str:
        return self.content


FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def as_token(value: object, special: bool) -> AddedToken:
    """A string, or an AddedToken of ours or of the `tokenizers` library, as an AddedToken.

    >>> as_token("[ENT]", special=True).special
    True
    """
    if isinstance(value, str):
        return AddedToken(value, special=special)
    if isinstance(value, AddedToken) or all(hasattr(value, name) for name in ("content", "single_word", "lstrip")):
        names = ("content", "single_word", "lstrip", "rstrip", "normalized")
        return AddedToken(**{name: getattr(value, name) for name in names}, special=special or value.special)  # type: ignore[attr-defined]
    raise UsageError(
        f'{value!r} ({type(value).__name__}) is no token: type a string or AddedToken("[ENT]", special=True).'
    )


class Vocabulary:
    """Tokens and their ids, both ways.

    `tokens[i]` is the token of id i, "" where an id has none. `ids[token]` is the id of a token.

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
        """The vocabulary of a mapping token -> id. Ids may have gaps, but none may have two tokens.

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
        """Write a `vocab.txt`. A token with a line end inside, which no text has, leaves its line blank."""
        lines = ["" if "\n" in token or "\r" in token else token for token in self.tokens]
        with whole_file(path) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def __len__(self) -> int:
        """The number of different tokens, which is what other libraries call `vocab_size`."""
        return len(self.ids)

    def __contains__(self, token: object) -> bool:
        return token in self.ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.tokens, self.ids) == (other.tokens, other.ids)

    __hash__ = None  # type: ignore[assignment]  # its tokens can change

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"


def vocabulary_of(source: object) -> Vocabulary:
    """The vocabulary of a file, a mapping token -> id, or a list of tokens.

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
        f'{source!r} is no vocabulary: type BertTokenizer("vocab.txt"), or BertTokenizer.from_pretrained(name) for a '
        "model's own."
    )


def give_ids(tokens: Iterable[AddedToken], vocabulary: Vocabulary, added: dict[int, AddedToken]) -> list[int]:
    """Put tokens into `added`, and return their ids.

    A token keeps the id that its content has there or in the vocabulary. A new one gets the number of all tokens so far as
    its id, or the next that is free.

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
    """A token out of a file, special where it is a mere string, or an error that begins with `what`."""
    try:
        return AddedToken.of(value, special=True)
    except TokenizerError as error:
        raise TokenizerError(f"{what}: {error}") from error


def check_id(index: object, what: str) -> int:
    """A number out of a file as an id, or an error that begins with `what`."""
    if type(index) is not int or not 0 <= index < MOST_TOKENS:
        raise TokenizerError(f"{what} has the id {index!r:.80}: an id is a whole number from 0 to {MOST_TOKENS - 1}.")
    return index


def check_added(added: Mapping[int, AddedToken], where: str) -> None:
    """Refuse more added tokens than can be looked for."""
    characters = sum(len(token.content) for token in added.values())
    if len(added) > MOST_ADDED or characters > MOST_ADDED_CHARACTERS:
        raise TokenizerError(
            f"{where} has {len(added):,} added tokens with {characters:,} characters, and bertkit takes up to "
            f"{MOST_ADDED:,} with {MOST_ADDED_CHARACTERS:,}: put them into the vocabulary."
        )


def missing_unk(unk: str, where: str) -> TokenizerError:
    """The error of a vocabulary without a token for unknown words."""
    return TokenizerError(
        f"{where} has no {unk!r:.80} in its vocabulary, which every unknown word becomes: add it, "
        'or name the token that is there, such as unk_token="<unk>".'
    )


def _lines(text: str, where: str) -> list[str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _check_count(text.count("\n"), where)
    lines = text.split("\n")
    if " \n" in text or "\t\n" in text or text[-1:] in (" ", "\t"):
        lines = [line.rstrip(" \t") or line for line in lines]  # a token may be a blank
    while lines and not lines[-1].strip(" \t"):
        lines.pop()
    return lines


def _check_tokens(tokens: list[str], where: str) -> None:
    if not tokens:
        raise TokenizerError(f"{where} has no tokens: give one token a line, such as [UNK].")
    _check_count(len(tokens), where)
    if max(map(len, tokens)) > LONGEST_TOKEN:
        longest = max(tokens, key=len)
        raise TokenizerError(
            f"{where} has a token of {len(longest)} characters ({longest:.20}...), and bertkit takes up to "
            f"{LONGEST_TOKEN}: a vocabulary has one token a line, and is not the text itself."
        )


def _check_count(count: int, where: str) -> None:
    if count > MOST_TOKENS:
        raise TokenizerError(f"{where} has {count} tokens, and bertkit takes up to {MOST_TOKENS}.")


def check_ids(ids: Mapping[str, int], where: str) -> None:
    """Raise an error for an invalid id, and for two tokens with the same one."""
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
        _logger.warning("%s has tokens more than once, and the last id counts: %s.", where, shown)
