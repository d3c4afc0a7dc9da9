"""WordPiece: a word -> the longest pieces in the vocabulary, from left to right.

    vocabulary   un  ##aff  ##able  ##a  ...
    unaffable    "unaffable", "unaffabl", ... are not in it; "un" is: take it
      affable    "##affable", ... "##aff" is in it: take it
         able    "##able" is in it: take it, and the word is done: un ##aff ##able

The search is greedy and never goes back. If a part of a word has no piece, the whole word is unknown. Words repeat, so a
table caches the pieces of each word. If many words of a batch are new, trie.py finds their pieces together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.text.wordpiece.trie import Found, Trie

MOST_WORDS = 2**17
"""The number of cached words at which a table is cleared."""

MANY_WORDS = 1_000
"""The number of new words from which a trie is used. Making it once takes as long as splitting some 5,000 words."""

_LARGEST_TRIE = 2**22  # characters of a vocabulary: a trie of 80 MB


class Split(NamedTuple):
    """The pieces of a list of words, concatenated."""

    ids: NDArray[np.int32]  # [pieces]
    counts: NDArray[np.int64]  # [words]: the number of pieces of each word
    starts: NDArray[np.int32]  # [pieces]: the start of each piece in its word
    ends: NDArray[np.int32]  # [pieces]: the end of each piece in its word


class _Pieces(NamedTuple):
    """The pieces of the rows of a table, concatenated. Those of row r are `ids[bounds[r] : bounds[r + 1]]`."""

    ids: NDArray[np.int32]  # [pieces]
    ends: NDArray[np.int32]  # [pieces]
    bounds: NDArray[np.int64]  # [rows + 1]


class WordPiece:
    """Splits words into the pieces of a vocabulary.

    >>> wordpiece = WordPiece({"[UNK]": 0, "un": 1, "##aff": 2, "##able": 3})
    >>> wordpiece.split(["unaffable", "un", "able"]).ids.tolist()
    [1, 2, 3, 1, 0]
    """

    def __init__(
        self, ids: Mapping[str, int], unknown: str = "[UNK]", prefix: str = "##", longest_word: int = 100
    ) -> None:
        if unknown not in ids:
            raise UsageError(f"The vocabulary has no {unknown}, the token for unknown words: add it.")
        self._first = ids
        self._next = {piece[len(prefix) :]: id for piece, id in ids.items() if piece.startswith(prefix)}
        self._unknown = ids[unknown]
        self._longest_word = longest_word
        self._longest_piece = max(map(len, ids))
        self._table = _Table(self.find)
        self._few: dict[str, list[int]] = {}

    def pieces(self, word: str) -> tuple[list[int], list[int]]:
        """Return the ids of the pieces of one word, and the end of each piece in the word."""
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

    def find(self, words: Sequence[str]) -> Found:
        """Return the pieces of words, without the cache."""
        if len(words) >= MANY_WORDS and self._trie is not None:
            return self._trie.find(words)
        ids: list[int] = []
        ends: list[int] = []
        counts: list[int] = []
        for word in words:
            some_ids, some_ends = self.pieces(word)
            ids += some_ids
            ends += some_ends
            counts.append(len(some_ids))
        return Found(np.array(ids, np.int32), np.array(ends, np.int32), np.array(counts, np.int64))

    @cached_property
    def _trie(self) -> Trie | None:
        if sum(map(len, self._first)) > _LARGEST_TRIE:
            return None
        return Trie(self._first, self._next, self._unknown, self._longest_word)

    def split(self, words: Sequence[str]) -> Split:
        """Return the pieces of many words."""
        if len(self._table) > MOST_WORDS:
            self._table = _Table(self.find)
        return self._table.split(words)

    def ids_of(self, words: Sequence[str]) -> list[int]:
        """Return the ids of the pieces of a few words, without NumPy, which would be slower for them."""
        few = self._few
        if len(few) > MOST_WORDS // 2:
            few.clear()
        ids: list[int] = []
        for word in words:
            if (found := few.get(word)) is None:
                found = few[word] = self.pieces(word)[0]
            ids += found
        return ids


class _Table(dict[str, int]):
    """A cache: word -> its row in `_pieces`. The pieces of the last rows may not be known yet."""

    def __init__(self, find: Callable[[Sequence[str]], Found]) -> None:
        super().__init__()
        self._find = find
        self._pieces = _Pieces(np.empty(0, np.int32), np.empty(0, np.int32), np.zeros(1, np.int64))
        self._lock = threading.Lock()

    def __missing__(self, word: str) -> int:
        row = self[word] = len(self)
        return row

    def split(self, words: Sequence[str]) -> Split:
        """Return the pieces of words."""
        with self._lock:  # two threads must not use the same row for different words
            rows = np.fromiter(map(self.__getitem__, words), np.int64, len(words))
            if len(self) >= len(self._pieces.bounds):
                self._learn()
            pieces = self._pieces
        return _gather(pieces, rows)

    def _learn(self) -> None:
        """Find the pieces of the last words, which are not known yet."""
        ids, ends, bounds = self._pieces
        new = list(islice(reversed(self), len(self) + 1 - len(bounds)))[::-1]
        found = self._find(new)
        further = bounds[-1] + np.cumsum(found.counts)
        self._pieces = _Pieces(
            np.concatenate([ids, found.ids]), np.concatenate([ends, found.ends]), np.concatenate([bounds, further])
        )


def _gather(pieces: _Pieces, rows: NDArray[np.int64]) -> Split:
    """Return the pieces of the words in the given rows."""
    firsts = pieces.bounds[rows]
    counts = pieces.bounds[rows + 1] - firsts
    if (counts == 1).all():
        places = firsts
    else:
        before = np.cumsum(counts) - counts
        places = np.repeat(firsts - before, counts) + np.arange(int(counts.sum()))
    ends = pieces.ends[places]
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1]
    starts[(np.cumsum(counts) - counts)[counts > 0]] = 0
    return Split(pieces.ids[places], counts, starts, ends)
