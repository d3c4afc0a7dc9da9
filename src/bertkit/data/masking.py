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
    if min(rng_key) < 0:
        raise UsageError(
            received("rng_key", rng_key), " has a number below 0: type ", Setting("rng_key", (0, 0, 0)), "."
        )
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(rng_key)))
    special_ids = np.unique([*special, mask_id])
    candidates = np.flatnonzero(~np.isin(ids, special_ids))
    most = len(candidates) if max_predictions is None else max_predictions
    count = min(max(1, round(len(candidates) * share)), most)
    positions = np.sort(
        rng.permutation(candidates)[:count] if words is None else _whole_words(candidates, words, count, most, rng)
    )
    masked = ids.copy()
    others = _others(len(positions), special_ids, vocab_size, rng)
    draw = rng.random(len(positions))
    kept = np.where(draw < mask_replace_prob + random_replace_prob, others, ids[positions])
    masked[positions] = np.where(draw < mask_replace_prob, mask_id, kept)
    return Masked(masked, positions, ids[positions])


def _whole_words(
    candidates: Ints, words: Sequence[int | None], count: int, most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose random words with up to `count` tokens together, or if none fits, one short word of up to `most` tokens."""
    groups: list[list[int]] = []
    for place in candidates.tolist():
        # Words of a second text may have the same numbers as words of the first, so a word must be contiguous.
        if groups and groups[-1][-1] == place - 1 and words[place] is not None and words[place] == words[place - 1]:
            groups[-1].append(place)
        else:
            groups.append([place])
    order = [groups[index] for index in rng.permutation(len(groups))]
    chosen: list[int] = []
    for group in order:
        if len(chosen) + len(group) <= count:
            chosen += group
    if not chosen:
        chosen = next((group for group in sorted(order, key=len) if len(group) <= most), [])
    return np.array(chosen, np.int64)


def _others(count: int, special: Ints, vocab_size: int, rng: np.random.Generator) -> Ints:
    """Draw random tokens that are not special, with equal probabilities."""
    others = rng.integers(0, vocab_size - len(special), count)
    for token in special:  # ascending; skips the ids of special tokens
        others += others >= token
    return others
