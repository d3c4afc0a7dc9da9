"""WordPiece for many words at once: each step processes the next character of all words with arrays.

A *trie* is a tree of prefixes. Root 0 is for the pieces at the start of a word, root 1 for the pieces inside a word. From a
root, the characters of a word are followed down as long as there are such edges:

    un unable       root 0:  u - n* - a - b - l - e*        * a piece ends here
    ##a ##able      root 1:  a* - b - l - e*

The last star on the path is the end of the longest piece. For example, "unablea" is followed to the e, where "unable" ends;
the rest, "a", starts at root 1. Each node stores the last star on the path to it, so only the last node of a path is needed.

An edge is one number, computed from its start node and its character, and edge i leads to node 2 + i. Nodes are numbered
level by level, so the edges are sorted, and a binary search finds one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.text.wordpiece.translation import codes_of

Ints = NDArray[np.int64]
_Pieces = tuple[Ints, NDArray[np.int32], Ints]  # for each piece: the number of the word, the id, the end

_BITS = 21  # of a code point
_AFTER = 0x110000  # marks the end of each word; larger than any character


class Found(NamedTuple):
    """The pieces of a list of words, concatenated."""

    ids: NDArray[np.int32]  # [pieces]
    ends: NDArray[np.int32]  # [pieces]: the end of each piece in its word
    counts: Ints  # [words]: the number of pieces of each word


class Trie:
    """A trie of the pieces at the start of a word, and of those inside a word, without their prefix.

    >>> Trie({"un": 1, "unable": 2}, {"a": 3, "able": 4}, unknown=0, longest_word=100).find(["unablea", "unb", "un"])
    Found(ids=array([2, 3, 0, 1], dtype=int32), ends=array([6, 7, 3, 2], dtype=int32), counts=array([2, 1, 1]))
    """

    def __init__(self, first: Mapping[str, int], further: Mapping[str, int], unknown: int, longest_word: int) -> None:
        self._unknown, self._longest_word = unknown, longest_word
        pieces = [*first, *further]
        codes = codes_of("".join(pieces))
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        starts = np.cumsum(lengths) - lengths
        nodes = np.repeat([0, 1], [len(first), len(further)])  # the current node of each piece
        levels: list[Ints] = []
        count = 2
        while len(longer := np.flatnonzero(lengths > len(levels))):
            edges, places = np.unique(_edges(nodes[longer], codes[starts[longer] + len(levels)]), return_inverse=True)
            nodes[longer] = count + places
            levels.append(edges)
            count += len(edges)
        self._edges = np.concatenate([*levels, [np.iinfo(np.int64).max]])  # the last one is larger than any edge
        self._ids = np.full(count, -1, np.int32)  # the id of the last star on the path; -1 without one
        self._ids[nodes] = [*first.values(), *further.values()]
        self._ids[:2] = -1  # no piece ends at a root
        self._lengths = np.zeros(count, np.int32)  # the number of characters of that piece
        self._lengths[nodes] = lengths
        self._inherit(levels)

    def _inherit(self, levels: Sequence[Ints]) -> None:
        """Copy the last star from parents to the nodes where no piece ends."""
        start = 2
        for edges in levels:
            without = np.flatnonzero(self._ids[start : start + len(edges)] < 0)
            parents = edges[without] >> _BITS
            self._ids[start + without] = self._ids[parents]
            self._lengths[start + without] = self._lengths[parents]
            start += len(edges)

    def find(self, words: Sequence[str]) -> Found:
        """Return the longest pieces of each word, from left to right."""
        codes = codes_of("\0".join([*words, ""])).copy()
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        ends = np.cumsum(lengths + 1) - 1
        starts = ends - lengths
        codes[ends] = _AFTER
        spelled = lengths <= self._longest_word
        found = []
        left = np.flatnonzero(spelled & (lengths > 0))  # the words that are not finished
        at, root = starts[left], 0
        while len(left):
            nodes = self._walk(codes, at, root)
            ids, at, root = self._ids[nodes], at + self._lengths[nodes], 1
            found.append((left, ids, at))
            spelled[left[ids < 0]] = False
            on = np.flatnonzero((ids >= 0) & (at < ends[left]))
            left, at = left[on], at[on]
        found = [_where(spelled[left], left, ids, at) for left, ids, at in found]
        unknown = np.flatnonzero(~spelled)
        found.append((unknown, np.full(len(unknown), self._unknown, np.int32), ends[unknown]))
        return _in_order(found, starts)

    def _walk(self, codes: NDArray[np.uint32], at: Ints, root: int) -> Ints:
        """Walk from a root along the characters that begin at `at`, and return the last node of each path."""
        nodes = np.full(len(at), root)
        walking, here = np.arange(len(at)), nodes
        while len(walking):
            edges = _edges(here, codes[at])
            places = np.searchsorted(self._edges, edges)
            on = np.flatnonzero(self._edges[places] == edges)
            walking, here, at = walking[on], places[on] + 2, at[on] + 1
            nodes[walking] = here
        return nodes


def _edges(nodes: Ints, codes: NDArray[np.uint32]) -> Ints:
    return nodes << _BITS | codes


def _where(chosen: NDArray[np.bool_], numbers: Ints, ids: NDArray[np.int32], ends: Ints) -> _Pieces:
    return numbers[chosen], ids[chosen], ends[chosen]


def _in_order(found: Sequence[_Pieces], starts: Ints) -> Found:
    """Return the pieces, found round by round, in the order of the words."""
    numbers, ids, ends = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=len(starts))
    return Found(ids[order], (ends - starts[numbers])[order].astype(np.int32), counts)
