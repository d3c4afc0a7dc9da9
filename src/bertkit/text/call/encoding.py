"""One row of a result with all that is known of its tokens: strings, words, characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, overload

import numpy as np

from bertkit.text.call.rows import Ints, Layout
from bertkit.text.wordpiece.pieces import Details, Located

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


@dataclass
class Encodings(Sequence[Encoding]):
    """The rows of a result, each made when it is asked for."""

    layout: Layout
    ids: Ints  # flat, as laid out
    names: Callable[[list[int]], list[str]]
    locate: tuple[Callable[[], Located], ...]  # for each side; it takes time, and is only called when somebody asks
    ends: tuple[Ints, ...]  # for each side, where the pieces of each text end
    _rows: dict[int, Encoding] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.layout.widths)

    @overload
    def __getitem__(self, item: int) -> Encoding: ...
    @overload
    def __getitem__(self, item: slice) -> list[Encoding]: ...
    def __getitem__(self, item: int | slice) -> Encoding | list[Encoding]:
        if isinstance(item, slice):
            return [self[row] for row in range(*item.indices(len(self)))]
        row = range(len(self))[item]
        if row not in self._rows:
            self._rows[row] = self._made(row)
        return self._rows[row]

    def _made(self, row: int) -> Encoding:
        end = int(self._ends[row])
        start = end - int(self.layout.widths[row])
        ids, types, attention, special = (column[start:end].tolist() for column in (self.ids, *self._columns))
        text = int(self.layout.rows.texts[row])
        spans = tuple((at[row], length[row], piece[row]) for at, length, piece in self._spans)
        sources = tuple(partial(self._details, side, text) for side in range(len(self.locate)))
        return Encoding(ids, types, attention, special, spans, self.names, sources)

    def __iter__(self) -> Iterator[Encoding]:
        return (self[row] for row in range(len(self)))

    def _details(self, side: int, text: int) -> Details:
        return self._located[side].details(text)

    @cached_property
    def _located(self) -> list[Located]:
        return [locate() for locate in self.locate]

    def places(self) -> tuple[Ints, Ints]:
        """Where in its text each token begins and ends, flat; 0 for special tokens and padding."""
        first, second = self._located[0], self._located[1] if len(self.locate) > 1 else None
        starts = self.layout.spread(first.starts, None if second is None else second.starts)
        return starts, self.layout.spread(first.ends, None if second is None else second.ends)

    def offsets(self) -> list[list[Offset]]:
        """The offsets of every row."""
        starts, ends = self.places()
        return self.layout.parts(list(zip(starts.tolist(), ends.tolist(), strict=True)))

    @cached_property
    def _columns(self) -> tuple[Ints, Ints, Ints]:
        return self.layout.types(), self.layout.attention(), self.layout.special()

    @cached_property
    def _ends(self) -> Ints:
        return np.cumsum(self.layout.widths)

    @cached_property
    def _spans(self) -> list[tuple[list[int], list[int], list[int]]]:
        """For each side what `Encoding.spans` says of every row."""
        layout = self.layout
        at = layout.starts - (self._ends - layout.widths) + len(layout.frame.before)
        table = []
        for side, ends in zip((layout.rows.first, layout.rows.second), self.ends, strict=False):
            assert side is not None
            starts = np.concatenate([[0], ends[:-1]])[layout.rows.texts] if len(ends) else ends
            table.append((at.tolist(), side.lengths.tolist(), (side.starts - starts).tolist()))
            at = at + side.lengths + len(layout.frame.between)
        return table

    def __reduce__(self) -> tuple[type[list[Encoding]], tuple[list[Encoding]]]:
        """A list of rows, which needs no tokenizer where it is read back."""
        return list, ([self[row] for row in range(len(self))],)
