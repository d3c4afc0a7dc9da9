"""WordPiece: a word -> the longest pieces that the vocabulary has, from left to right.

    vocabulary   un  ##aff  ##able  ##a  ...
    unaffable    "unaffable", "unaffabl", ... are not in it; "un" is: take it
      affable    "##affable", ... "##aff" is in it: take it
         able    "##able" is in it: take it, and the word is done: un ##aff ##able

The search is greedy, never goes back, and a word that it cannot finish is unknown as a whole. Most words of a text are
known from before, so a table remembers the pieces of each word; a batch of words is then a look-up each, and the rest is
NumPy. Where many words are new, trie.py finds the pieces of all of them together.
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
"""Words that a table remembers before it begins anew."""

MANY_WORDS = 1_000
"""New words from which on a trie is worth the time of making it once, which is that of some 5,000 words."""

_LARGEST_TRIE = 2**22  # characters of a vocabulary: a trie of 80 MB


class Split(NamedTuple):
    """The pieces of some words, one after the other."""

    ids: NDArray[np.int32]  # [pieces]
    counts: NDArray[np.int64]  # [words]: pieces of each word
    starts: NDArray[np.int32]  # [pieces]: first character within the word
    ends: NDArray[np.int32]  # [pieces]: the one after the last


class _Pieces(NamedTuple):
    """The pieces of the rows of a table: those of row r are from bounds[r] to bounds[r + 1]."""

    ids: NDArray[np.int32]  # [pieces]
    ends: NDArray[np.int32]  # [pieces]
    bounds: NDArray[np.int64]  # [rows + 1]


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
        self._table = _Table(self.find)
        self._few: dict[str, list[int]] = {}

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

    def find(self, words: Sequence[str]) -> Found:
        """The pieces of some words, none of which is remembered."""
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
        """The pieces of many words."""
        if len(self._table) > MOST_WORDS:
            self._table = _Table(self.find)
        return self._table.split(words)

    def ids_of(self, words: Sequence[str]) -> list[int]:
        """The ids of the pieces of a few words, without NumPy, which takes longer to start than they do."""
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
    """Word -> its row. The last rows may still lack their pieces."""

    def __init__(self, find: Callable[[Sequence[str]], Found]) -> None:
        super().__init__()
        self._find = find
        self._pieces = _Pieces(np.empty(0, np.int32), np.empty(0, np.int32), np.zeros(1, np.int64))
        self._lock = threading.Lock()

    def __missing__(self, word: str) -> int:
        row = self[word] = len(self)
        return row

    def split(self, words: Sequence[str]) -> Split:
        """The pieces of words."""
        with self._lock:  # two threads must not give out the same row
            rows = np.fromiter(map(self.__getitem__, words), np.int64, len(words))
            if len(self) >= len(self._pieces.bounds):
                self._learn()
            pieces = self._pieces
        return _gather(pieces, rows)

    def _learn(self) -> None:
        """Find the pieces of the words that have none yet: the last ones."""
        ids, ends, bounds = self._pieces
        new = list(islice(reversed(self), len(self) + 1 - len(bounds)))[::-1]
        found = self._find(new)
        further = bounds[-1] + np.cumsum(found.counts)
        self._pieces = _Pieces(
            np.concatenate([ids, found.ids]), np.concatenate([ends, found.ends]), np.concatenate([bounds, further])
        )


def _gather(pieces: _Pieces, rows: NDArray[np.int64]) -> Split:
    """The pieces of the words in these rows."""
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
