"""Truncation of rows that are too long, for a whole batch at a time.

Pieces are removed at the end of a row, or at its start with truncation_side="left". With windows, the removed pieces become
further rows. `stride` is the number of pieces that neighbouring windows share. For example, with `max_length=6` and
`stride=1`, a text of seven pieces becomes two rows:

    pieces                a b c d e f g
    rows            [CLS] a b c d [SEP]
                          [CLS] d e f g [SEP]

Shapes: N texts, R rows.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import Setting, UsageError, received

Ints = NDArray[np.int64]
Strategy = Literal["longest_first", "only_first", "only_second"]
Side = Literal["left", "right"]


class Cut(NamedTuple):
    """How to truncate rows that are too long."""

    strategy: Strategy
    room: int  # the maximum number of pieces in a row
    side: Side = "right"
    windows: bool = False  # removed pieces become further rows
    stride: int = 0  # pieces that neighbouring windows share
    odd_to_first: bool = False  # if an odd room is halved, the first text gets the larger half


class Spans(NamedTuple):
    """A range of pieces for each row, `[start, start + length)`."""

    starts: Ints  # [R]
    lengths: Ints  # [R]


class Rows(NamedTuple):
    """The pieces of each row. `whole`: each row is one text or pair, not truncated, in the order of the texts."""

    texts: Ints  # [R], the number of the text of each row
    first: Spans
    second: Spans | None
    whole: bool


def cut_rows(first: Spans, second: Spans | None, cut: Cut) -> Rows:
    """Truncate the texts, or pairs of texts, that are longer than `cut.room`.

    >>> cut_rows(Spans(np.array([0]), np.array([7])), None, Cut("longest_first", 4, windows=True, stride=1)).first
    Spans(starts=array([0, 3]), lengths=array([4, 4]))
    """
    keep = _kept(first.lengths, None if second is None else second.lengths, cut)
    if cut.windows:
        return _windows(first, second, keep, cut)
    texts = np.arange(len(first.lengths))
    others = None if second is None else _shortened(second, keep[1], cut.side)
    return Rows(texts, _shortened(first, keep[0], cut.side), others, whole=False)


def _shortened(spans: Spans, keep: Ints, side: Side) -> Spans:
    return Spans(spans.starts if side == "right" else spans.starts + spans.lengths - keep, keep)


def _kept(first: Ints, second: Ints | None, cut: Cut) -> tuple[Ints, Ints]:
    """Return the numbers of pieces of the first and of the second texts that fit into a row."""
    nothing = np.zeros_like(first) if second is None else second
    if cut.room == 0:
        return np.zeros_like(first), np.zeros_like(first)
    excess = np.maximum(first + nothing - cut.room, 0)
    if cut.strategy == "longest_first":
        return _longest_first(first, nothing, excess, cut) if second is not None else (first - excess, nothing)
    chosen = first if cut.strategy == "only_first" else nothing
    if np.any((excess > 0) & (chosen <= excess)):
        raise UsageError(_too_short(cut, second is not None, excess, chosen))
    return (first - excess, nothing) if cut.strategy == "only_first" else (first, nothing - excess)


def _longest_first(first: Ints, second: Ints, excess: Ints, cut: Cut) -> tuple[Ints, Ints]:
    """Truncate the longer text to the length of the shorter one, then both evenly."""
    shorter = np.minimum(first, second)
    longer = np.maximum(shorter, cut.room - shorter)
    halves = shorter + longer > cut.room
    low, high = cut.room // 2, cut.room - cut.room // 2
    is_longer = first > second
    kept_first = np.where(
        halves, np.where(is_longer | cut.odd_to_first, high, low), np.where(is_longer, longer, shorter)
    )
    kept_first = np.where(excess > 0, kept_first, first)
    return kept_first, np.where(excess > 0, cut.room - kept_first, second)


def _too_short(cut: Cut, pair: bool, excess: Ints, chosen: Ints) -> str:
    if cut.strategy == "only_second" and not pair:
        return (
            f'truncation="only_second" truncates the second text of a pair, but the input is a single text, {excess.max()} '
            "tokens too long: type truncation=True, or pass text_pair as well."
        )
    row = int(np.argmax(excess - chosen))
    which, other = ("first", "only_second") if cut.strategy == "only_first" else ("second", "only_first")
    instead = f'truncation=True, truncation="{other}" or a larger max_length' if pair else "a larger max_length"
    return (
        f'truncation="{cut.strategy}" would have to remove {excess[row]} tokens from a {which} text of {chosen[row]} (number '
        f"{row} of the batch), so nothing would be left of it: type {instead}."
    )


def _windows(first: Spans, second: Spans | None, keep: tuple[Ints, Ints], cut: Cut) -> Rows:
    """Combine every window of the first text with every window of the second, in the order of the `tokenizers` library."""
    counts = _window_counts(first.lengths, keep[0], cut)
    others = np.ones_like(counts) if second is None else _window_counts(second.lengths, keep[1], cut)
    rows = counts * others
    texts = np.repeat(np.arange(len(rows)), rows)
    number = np.arange(len(texts)) - np.repeat(np.cumsum(rows) - rows, rows)  # [R], number of the row within its text
    # The order is (0, 0), then the later windows of A, each with all windows of B, then (0, 1), (0, 2), ...
    later = (counts - 1) * others
    a, b = np.divmod(number - 1 + others[texts], others[texts])
    tail = number > later[texts]
    a = np.where(tail | (number == 0), 0, a)
    b = np.where(tail, number - later[texts], np.where(number == 0, 0, b))
    spans = _window(first, keep[0], texts, a, cut)
    return Rows(texts, spans, None if second is None else _window(second, keep[1], texts, b, cut), whole=False)


def _window_counts(lengths: Ints, keep: Ints, cut: Cut) -> Ints:
    """Return the number of windows of each text."""
    cut_off = lengths - keep
    narrow = (cut_off > 0) & (keep <= cut.stride)
    if np.any(narrow):
        room = int(keep[narrow].min())
        if room == 0:
            raise UsageError(
                "max_length leaves no room for a text after the special tokens and the other text: type a larger max_length."
            )
        raise UsageError(
            received("stride", cut.stride),
            f" is too large for windows with {room} tokens of the text: type ",
            Setting("stride", room - 1),
            " or less, or a larger max_length.",
        )
    later: Ints = -(-cut_off // np.maximum(keep - cut.stride, 1))
    return 1 + np.maximum(later, 0)


def _window(spans: Spans, keep: Ints, texts: Ints, number: Ints, cut: Cut) -> Spans:
    """Return window `number` of text `texts` for each row."""
    lengths, keep = spans.lengths[texts], keep[texts]
    before = number * (keep - cut.stride)  # pieces before the window
    if cut.side == "right":
        return Spans(spans.starts[texts] + before, np.minimum(keep, lengths - before))
    stop = lengths - before
    start = np.maximum(stop - keep, 0)
    return Spans(spans.starts[texts] + start, stop - start)
