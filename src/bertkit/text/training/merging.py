"""Byte-pair encoding on counted words: the most frequent neighbours become one piece, again and again.

    words          low ×5    lower ×2         newest ×6            widest ×3
    characters     l ##o ##w l ##o ##w ##e ##r n ##e ##w ##e ##s ##t w ##i ##d ##e ##s ##t
    ##e ##s  ×9    l ##o ##w l ##o ##w ##e ##r n ##e ##w ##es ##t    w ##i ##d ##es ##t
    ##es ##t ×9    l ##o ##w l ##o ##w ##e ##r n ##e ##w ##est       w ##i ##d ##est
    l ##o    ×7    lo ##w    lo ##w ##e ##r    n ##e ##w ##est       w ##i ##d ##est

Here a piece is one character, the one that has the piece's number as its code point; a word is a string of them, and two
neighbours are a string of two. So merging them in a word is `str.replace`, and a heap of (-count, pair) decides equal counts
by the older pieces.
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
    """The alphabet and the pieces that merging adds to it, `room` in all unless the words run out of pairs.

    Args:
        counts: how often each word occurs. Words with characters that are not in the alphabet are left out.
        alphabet: the pieces of one character, those inside a word with the prefix.
        room: how many pieces.
        min_frequency: how often a pair must occur.
        prefix: what marks a piece inside a word.
        reserved: words that are no pieces, since something else has their name.
        on_pieces: hears how many pieces were just added.

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
        if piece not in symbols:  # there may be several ways to a piece
            symbols[piece] = chr(len(pieces))
            pieces.append(piece)
            if piece not in hidden:
                shown += 1
                on_pieces(1)
        pairs.merge(pair, symbols[piece])
    return [piece for piece in pieces if piece not in hidden]


def _spelled(counts: Mapping[str, int], alphabet: Sequence[str], prefix: str) -> Iterable[tuple[str, int]]:
    """The words of known characters as strings of symbols, with their counts."""
    heads = {ord(piece): number for number, piece in enumerate(alphabet) if len(piece) == 1}
    tails = {ord(piece[-1]): number for number, piece in enumerate(alphabet) if len(piece) > 1}
    known = frozenset(map(chr, heads))
    for word, count in counts.items():
        if known.issuperset(word):
            yield word[0].translate(heads) + word[1:].translate(tails), count


class _Pairs:
    """Words, the pairs of neighbours in them, and how often each pair occurs."""

    def __init__(self, words: Iterable[tuple[str, int]]) -> None:
        self._words: list[str] = []
        self._weights: list[int] = []
        self._counts: dict[str, int] = defaultdict(int)
        self._where: dict[str, list[int]] = defaultdict(list)  # the words of a pair, and some that had it
        for index, (word, weight) in enumerate(words):
            self._words.append(word)
            self._weights.append(weight)
            for pair in map(add, word, word[1:]):
                self._counts[pair] += weight
                self._where[pair].append(index)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapify(self._heap)

    def most_frequent(self, least: int) -> str | None:
        """The most frequent pair, None when it occurs fewer than `least` times."""
        while self._heap:
            count, pair = -self._heap[0][0], self._heap[0][1]
            now = self._counts[pair]
            if count == now:
                return pair if now >= least else None
            heappop(self._heap)
            if 0 < now < count:  # a rise is on the heap already
                heappush(self._heap, (-now, pair))
        return None

    def merge(self, pair: str, symbol: str) -> None:
        """Put one symbol in the place of a pair, wherever it is."""
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
