"""WordPiece: a word -> the longest pieces that the vocabulary has, from left to right.

    vocabulary   un  ##aff  ##able  ##a  ...
    unaffable    "unaffable", "unaffabl", ... are not in it; "un" is: take it
      affable    "##affable", ... "##aff" is in it: take it
         able    "##able" is in it: take it, and the word is done: un ##aff ##able

The search is greedy, never goes back, and a word that it cannot finish is unknown as a whole. Most words of a text came
before, so a table remembers the pieces of each word; a batch of words is then a look-up each, and the rest is NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError

MOST_WORDS = 2**17
"""Words that a table remembers before it begins anew: about 25 MB."""


class Split(NamedTuple):
    """The pieces of some words, one after the other."""

    ids: NDArray[np.int32]  # [pieces]
    counts: NDArray[np.int64]  # [words]: pieces of each word
    starts: NDArray[np.int32]  # [pieces]: first character within the word
    ends: NDArray[np.int32]  # [pieces]: the one behind the last


class WordPiece:
    """Splits words by a vocabulary.

    >>> wordpiece = WordPiece({"[UNK]": 0, "un": 1, "##aff": 2, "##able": 3})
    >>> wordpiece.split(["unaffable", "un", "able"]).ids.tolist()
    [1, 2, 3, 1, 0]
    """

    def __init__(
        self, ids: Mapping[str, int], unknown: str = "[UNK]", prefix: str = "##", longest_word: int = 100
    ) -> None:
        if unknown not in ids:
            raise UsageError(f"The vocabulary has no {unknown}, which stands for words that it cannot spell: add it.")
        self._first = ids
        self._next = {piece[len(prefix) :]: id for piece, id in ids.items() if piece.startswith(prefix)}
        self._unknown = ids[unknown]
        self._longest_word = longest_word
        self._longest_piece = max(map(len, ids))
        self._table = _Table(self)

    def pieces(self, word: str) -> tuple[list[int], list[int]]:
        """The ids of the pieces of one word, and where each ends in it."""
        ids: list[int] = []
        ends: list[int] = []
        if len(word) > self._longest_word:
            return [self._unknown], [len(word)]
        start, known = 0, self._first
        while start < len(word):
            end = min(len(word), start + self._longest_piece)
            while (id := known.get(word[start:end])) is None:
                end -= 1
                if end == start:
                    return [self._unknown], [len(word)]
            ids.append(id)
            ends.append(end)
            start, known = end, self._next
        return ids, ends

    def split(self, words: Sequence[str]) -> Split:
        """The pieces of many words."""
        if len(self._table) > MOST_WORDS:
            self._table = _Table(self)
        rows = np.fromiter(map(self._table.__getitem__, words), np.int64, len(words))
        return self._table.gather(rows)

    def ids_of(self, words: Sequence[str]) -> list[int]:
        """The ids of the pieces of a few words, without NumPy, which takes longer to start than they do."""
        if len(self._table) > MOST_WORDS:
            self._table = _Table(self)
        table = self._table
        ids: list[int] = []
        for word in words:
            ids += table.ids_of[table[word]]
        return ids


class _Table(dict[str, int]):
    """Word -> its row. The pieces of row r are those from bounds[r] to bounds[r + 1] of the flat lists."""

    def __init__(self, wordpiece: WordPiece) -> None:
        super().__init__()
        self._wordpiece = wordpiece
        self.ids_of: list[list[int]] = []
        self._ids: list[int] = []
        self._ends: list[int] = []
        self._bounds: list[int] = [0]
        self._arrays = (np.empty(0, np.int32), np.empty(0, np.int32), np.zeros(1, np.int64))

    def __missing__(self, word: str) -> int:
        ids, ends = self._wordpiece.pieces(word)
        self.ids_of.append(ids)
        self._ids += ids
        self._ends += ends
        self._bounds.append(len(self._ids))
        row = self[word] = len(self.ids_of) - 1
        return row

    def gather(self, rows: NDArray[np.int64]) -> Split:
        """The pieces of the words in these rows."""
        ids, ends, bounds = self._as_arrays()
        firsts = bounds[rows]
        counts = bounds[rows + 1] - firsts
        if len(counts) == (total := int(counts.sum())):  # every word is one piece
            places = firsts
        else:
            before = np.cumsum(counts) - counts
            places = np.repeat(firsts - before, counts) + np.arange(total)
        piece_ends = ends[places]
        starts = np.zeros_like(piece_ends)
        starts[1:] = piece_ends[:-1]
        starts[np.cumsum(counts) - counts] = 0
        return Split(ids[places], counts, starts, piece_ends)

    def _as_arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """The flat lists as arrays, of which only what is new has to be converted."""
        ids, ends, bounds = self._arrays
        if len(bounds) != len(self._bounds):
            ids = np.concatenate([ids, np.array(self._ids[len(ids) :], np.int32)])
            ends = np.concatenate([ends, np.array(self._ends[len(ends) :], np.int32)])
            bounds = np.concatenate([bounds, np.array(self._bounds[len(bounds) :], np.int64)])
            self._arrays = (ids, ends, bounds)
        return self._arrays
