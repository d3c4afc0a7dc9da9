"""Byte-pair encoding on counted words: the most frequent pair of neighbouring pieces is merged into one piece, repeatedly.

    words          low ×5    lower ×2         newest ×6            widest ×3
    characters     l ##o ##w l ##o ##w ##e ##r n ##e ##w ##e ##s ##t w ##i ##d ##e ##s ##t
    ##e ##s  ×9    l ##o ##w l ##o ##w ##e ##r n ##e ##w ##es ##t    w ##i ##d ##es ##t
    ##es ##t ×9    l ##o ##w l ##o ##w ##e ##r n ##e ##w ##est       w ##i ##d ##est
    l ##o    ×7    lo ##w    lo ##w ##e ##r    n ##e ##w ##est       w ##i ##d ##est

Internally, piece number n is the character `chr(n)`, so that a word is a string, a pair is a string of two characters, and
merging a pair is `str.replace`. A heap of (-count, pair) finds the most frequent pair; of equal counts, it takes the pair
whose pieces are older.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from operator import add


def merge(
    counts: Mapping[str, int],
    alphabet: Sequence[str],
    room: int,
    *,
    min_frequency: int = 2,
    prefix: str = "##",
    reserved: Iterable[str] = (),
    on_pieces: Callable[[int], object] = lambda count: None,
) -> list[str]:
    """Return the alphabet and the merged pieces: `room` in total, or fewer if no frequent pairs are left.

    Args:
        counts: how often each word occurs. Words with characters that are not in the alphabet are ignored.
        alphabet: the pieces of one character; those inside a word have the prefix.
        room: the number of pieces.
        min_frequency: how often a pair must occur.
        prefix: the prefix of a piece inside a word.
        reserved: texts that cannot be pieces, such as the special tokens.
        on_pieces: is called with the number of pieces that were just added.

    >>> counts = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    >>> alphabet = [*"deilnorstw", *("##" + character for character in "deiorstw")]
    >>> merge(counts, alphabet, 22)[18:]
    ['##es', '##est', 'lo', 'low']
    """
    pieces = list(alphabet)
    symbols = {piece: chr(number) for number, piece in enumerate(pieces)}
    pairs = _Pairs(_spelled(counts, alphabet, prefix))
    hidden = frozenset(reserved)
    shown = len(pieces)
    on_pieces(shown)
    while shown < room and (pair := pairs.most_frequent(min_frequency)):
        left, right = (pieces[ord(symbol)] for symbol in pair)
        piece = left + right.removeprefix(prefix)
        if piece not in symbols:  # different pairs may make the same piece
            symbols[piece] = chr(len(pieces))
            pieces.append(piece)
            if piece not in hidden:
                shown += 1
                on_pieces(1)
        pairs.merge(pair, symbols[piece])
    return [piece for piece in pieces if piece not in hidden]


def _spelled(counts: Mapping[str, int], alphabet: Sequence[str], prefix: str) -> Iterable[tuple[str, int]]:
    """Yield the words as strings of symbols, with their counts. Words with other characters than `alphabet` are left out."""
    heads = {ord(piece): number for number, piece in enumerate(alphabet) if len(piece) == 1}
    tails = {ord(piece[-1]): number for number, piece in enumerate(alphabet) if len(piece) > 1}
    known = frozenset(map(chr, heads))
    for word, count in counts.items():
        if known.issuperset(word):
            yield word[0].translate(heads) + word[1:].translate(tails), count


class _Pairs:
    """The words, the pairs of neighbouring pieces in them, and how often each pair occurs."""

    def __init__(self, words: Iterable[tuple[str, int]]) -> None:
        self._words: list[str] = []
        self._weights: list[int] = []
        self._counts: dict[str, int] = defaultdict(int)
        self._where: dict[str, list[int]] = defaultdict(list)  # the words that contain a pair, or contained it before
        for index, (word, weight) in enumerate(words):
            self._words.append(word)
            self._weights.append(weight)
            for pair in map(add, word, word[1:]):
                self._counts[pair] += weight
                self._where[pair].append(index)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapify(self._heap)

    def most_frequent(self, least: int) -> str | None:
        """Return the most frequent pair, or None if it occurs fewer than `least` times."""
        while self._heap:
            count, pair = -self._heap[0][0], self._heap[0][1]
            now = self._counts[pair]
            if count == now:
                return pair if now >= least else None
            heappop(self._heap)
            if 0 < now < count:  # a larger count is on the heap already
                heappush(self._heap, (-now, pair))
        return None

    def merge(self, pair: str, symbol: str) -> None:
        """Replace a pair by one symbol in all words."""
        changes: dict[str, int] = defaultdict(int)
        for index in self._where.pop(pair):
            word = self._words[index]
            merged = word.replace(pair, symbol)
            if merged == word:
                continue
            weight = self._weights[index]
            self._words[index] = merged
            for gone in map(add, word, word[1:]):
                changes[gone] -= weight
            for new in map(add, merged, merged[1:]):
                changes[new] += weight
                if symbol in new:
                    self._where[new].append(index)
        for neighbours, change in changes.items():
            self._counts[neighbours] += change
            if change > 0:
                heappush(self._heap, (-self._counts[neighbours], neighbours))
