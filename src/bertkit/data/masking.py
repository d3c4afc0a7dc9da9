"""Masking for pretraining.

15% of the tokens are chosen. Of the chosen tokens, 80% are replaced by [MASK], 10% by a random token, and 10% do not change.

    ids         [CLS] the river is  long [SEP]
    masked      [CLS] the [MASK] is long [SEP]
    positions             2
    labels                river
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.data.batches import Ints
from bertkit.errors import Setting, UsageError, received

_SPAN_P, _LONGEST_SPAN = 0.2, 10


class Masked(NamedTuple):
    """A row with masks."""

    input_ids: Ints  # [t]
    positions: Ints  # [m], of the chosen tokens, ascending
    labels: Ints  # [m], the original tokens at these positions


def mask_words(
    ids: Ints,
    special: Collection[int],
    rng_key: tuple[int, int, int],
    *,
    mask_id: int,
    vocab_size: int,
    words: Sequence[int | None] | None = None,
    share: float = 0.15,
    max_predictions: int | None = None,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
) -> Masked:
    """Mask some tokens of a row as in BERT's pretraining.

    The result depends only on the arguments: it is the same in any batch, in any order and on any machine, and differs between
    epochs.

    >>> ids = np.array([2, 11, 12, 13, 14, 3])
    >>> masked = mask_words(ids, {2, 3}, (0, 0, 0), mask_id=4, vocab_size=20)
    >>> masked.input_ids, masked.positions, masked.labels
    (array([ 2,  4, 12, 13, 14,  3]), array([1]), array([11]))

    Args:
        ids: the tokens [t].
        special: ids of special tokens, which are never chosen and never used as random tokens.
        rng_key: (seed, epoch, number of the example), each 0 or more.
        mask_id: the id of [MASK].
        vocab_size: the size of the vocabulary.
        words: the number of the word of each token [t], to choose whole words; None: choose single tokens.
        share: the share of tokens to choose. At least one is chosen, unless all tokens are special.
        max_predictions: the maximum number of tokens to choose. Words with more tokens are never chosen.
        mask_replace_prob: the share of the chosen tokens that are replaced by [MASK].
        random_replace_prob: the share of the chosen tokens that are replaced by a random token.
    """
    rng = _generator(rng_key)
    candidates, count, most = _budget(ids, special, mask_id, share, max_predictions)
    positions = np.sort(
        rng.permutation(candidates)[:count] if words is None else _whole_words(candidates, words, count, most, rng)
    )
    others = _others(len(positions), np.unique([*special, mask_id]), vocab_size, rng)
    draw = rng.random(len(positions))
    return _replaced(ids, positions, draw, others, mask_id, mask_replace_prob, random_replace_prob)


def mask_spans(
    ids: Ints,
    special: Collection[int],
    rng_key: tuple[int, int, int],
    *,
    mask_id: int,
    vocab_size: int,
    words: Sequence[int | None] | None = None,
    share: float = 0.15,
    max_predictions: int | None = None,
    mask_replace_prob: float = 0.8,
    random_replace_prob: float = 0.1,
) -> Masked:
    """Mask spans of neighbouring words, as SpanBERT does.

    The number of words of a span has a geometric distribution with p = 0.2, up to 10. A span is replaced as a whole: all of its
    tokens by [MASK], or each by a random token, or none. A span that exceeds the share ends earlier, after a whole word.

    >>> masked = mask_spans(np.arange(20), {0, 19}, (0, 0, 0), mask_id=4, vocab_size=20, share=0.3)
    >>> masked.positions
    array([10, 12, 13, 14, 15])

    The arguments are those of `mask_words`; without `words`, each token is a word.
    """
    rng = _generator(rng_key)
    candidates, count, most = _budget(ids, special, mask_id, share, max_predictions)
    groups = _groups(candidates, range(len(ids)) if words is None else words)
    chosen = np.zeros(len(ids), bool)
    span_of = np.zeros(len(ids), np.int64)
    for number, first in enumerate(rng.permutation(len(groups)).tolist()):
        length = min(int(rng.geometric(_SPAN_P)), _LONGEST_SPAN)
        room = count - int(chosen.sum())
        if room <= 0:
            break
        span = _span(groups[first : first + length], chosen, room)
        chosen[span], span_of[span] = True, number
    if not chosen.any():
        chosen[next((group for group in sorted(groups, key=len) if len(group) <= most), [])] = True
    positions = np.flatnonzero(chosen)
    others = _others(len(positions), np.unique([*special, mask_id]), vocab_size, rng)
    draw = rng.random(len(groups) + 1)[span_of[positions]]
    return _replaced(ids, positions, draw, others, mask_id, mask_replace_prob, random_replace_prob)


def _span(groups: Sequence[list[int]], chosen: NDArray[np.bool_], room: int) -> list[int]:
    """Return the tokens of the first words that are contiguous, not chosen before, and fit the room."""
    span: list[int] = []
    for group in groups:
        if len(span) + len(group) > room or chosen[group[0]] or (span and group[0] != span[-1] + 1):
            break
        span += group
    return span


def _generator(rng_key: tuple[int, int, int]) -> np.random.Generator:
    """Return the random generator of an example. Raises UsageError for a negative number."""
    if min(rng_key) < 0:
        raise UsageError(
            received("rng_key", rng_key), " has a number below 0: type ", Setting("rng_key", (0, 0, 0)), "."
        )
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(rng_key)))


def _budget(
    ids: Ints, special: Collection[int], mask_id: int, share: float, max_predictions: int | None
) -> tuple[Ints, int, int]:
    """Return the positions that may be chosen, the number to choose, and the maximum number."""
    candidates = np.flatnonzero(~np.isin(ids, [*special, mask_id]))
    most = len(candidates) if max_predictions is None else max_predictions
    return candidates, min(max(1, round(len(candidates) * share)), most), most


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
    masked = ids.copy()
    kept = np.where(draw < mask_replace_prob + random_replace_prob, others, ids[positions])
    masked[positions] = np.where(draw < mask_replace_prob, mask_id, kept)
    return Masked(masked, positions, ids[positions])


def _whole_words(
    candidates: Ints, words: Sequence[int | None], count: int, most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose random words with up to `count` tokens together, or if none fits, one short word of up to `most` tokens."""
    groups = _groups(candidates, words)
    order = [groups[index] for index in rng.permutation(len(groups))]
    chosen: list[int] = []
    for group in order:
        if len(chosen) + len(group) <= count:
            chosen += group
    if not chosen:
        chosen = next((group for group in sorted(order, key=len) if len(group) <= most), [])
    return np.array(chosen, np.int64)


def _groups(candidates: Ints, words: Sequence[int | None]) -> list[list[int]]:
    """Group the positions of tokens by words."""
    groups: list[list[int]] = []
    for place in candidates.tolist():
        # Words of a second text may have the same numbers as words of the first, so a word must be contiguous.
        if groups and groups[-1][-1] == place - 1 and words[place] is not None and words[place] == words[place - 1]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _others(count: int, special: Ints, vocab_size: int, rng: np.random.Generator) -> Ints:
    """Draw random tokens that are not special, with equal probabilities."""
    others = rng.integers(0, vocab_size - len(special), count)
    for token in special:  # ascending; skips the ids of special tokens
        others += others >= token
    return others
