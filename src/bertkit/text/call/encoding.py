"""Encoding: one row of a result, with the strings, words and characters of its tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bertkit.text.wordpiece.pieces import Details

Offset = tuple[int, int]
Numbers = list["int | None"]
_NO_OFFSET: Offset = (0, 0)


@dataclass
class Encoding:
    """A row: its tokens, including special tokens and padding, and their words and characters.

    `spans[s]` describes text s = 0 or 1 of the row: (first token, number of tokens, number of the first piece within the
    text). `_sources[s]()` returns the Details of that text; it is slow, and called only when offsets or words are needed.
    """

    ids: list[int]
    type_ids: list[int]
    attention_mask: list[int]
    special_tokens_mask: list[int]
    spans: tuple[tuple[int, int, int], ...]
    _names: Callable[[list[int]], list[str]] = field(repr=False)
    _sources: tuple[Callable[[], Details], ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_sequences(self) -> int:
        """1 for a text, 2 for a pair."""
        return len(self.spans)

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens as strings."""
        return self._names(self.ids)

    @cached_property
    def offsets(self) -> list[Offset]:
        """The (start, end) of each token's characters in its text; (0, 0) for special tokens and padding."""
        out: list[Offset] = [_NO_OFFSET] * len(self.ids)
        for (at, length, piece), source in zip(self.spans, self._sources, strict=True):
            details, end = source(), piece + length
            out[at : at + length] = zip(details.starts[piece:end], details.ends[piece:end], strict=True)
        return out

    @cached_property
    def word_ids(self) -> Numbers:
        """The number of each token's word in its text; None for special tokens and padding."""
        out: Numbers = [None] * len(self.ids)
        for (at, length, piece), source in zip(self.spans, self._sources, strict=True):
            out[at : at + length] = source().words[piece : piece + length]
        return out

    @property
    def words(self) -> Numbers:
        """The same as `word_ids`."""
        return self.word_ids

    @cached_property
    def sequence_ids(self) -> Numbers:
        """For each token, the number of its text, 0 or 1; None for special tokens and padding."""
        out: Numbers = [None] * len(self.ids)
        for number, (at, length, _) in enumerate(self.spans):
            out[at : at + length] = [number] * length
        return out

    def token_to_sequence(self, token: int) -> int | None:
        """The number of the text that contains a token, 0 or 1; None for special tokens and padding."""
        return self.sequence_ids[token] if -len(self) <= token < len(self) else None

    def token_to_word(self, token: int) -> int | None:
        """The number of the word of a token."""
        return self.word_ids[token] if -len(self) <= token < len(self) else None

    def token_to_chars(self, token: int) -> Offset | None:
        """The (start, end) of a token in its text; None for special tokens and padding."""
        return None if self.token_to_sequence(token) is None else self.offsets[token]

    def word_to_tokens(self, word: int, sequence: int = 0) -> Offset | None:
        """The (first token, last token + 1) of a word; None if it is not in the row."""
        places = [at for at in self._places(sequence) if self.word_ids[at] == word]
        return (places[0], places[-1] + 1) if places else None

    def word_to_chars(self, word: int, sequence: int = 0) -> Offset | None:
        """The (start, end) of a word's characters in its text; only the part in the row if the word is truncated."""
        tokens = self.word_to_tokens(word, sequence)
        return None if tokens is None else (self.offsets[tokens[0]][0], self.offsets[tokens[1] - 1][1])

    def char_to_token(self, char: int, sequence: int = 0) -> int | None:
        """The token that contains a character of a text; None for whitespace and for characters that are not in the row."""
        offsets = self.offsets
        return next((at for at in self._places(sequence) if offsets[at][0] <= char < offsets[at][1]), None)

    def char_to_word(self, char: int, sequence: int = 0) -> int | None:
        """The number of the word that contains a character of a text."""
        token = self.char_to_token(char, sequence)
        return None if token is None else self.word_ids[token]

    def _places(self, sequence: int) -> range:
        if not 0 <= sequence < len(self.spans):
            return range(0)
        at, length, _ = self.spans[sequence]
        return range(at, at + length)

    def __getstate__(self) -> dict[str, Any]:
        """Compute tokens, offsets and words, so that the pickled row does not need the tokenizer."""
        state = dict(self.__dict__, tokens=self.tokens, offsets=self.offsets, word_ids=self.word_ids)
        return {name: value for name, value in state.items() if name not in ("_names", "_sources")}
