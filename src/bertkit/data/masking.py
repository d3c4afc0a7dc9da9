"""Masking for pretraining.

15% of the tokens are chosen. Of the chosen tokens, 80% are replaced by [MASK], 10% by a random token, and 10% do not change.

    ids         [CLS] the river is  long [SEP]
    masked      [CLS] the [MASK] is long [SEP]
    positions             2
    labels                river
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.data.batches import Ints

_SPAN_P, _LONGEST_SPAN = 0.2, 10


class Masked(NamedTuple):
    """A row with masks."""

    input_ids: Ints  # [t]
    positions: Ints  # [m], of the chosen tokens, ascending
    labels: Ints  # [m], the original tokens at these positions


class Words(NamedTuple):
    """The words that may be chosen. A word is a run of neighbouring tokens, without special tokens."""

    places: Ints  # [n], positions of the tokens
    firsts: Ints  # [w], where each word starts in `places`
    sizes: Ints  # [w], number of tokens of each word


def mask_words(
    ids: Ints,
    special: Collection[int],
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocab_size: int,
    words: Ints | None = None,
    share: float = 0.15,
    max_predictions: int | None = None,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
) -> Masked:
    """Mask some tokens of a row as in BERT's pretraining.

    >>> ids = np.array([2, 11, 12, 13, 14, 3])
    >>> masked = mask_words(ids, {2, 3}, np.random.default_rng(0), mask_id=4, vocab_size=20)
    >>> masked.input_ids, masked.positions, masked.labels
    (array([ 2, 11, 12,  4, 14,  3]), array([3]), array([13]))

    Args:
        ids: the tokens [t].
        special: ids of special tokens, which are never chosen and never used as random tokens.
        rng: the random generator.
        mask_id: the id of [MASK].
        vocab_size: the size of the vocabulary.
        words: the number of the word of each token [t], to choose whole words; None: choose single tokens.
        share: the share of tokens to choose. At least one is chosen, unless all tokens are special.
        max_predictions: the maximum number of tokens to choose. Words with more tokens are never chosen.
        mask_replace_prob: the share of the chosen tokens that are replaced by [MASK].
        random_replace_prob: the share of the chosen tokens that are replaced by a random token.
    """
    never = _never(tuple(special), mask_id)
    places = _places(ids, never)
    count, most = _budget(len(places), share, max_predictions)
    if words is None:
        positions = places[rng.permutation(len(places))[:count]]
        positions.sort()
    else:
        positions = _whole_words(_words(places, words), count, most, rng)
    draw, other = rng.random((2, len(positions)))
    others = _others(other, never, vocab_size)
    return _replaced(ids, positions, draw, others, mask_id, mask_replace_prob, random_replace_prob)


def mask_spans(
    ids: Ints,
    special: Collection[int],
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocab_size: int,
    words: Ints | None = None,
    share: float = 0.15,
    max_predictions: int | None = None,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
) -> Masked:
    """Mask spans of neighbouring words, as SpanBERT does.

    The number of words of a span has a geometric distribution with p = 0.2, up to 10. A span is replaced as a whole: all of its
    tokens by [MASK], or each by a random token, or none. A span that exceeds the share ends earlier, after a whole word.

    >>> masked = mask_spans(np.arange(20), {0, 19}, np.random.default_rng(0), mask_id=4, vocab_size=20, share=0.3)
    >>> masked.positions
    array([ 3, 12, 13, 14, 15])

    The arguments are those of `mask_words`; without `words`, each token is a word.
    """
    never = _never(tuple(special), mask_id)
    places = _places(ids, never)
    count, most = _budget(len(places), share, max_predictions)
    found = _words(places, np.arange(len(ids)) if words is None else words)
    spans = _spans(found, count, most, rng)
    sizes = found.sizes[spans >= 0]
    positions = places[np.repeat(spans >= 0, found.sizes)]
    draw = rng.random(len(spans) + 1)[np.repeat(spans[spans >= 0], sizes)]
    others = _others(rng.random(len(positions)), never, vocab_size)
    return _replaced(ids, positions, draw, others, mask_id, mask_replace_prob, random_replace_prob)


@functools.lru_cache(64)
def _never(special: tuple[int, ...], mask_id: int) -> Ints:
    """Return the ids that are never chosen, and never used as random tokens, ascending."""
    return np.unique(np.array([*special, mask_id], np.int64))


def _places(ids: Ints, never: Ints) -> Ints:
    """Return the positions of the tokens that may be chosen."""
    places: Ints = (never.take(never.searchsorted(ids), mode="clip") != ids).nonzero()[0]
    return places


def _budget(tokens: int, share: float, max_predictions: int | None) -> tuple[int, int]:
    """Return the number of tokens to choose, and the maximum number."""
    most = tokens if max_predictions is None else max_predictions
    return min(max(1, round(tokens * share)), most), most


def _words(places: Ints, words: Ints) -> Words:
    """Group tokens by words. Words of two texts may have the same numbers, so only neighbouring tokens are one word."""
    numbers = words[places]
    begins = np.empty(len(places), bool)
    begins[:1] = True
    begins[1:] = (numbers[1:] != numbers[:-1]) | (places[1:] - places[:-1] > 1)
    firsts = begins.nonzero()[0]
    sizes = np.empty_like(firsts)
    sizes[:-1], sizes[-1:] = firsts[1:] - firsts[:-1], len(places) - firsts[-1:]
    return Words(places, firsts, sizes)


def _whole_words(words: Words, count: int, most: int, rng: np.random.Generator) -> Ints:
    """Choose random words with up to `count` tokens together, or if none fits, one short word of up to `most` tokens."""
    order, sizes = rng.permutation(len(words.sizes)).tolist(), words.sizes.tolist()
    chosen, room = [], count
    for word in order:
        if sizes[word] <= room:
            chosen.append(word)
            room -= sizes[word]
            if not room:
                break
    flags = np.zeros(len(sizes), bool)
    flags[chosen or _shortest(sizes, most, order)] = True
    return words.places[flags.repeat(words.sizes)]


def _shortest(sizes: list[int], most: int, order: list[int]) -> list[int]:
    """Return the first of the shortest words in a list of one, or none if all have more than `most` tokens."""
    shortest = min(order, key=sizes.__getitem__, default=None)
    return [] if shortest is None or sizes[shortest] > most else [shortest]


def _spans(words: Words, count: int, most: int, rng: np.random.Generator) -> Ints:
    """Choose spans with up to `count` tokens together. Returns the number of the span of each word [w], or -1."""
    order, sizes = rng.permutation(len(words.sizes)).tolist(), words.sizes.tolist()
    starts = words.places[words.firsts].tolist()
    spans, room = [-1] * len(sizes), count
    for number, first in enumerate(order):
        if not room:
            break
        end = min(first + min(int(rng.geometric(_SPAN_P)), _LONGEST_SPAN), len(sizes))
        for word in range(first, end):
            apart = word > first and starts[word] != starts[word - 1] + sizes[word - 1]
            if apart or spans[word] >= 0 or sizes[word] > room:
                break
            spans[word] = number
            room -= sizes[word]
    if room == count:
        for word in _shortest(sizes, most, order):
            spans[word] = 0
    return np.array(spans, np.int64)


def _others(draw: NDArray[np.float64], never: Ints, vocab_size: int) -> Ints:
    """Return the tokens of some numbers between 0 and 1, with equal probabilities for all that are not in `never`."""
    others = (draw * (vocab_size - len(never))).astype(np.int64)
    others += (never - np.arange(len(never))).searchsorted(others, "right")
    return others


def _replaced(
    ids: Ints,
    positions: Ints,
    draw: NDArray[np.float64],
    others: Ints,
    mask_id: int,
    mask_replace_prob: float,
    random_replace_prob: float,
) -> Masked:
    """Replace the chosen tokens by [MASK], by other tokens or not at all, by the draw of each between 0 and 1."""
    labels, masked = ids[positions], ids.copy()
    new = labels.copy()
    np.copyto(new, others, where=draw < mask_replace_prob + random_replace_prob)
    new[draw < mask_replace_prob] = mask_id
    masked[positions] = new
    return Masked(masked, positions, labels)
