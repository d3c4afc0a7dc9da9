"""Operations on lists of ids: token types, special-token masks, truncation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertkit.text.call.cutting import Cut, Side, Spans, cut_rows
from bertkit.text.call.options import TRUNCATIONS, choice

Ids = list[int]


def types_of(first: Sequence[int], second: Sequence[int] | None) -> Ids:
    """Return the token types: 0 for each token of `[CLS] A [SEP]`, 1 for each token of `B [SEP]`.

    >>> types_of([5, 6], [7])
    [0, 0, 0, 0, 1, 1]
    """
    types = [0] * (len(first) + 2)
    return types if second is None else types + [1] * (len(second) + 1)


def special_mask_of(first: Sequence[int], second: Sequence[int] | None) -> Ids:
    """Return 1 for each special token around one or two lists of ids, and 0 for each id.

    >>> special_mask_of([5, 6], [7])
    [1, 0, 0, 1, 0, 1]
    """
    mask = [1, *[0] * len(first), 1]
    return mask if second is None else [*mask, *[0] * len(second), 1]


def truncate(
    ids: Ids, pair_ids: Ids | None, remove: int, truncation_strategy: str | bool, stride: int, side: Side
) -> tuple[Ids, Ids | None, Ids]:
    """Truncate one or two lists of ids. Returns them, and the removed ids with `stride` of the kept ids beside them.

    >>> truncate([1, 2, 3, 4], None, 2, "longest_first", 1, "right")
    ([1, 2], None, [2, 3, 4])
    """
    strategy = choice("truncation_strategy", truncation_strategy, TRUNCATIONS)
    if remove <= 0 or strategy is None:
        return ids, pair_ids, []
    room = len(ids) + len(pair_ids or ()) - remove
    second = None if pair_ids is None else _span(pair_ids)
    rows = cut_rows(_span(ids), second, Cut(strategy, max(room, 0), side, odd_to_first=True))
    kept = _chosen(ids, rows.first)
    if rows.second is None or pair_ids is None:
        return kept, None, overflow(ids, len(kept), stride, side)
    kept_pair = _chosen(pair_ids, rows.second)
    if strategy == "longest_first":
        return kept, kept_pair, []
    cut_off = (ids, kept) if strategy == "only_first" else (pair_ids, kept_pair)
    return kept, kept_pair, overflow(cut_off[0], len(cut_off[1]), stride, side)


def overflow(ids: Sequence[int], kept: int, stride: int, side: Side) -> Ids:
    """Return the ids that were removed from a text, with `stride` kept ids beside them. `kept` is the number of kept ids."""
    if kept >= len(ids):
        return []
    size = min(len(ids), len(ids) - kept + stride)
    return list(ids[-size:] if side == "right" else ids[:size])


def _span(ids: Ids) -> Spans:
    return Spans(np.array([0]), np.array([len(ids)]))


def _chosen(ids: Ids, spans: Spans) -> Ids:
    start, length = int(spans.starts[0]), int(spans.lengths[0])
    return ids[start : start + length]
