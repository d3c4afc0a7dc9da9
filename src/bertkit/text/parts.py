"""The two steps of BERT's tokenizer as separate objects: text -> words, and words -> pieces."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bertkit.errors import Setting, UsageError
from bertkit.text.surrogates import check_surrogates
from bertkit.text.vocabulary import Vocabulary
from bertkit.text.wordpiece.characters import Normalizer, Rules
from bertkit.text.wordpiece.unicode import Compat
from bertkit.text.wordpiece.wordpiece import WordPiece


@dataclass(frozen=True)
class BasicTokenizer:
    """Text -> words: cleans, lower-cases, and splits at whitespace and punctuation.

    >>> BasicTokenizer().tokenize("Unaffable, no?")
    ['unaffable', ',', 'no', '?']
    """

    do_lower_case: bool = True
    never_split: Collection[str] | None = None
    tokenize_chinese_chars: bool = True
    strip_accents: bool | None = None
    do_split_on_punc: bool = True
    compat: Compat = "slow"

    def __post_init__(self) -> None:
        if not self.do_split_on_punc:
            raise UsageError("BERT splits at punctuation: leave ", Setting("do_split_on_punc", False), " out.")

    @cached_property
    def _normalizer(self) -> Normalizer:
        rules = Rules(self.do_lower_case, self.strip_accents, self.tokenize_chinese_chars, compat=self.compat)
        return Normalizer(rules)

    def tokenize(self, text: str, never_split: Iterable[str] | None = None) -> list[str]:
        """Return the words of a text. Words in `never_split` are not changed."""
        check_surrogates(text)
        whole = {*(self.never_split or ()), *(never_split or ())}
        if not whole:
            return self._normalizer.words(text)
        return [word for part in text.split() for word in ([part] if part in whole else self._normalizer.words(part))]


@dataclass(frozen=True)
class WordpieceTokenizer:
    """Words -> pieces: the longest pieces in the vocabulary, from left to right.

    >>> WordpieceTokenizer({"[UNK]": 0, "un": 1, "##aff": 2, "##able": 3}, "[UNK]").tokenize("unaffable able")
    ['un', '##aff', '##able', '[UNK]']
    """

    vocab: Mapping[str, int] = field(repr=False)
    unk_token: str
    max_input_chars_per_word: int = 100
    prefix: str = "##"

    @cached_property
    def _pieces(self) -> WordPiece:
        ids = {token: number for number, token in enumerate(self._tokens)}
        return WordPiece(ids, self.unk_token, self.prefix, self.max_input_chars_per_word)

    @cached_property
    def _tokens(self) -> list[str]:
        return list({self.unk_token: 0, **self.vocab})

    def tokenize(self, text: str) -> list[str]:
        """Return the pieces of words that are separated by whitespace."""
        return [self._tokens[index] for index in self._pieces.ids_of(text.split())]


def load_vocab(vocab_file: str | os.PathLike[str]) -> dict[str, int]:
    """Return the tokens of a `vocab.txt` and their ids."""
    return dict(Vocabulary.from_file(vocab_file).ids)


def whitespace_tokenize(text: str) -> list[str]:
    """Return the parts of a text between whitespace.

    >>> whitespace_tokenize(" a  b ")
    ['a', 'b']
    """
    return text.split()
