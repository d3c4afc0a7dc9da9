"""One row of a result with all that is known of its tokens: strings, words, characters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bertkit.text.wordpiece.pieces import Details

Offset = tuple[int, int]
Owners = list["int | None"]
_NOWHERE: Offset = (0, 0)


@dataclass
class Encoding:
    """A row: its tokens, special tokens and padding among them, and where each comes from.

    `spans[s]` is (first token, number of tokens, number of the first piece within its text) of text s = 0 or 1 of the
    row, and `sources[s]()` the Details of that text, which is only called when somebody asks for offsets or words.
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
        """For each token the (start, end) of its characters in its text; (0, 0) for special tokens and padding."""
        out: list[Offset] = [_NOWHERE] * len(self.ids)
        for (at, length, piece), source in zip(self.spans, self._sources, strict=True):
            details, end = source(), piece + length
            out[at : at + length] = zip(details.starts[piece:end], details.ends[piece:end], strict=True)
        return out

    @cached_property
    def word_ids(self) -> Owners:
        """For each token the number of its word in its text; None for special tokens and padding."""
        out: Owners = [None] * len(self.ids)
        for (at, length, piece), source in zip(self.spans, self._sources, strict=True):
            out[at : at + length] = source().words[piece : piece + length]
        return out

    @property
    def words(self) -> Owners:
        """The same as `word_ids`."""
        return self.word_ids

    @cached_property
    def sequence_ids(self) -> Owners:
        """For each token 0 for the first text, 1 for the second; None for special tokens and padding."""
        out: Owners = [None] * len(self.ids)
        for number, (at, length, _) in enumerate(self.spans):
            out[at : at + length] = [number] * length
        return out

    def token_to_sequence(self, token: int) -> int | None:
        """0 for a token of the first text, 1 for one of the second, None for special tokens and padding."""
        return self.sequence_ids[token] if -len(self) <= token < len(self) else None

    def token_to_word(self, token: int) -> int | None:
        """The number of the word of a token."""
        return self.word_ids[token] if -len(self) <= token < len(self) else None

    def token_to_chars(self, token: int) -> Offset | None:
        """The (start, end) of a token's characters in its text."""
        return None if self.token_to_sequence(token) is None else self.offsets[token]

    def word_to_tokens(self, word: int, sequence: int = 0) -> Offset | None:
        """The (first token, last token + 1) of a word of a text; None where the row has nothing of it."""
        places = [at for at in self._places(sequence) if self.word_ids[at] == word]
        return (places[0], places[-1] + 1) if places else None

    def word_to_chars(self, word: int, sequence: int = 0) -> Offset | None:
        """The (start, end) of a word's characters in its text, as far as the row has it."""
        tokens = self.word_to_tokens(word, sequence)
        return None if tokens is None else (self.offsets[tokens[0]][0], self.offsets[tokens[1] - 1][1])

    def char_to_token(self, char: int, sequence: int = 0) -> int | None:
        """The token that has a character of a text; None for a blank, or what the row has not."""
        offsets = self.offsets
        return next((at for at in self._places(sequence) if offsets[at][0] <= char < offsets[at][1]), None)

    def char_to_word(self, char: int, sequence: int = 0) -> int | None:
        """The word that has a character of a text."""
        token = self.char_to_token(char, sequence)
        return None if token is None else self.word_ids[token]

    def _places(self, sequence: int) -> range:
        if not 0 <= sequence < len(self.spans):
            return range(0)
        at, length, _ = self.spans[sequence]
        return range(at, at + length)

    def __getstate__(self) -> dict[str, Any]:
        """What is known of the row, worked out, so that it needs no tokenizer where it is read back."""
        state = dict(self.__dict__, tokens=self.tokens, offsets=self.offsets, word_ids=self.word_ids)
        return {name: value for name, value in state.items() if name not in ("_names", "_sources")}
