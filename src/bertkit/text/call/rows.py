"""Pieces -> rows -> columns, for a whole batch at a time.

A *plan* says which pieces of which text make a row. Without truncation a row is a text, with it the row ends (or, on the
left side, begins) where the model's length is used up, and with windows a long text becomes several rows. For
`max_length=6` and `stride=1`, which is how many pieces neighbours share, the seven pieces of a text give two rows:

    pieces                a b c d e f g
    rows            [CLS] a b c d [SEP]
                          [CLS] d e f g [SEP]

A *layout* gives every row its place in one flat buffer, padding included, so that each column (ids, types, masks) is
written by a few assignments for all rows together, whether the result becomes a matrix or lists of different lengths.
Shapes: N texts, R rows, T pieces, S places of the buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.text.wordpiece.pieces import Pieces

Item = TypeVar("Item")
Ints = NDArray[np.int64]
Index = Ints | slice
Strategy = Literal["longest_first", "only_first", "only_second"]
Side = Literal["left", "right"]


class Frame(NamedTuple):
    """The ids of the special tokens around a row: before + A + after, for a pair before + A + between + B + after."""

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    second_type: int = 1  # of B and what follows it

    @property
    def size(self) -> int:
        """How many special tokens a row has."""
        return len(self.before) + len(self.between) + len(self.after)


class Cut(NamedTuple):
    """How rows that are too long are cut."""

    strategy: Strategy
    room: int  # pieces in a row
    side: Side = "right"
    windows: bool = False  # what is cut off becomes further rows
    stride: int = 0  # pieces that neighbouring windows share
    odd_to_first: bool = False  # when halves of an odd room are left, the first text has the larger one


class Spans(NamedTuple):
    """A range of pieces for each row."""

    starts: Ints  # [R]
    lengths: Ints  # [R]

    def numbers(self) -> Index:
        """The numbers of all pieces, row after row."""
        return ranges(self.starts, self.lengths)


class Rows(NamedTuple):
    """Which pieces make which row. `whole` says that the rows are the texts, uncut and in order."""

    texts: Ints  # [R], the number of the text of each row
    first: Spans
    second: Spans | None
    whole: bool


def ranges(starts: Ints, lengths: Ints) -> Index:
    """The numbers of `[start, start + length)` for every row, one range after the other.

    >>> ranges(np.array([0, 10]), np.array([3, 2]))
    array([ 0,  1,  2, 10, 11])
    """
    if len(starts) == 1:
        return slice(int(starts[0]), int(starts[0] + lengths[0]))
    ends = np.cumsum(lengths)
    index = np.repeat(starts - ends + lengths, lengths)
    index += np.arange(len(index))
    return index


def plan(first: Pieces, second: Pieces | None, cut: Cut | None) -> Rows:
    """The rows of a batch of texts, or of pairs of texts."""
    spans, others = _whole(first), None if second is None else _whole(second)
    texts = np.arange(len(first.ends))
    if cut is None:
        return Rows(texts, spans, others, whole=True)
    total = spans.lengths if others is None else spans.lengths + others.lengths
    if len(total) == 0 or int(total.max()) <= cut.room:
        return Rows(texts, spans, others, whole=True)
    keep = _kept(spans.lengths, None if others is None else others.lengths, cut)
    if cut.windows:
        return _windows(spans, others, keep, cut)
    spans = _shortened(spans, keep[0], cut.side)
    if others is not None:
        others = _shortened(others, keep[1], cut.side)
    return Rows(texts, spans, others, whole=False)


def _whole(pieces: Pieces) -> Spans:
    starts = np.zeros_like(pieces.ends)
    starts[1:] = pieces.ends[:-1]
    return Spans(starts, pieces.ends - starts)


def _shortened(spans: Spans, keep: Ints, side: Side) -> Spans:
    return Spans(spans.starts if side == "right" else spans.starts + spans.lengths - keep, keep)


def _kept(first: Ints, second: Ints | None, cut: Cut) -> tuple[Ints, Ints]:
    """How many pieces of the first and of the second texts a row has room for."""
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
    """Cut the longer text down to the shorter one, then both evenly."""
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
            f'truncation="only_second" cuts the second of two texts, and a single text came that is {excess.max()} tokens '
            "too long: type truncation=True, or pass text_pair as well."
        )
    row = int(np.argmax(excess - chosen))
    which, other = ("first", "only_second") if cut.strategy == "only_first" else ("second", "only_first")
    instead = f'truncation=True, truncation="{other}" or a larger max_length' if pair else "a larger max_length"
    return (
        f'truncation="{cut.strategy}" would have to take {excess[row]} tokens from a {which} text of {chosen[row]} (number '
        f"{row} of the batch), which would leave nothing of it: type {instead}."
    )


def _windows(first: Spans, second: Spans | None, keep: tuple[Ints, Ints], cut: Cut) -> Rows:
    """Every window of the first text with every one of the second, in the order of the `tokenizers` library."""
    counts = _window_counts(first.lengths, keep[0], cut)
    others = np.ones_like(counts) if second is None else _window_counts(second.lengths, keep[1], cut)
    rows = counts * others
    texts = np.repeat(np.arange(len(rows)), rows)
    number = np.arange(len(texts)) - np.repeat(np.cumsum(rows) - rows, rows)  # [R], of the row among those of its text
    # First comes (0, 0), then the later windows of A, each with all of B, and last the first of A with the rest of B.
    later = (counts - 1) * others
    a, b = np.divmod(number - 1 + others[texts], others[texts])
    tail = number > later[texts]
    a = np.where(tail | (number == 0), 0, a)
    b = np.where(tail, number - later[texts], np.where(number == 0, 0, b))
    spans = _window(first, keep[0], texts, a, cut)
    return Rows(texts, spans, None if second is None else _window(second, keep[1], texts, b, cut), whole=False)


def _window_counts(lengths: Ints, keep: Ints, cut: Cut) -> Ints:
    """How many windows each text has."""
    cut_off = lengths - keep
    narrow = (cut_off > 0) & (keep <= cut.stride)
    if np.any(narrow):
        room = int(keep[narrow].min())
        if room == 0:
            raise UsageError(
                "max_length leaves a text no place beside the special tokens and the other text, so that windows of it "
                "cannot be: type a larger max_length."
            )
        raise UsageError(
            f"stride={cut.stride} is how many tokens neighbouring windows share, and a window has only {room} tokens of "
            f"the text: type stride={room - 1} or less, or a larger max_length."
        )
    later: Ints = -(-cut_off // np.maximum(keep - cut.stride, 1))
    return 1 + np.maximum(later, 0)


def _window(spans: Spans, keep: Ints, texts: Ints, number: Ints, cut: Cut) -> Spans:
    """The window of a given number of the text of each row."""
    lengths, keep = spans.lengths[texts], keep[texts]
    before = number * (keep - cut.stride)  # the pieces that this window has left behind
    if cut.side == "right":
        return Spans(spans.starts[texts] + before, np.minimum(keep, lengths - before))
    stop = lengths - before
    start = np.maximum(stop - keep, 0)
    return Spans(spans.starts[texts] + start, stop - start)


@dataclass(frozen=True)
class Layout:
    """The place of every row in a flat buffer, and what each column holds there."""

    rows: Rows
    frame: Frame
    starts: Ints  # [R], the place of the first token of a row
    lengths: Ints  # [R], its tokens
    widths: Ints  # [R], its places, padding included

    @property
    def size(self) -> int:
        """The number of places."""
        return int(self.widths.sum())

    @cached_property
    def width(self) -> int | None:
        """The width that all rows have; None where they differ."""
        if len(self.widths) == 0:
            return 0
        widest = int(self.widths.max())
        return widest if int(self.widths.min()) == widest else None

    @cached_property
    def padded(self) -> bool:
        """Whether there is padding."""
        return bool((self.widths > self.lengths).any())

    @cached_property
    def first(self) -> Index:
        """The places of the pieces of the first texts."""
        return ranges(self.starts + len(self.frame.before), self.rows.first.lengths)

    @cached_property
    def _second_starts(self) -> Ints:
        return self.starts + len(self.frame.before) + self.rows.first.lengths + len(self.frame.between)

    @cached_property
    def second(self) -> Index:
        """The places of the pieces of the second texts."""
        assert self.rows.second is not None
        return ranges(self._second_starts, self.rows.second.lengths)

    def ids(self, first: Pieces, second: Pieces | None, pad: int) -> Ints:
        """The column `input_ids`, flat [S]."""
        out = self.spread(first.ids, None if second is None else second.ids, pad)
        at = _put(out, self.starts, self.frame.before) + self.rows.first.lengths
        if self.rows.second is not None:
            at = _put(out, at, self.frame.between) + self.rows.second.lengths
        _put(out, at, self.frame.after)
        return out

    def spread(self, first: NDArray[np.int32], second: NDArray[np.int32] | None, fill: int = 0) -> Ints:
        """A number of each piece at the place of the piece, and `fill` elsewhere, flat [S]."""
        rows = self.rows
        out = np.full(self.size, fill)
        out[self.first] = first if rows.whole else first[rows.first.numbers()]
        if rows.second is not None and second is not None:
            out[self.second] = second if rows.whole else second[rows.second.numbers()]
        return out

    def types(self) -> Ints:
        """The column `token_type_ids`, flat [S]."""
        out = np.zeros(self.size, np.int64)
        if self.rows.second is not None:
            out[ranges(self._second_starts, self.rows.second.lengths + len(self.frame.after))] = self.frame.second_type
        return out

    def attention(self) -> Ints:
        """The column `attention_mask`, flat [S]: 1 for a token, 0 for padding."""
        if not self.padded:
            return np.ones(self.size, np.int64)
        out = np.zeros(self.size, np.int64)
        out[ranges(self.starts, self.lengths)] = 1
        return out

    def special(self) -> Ints:
        """The column `special_tokens_mask`, flat [S]: 0 for the tokens of texts, 1 for all else."""
        out = np.ones(self.size, np.int64)
        out[self.first] = 0
        if self.rows.second is not None:
            out[self.second] = 0
        return out

    def matrix(self, column: Ints) -> Ints:
        """A flat column as [R, width]; an error where the rows differ in width."""
        if self.width is None:
            raise UsageError(
                f"The rows have from {self.widths.min()} to {self.widths.max()} tokens, and a tensor needs rows of one "
                'length: type padding=True for the longest of them, padding="max_length", and truncation=True to cut.'
            )
        return column.reshape(len(self.widths), self.width)

    def lists(self, column: Ints) -> list[list[int]]:
        """A flat column as a list a row."""
        if len(self.widths) == 1:
            return [column.tolist()]
        if self.width is not None:
            return self.matrix(column).tolist()  # type: ignore[no-any-return]
        return self.parts(column.tolist())

    def parts(self, flat: list[Item]) -> list[list[Item]]:
        """A flat list as a list a row."""
        ends = np.cumsum(self.widths).tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def row_lengths(rows: Rows, frame: Frame) -> Ints:
    """How many tokens each row has [R]."""
    lengths = rows.first.lengths + frame.size
    return lengths if rows.second is None else lengths + rows.second.lengths


def lay_out(rows: Rows, frame: Frame, lengths: Ints, width: int, side: Side) -> Layout:
    """Give every row its place. Rows are padded to `width`, those that are longer keep their length."""
    widths = np.maximum(lengths, width) if width else lengths
    starts = np.cumsum(widths) - (widths if side == "right" else lengths)
    return Layout(rows, frame, starts, lengths, widths)


def _put(out: Ints, at: Ints, tokens: tuple[int, ...]) -> Ints:
    for token in tokens:
        out[at] = token
        at = at + 1
    return at
