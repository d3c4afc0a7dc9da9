"""Inputs -> rows: the pieces of each text, and the position of every token in one flat buffer for the whole batch.

The buffer includes padding. Each column (ids, types, masks) is such a buffer, written with a few NumPy assignments for all
rows together. Shapes: N texts, R rows, T pieces, S positions in the buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import Setting, UsageError, received
from bertkit.text.call.cutting import Cut, Ints, Rows, Spans, cut_rows
from bertkit.text.call.encoder import Encoder, Frame, HasEncoder
from bertkit.text.call.encoding import Encoding, Offset
from bertkit.text.call.inputs import Inputs
from bertkit.text.call.options import Options, Shape, shape_of
from bertkit.text.tokens import Tokens
from bertkit.text.wordpiece.pieces import Details, Engine, Located, Pieces

Item = TypeVar("Item")
Index = Ints | slice

_NO_FRAMES = {True: Frame(second_type=0), False: Frame()}  # by `slow`: without special tokens, slow has only type 0


class Call(NamedTuple):
    """A call: its inputs, their pieces, and its options."""

    encoder: Encoder
    inputs: Inputs
    options: Options
    shape: Shape
    frame: Frame
    slow: bool  # return overflowing tokens as the slow tokenizer does
    windows: bool  # overflowing tokens become further rows
    first: Pieces
    second: Pieces | None
    locate: tuple[Callable[[], Located], ...]  # for the first and the second texts: returns offsets and words


def encodings(tokenizer: HasEncoder, inputs: Inputs, options: Options) -> Encodings:
    """Encode inputs as rows. Overflowing tokens become further rows, with both tokenizer classes."""
    return arrange(prepare(tokenizer.encoder, inputs, options, slow=False))


def prepare(encoder: Encoder, inputs: Inputs, options: Options, slow: bool) -> Call:
    """Split the inputs into pieces, and return them with everything else that a call needs."""
    files = encoder.files
    shape = shape_for(encoder, options)
    split = options.split_special_tokens
    engine = encoder.plain_engine if (files.split_special_tokens if split is None else split) else encoder.engine
    pair = inputs.second is not None
    frame = encoder.frames[pair] if options.add_special_tokens else _NO_FRAMES[slow]
    windows = options.return_overflowing_tokens and not slow
    first, locate = _pieces(encoder, engine, inputs.first, inputs.kind, options.return_offsets_mapping)
    if inputs.second is None:
        return Call(encoder, inputs, options, shape, frame, slow, windows, first, None, (locate,))
    second, locate_second = _pieces(encoder, engine, inputs.second, inputs.kind, options.return_offsets_mapping)
    return Call(encoder, inputs, options, shape, frame, slow, windows, first, second, (locate, locate_second))


def shape_for(encoder: Encoder, options: Options) -> Shape:
    """Return the truncation and padding for checked options. Logs a warning if the options are ambiguous."""
    files = encoder.files
    shape = shape_of(
        options.padding,
        options.truncation,
        options.max_length,
        options.pad_to_multiple_of,
        options.padding_side or files.padding_side,
        files.model_max_length,
        "pad_token" in files.special,
    )
    if shape.warning is not None and options.verbose:
        encoder.warn(*shape.warning)
    return shape


def arrange(call: Call) -> Encodings:
    """Return the rows of a call."""
    layout = _lay_out(_rows(call), call.frame, call.shape)
    ids = layout.ids(call.first, call.second, call.encoder.pad_id if layout.padded else 0)
    ends = (call.first.ends,) if call.second is None else (call.first.ends, call.second.ends)
    return Encodings(layout, ids, call.encoder.tokens.names, call.locate, ends)


@dataclass(frozen=True)
class RowLayout:
    """The position of every row in the flat buffer."""

    rows: Rows
    frame: Frame
    starts: Ints  # [R], the position of the first token of a row
    lengths: Ints  # [R], the number of its tokens
    widths: Ints  # [R], the number of its tokens and padding
    size: int  # S, the length of the buffer
    padded: bool  # whether there is padding

    @cached_property
    def width(self) -> int | None:
        """The width of all rows; None if the rows differ in width."""
        if len(self.widths) == 0:
            return 0
        widest = int(self.widths.max())
        return widest if int(self.widths.min()) == widest else None

    @cached_property
    def first(self) -> Index:
        """The positions of the pieces of the first texts."""
        return ranges(self.starts + len(self.frame.before), self.rows.first.lengths)

    @cached_property
    def _second_starts(self) -> Ints:
        return self.starts + len(self.frame.before) + self.rows.first.lengths + len(self.frame.between)

    @cached_property
    def second(self) -> Index:
        """The positions of the pieces of the second texts."""
        assert self.rows.second is not None
        return ranges(self._second_starts, self.rows.second.lengths)

    def ids(self, first: Pieces, second: Pieces | None, pad: int) -> Ints:
        """The column `input_ids`, flat [S]."""
        out = self.spread(first.ids, None if second is None else second.ids, pad)
        frame, ends = self.frame, self.starts + self.lengths
        runs = [(frame.before, self.starts), (frame.after, ends - len(frame.after))]
        if self.rows.second is not None:
            runs.append((frame.between, self._second_starts - len(frame.between)))
        for tokens, at in runs:
            for number, token in enumerate(tokens):
                out[at + number] = token
        return out

    def spread(self, first: NDArray[np.int32], second: NDArray[np.int32] | None, fill: int = 0) -> Ints:
        """Return a flat column [S] with the given number for each piece, and `fill` at all other positions."""
        rows = self.rows
        out = np.full(self.size, fill)
        out[self.first] = first if rows.whole else first[ranges(*rows.first)]
        if rows.second is not None and second is not None:
            out[self.second] = second if rows.whole else second[ranges(*rows.second)]
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
        """The column `special_tokens_mask`, flat [S]: 0 for the tokens of texts, 1 for special tokens and padding."""
        out = np.ones(self.size, np.int64)
        out[self.first] = 0
        if self.rows.second is not None:
            out[self.second] = 0
        return out

    def matrix(self, column: Ints) -> Ints:
        """Reshape a flat column [S] to [R, width]. Raises UsageError if the rows differ in width."""
        if self.width is None:
            raise UsageError(
                f"The rows have from {self.widths.min()} to {self.widths.max()} tokens, and a tensor needs rows of one length: "
                "type ",
                Setting("padding", True),
                " or ",
                Setting("padding", "max_length"),
                ", and ",
                Setting("truncation", True),
                " to shorten long rows.",
            )
        return column.reshape(len(self.widths), self.width)

    def lists(self, column: Ints) -> list[list[int]]:
        """Split a flat column [S] into a list for each row."""
        if self.width is None:
            return self.parts(column.tolist())
        return column.reshape(len(self.widths), self.width).tolist()

    def parts(self, flat: list[Item]) -> list[list[Item]]:
        """Split a list over all positions of the buffer into a list for each row."""
        ends = np.cumsum(self.widths).tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@dataclass
class Encodings(Sequence[Encoding]):
    """The rows of a result. Each row is made when it is first used."""

    layout: RowLayout
    ids: Ints  # [S]
    names: Callable[[list[int]], list[str]]  # ids -> tokens
    locate: tuple[Callable[[], Located], ...]  # for the first and the second texts; slow, called only when needed
    ends: tuple[Ints, ...]  # for the first and the second texts: where the pieces of each text end
    _rows: dict[int, Encoding] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.layout.widths)

    @overload
    def __getitem__(self, item: int) -> Encoding: ...
    @overload
    def __getitem__(self, item: slice) -> list[Encoding]: ...
    def __getitem__(self, item: int | slice) -> Encoding | list[Encoding]:
        if isinstance(item, slice):
            return [self[row] for row in range(*item.indices(len(self)))]
        row = range(len(self))[item]
        if row not in self._rows:
            self._rows[row] = self._make(row)
        return self._rows[row]

    def _make(self, row: int) -> Encoding:
        end = int(self._ends[row])
        start = end - int(self.layout.widths[row])
        ids, types, attention, special = (column[start:end].tolist() for column in (self.ids, *self._columns))
        text = int(self.layout.rows.texts[row])
        spans = tuple((at[row], length[row], piece[row]) for at, length, piece in self._spans)
        sources = tuple(partial(self._details, side, text) for side in range(len(self.locate)))
        return Encoding(ids, types, attention, special, spans, self.names, sources)

    def __iter__(self) -> Iterator[Encoding]:
        return (self[row] for row in range(len(self)))

    def _details(self, side: int, text: int) -> Details:
        return self._located[side].details(text)

    @cached_property
    def _located(self) -> list[Located]:
        return [locate() for locate in self.locate]

    def char_spans(self) -> tuple[Ints, Ints]:
        """Return the start and the end of each token in its text, flat [S]; 0 for special tokens and padding."""
        first, second = self._located[0], self._located[1] if len(self.locate) > 1 else None
        starts = self.layout.spread(first.starts, None if second is None else second.starts)
        return starts, self.layout.spread(first.ends, None if second is None else second.ends)

    def offsets(self) -> list[list[Offset]]:
        """Return the (start, end) of each token in its text, as a list for each row."""
        starts, ends = self.char_spans()
        return self.layout.parts(list(zip(starts.tolist(), ends.tolist(), strict=True)))

    @cached_property
    def _columns(self) -> tuple[Ints, Ints, Ints]:
        return self.layout.types(), self.layout.attention(), self.layout.special()

    @cached_property
    def _ends(self) -> Ints:
        return np.cumsum(self.layout.widths)

    @cached_property
    def _spans(self) -> list[tuple[list[int], list[int], list[int]]]:
        """`Encoding.spans` of every row, as three lists for the first and three for the second texts."""
        layout = self.layout
        at = layout.starts - (self._ends - layout.widths) + len(layout.frame.before)
        table = []
        for side, ends in zip((layout.rows.first, layout.rows.second), self.ends, strict=False):
            assert side is not None
            starts = np.concatenate([[0], ends[:-1]])[layout.rows.texts] if len(ends) else ends
            table.append((at.tolist(), side.lengths.tolist(), (side.starts - starts).tolist()))
            at = at + side.lengths + len(layout.frame.between)
        return table

    def __reduce__(self) -> tuple[type[list[Encoding]], tuple[list[Encoding]]]:
        """Pickle the rows as a list, which does not need the tokenizer."""
        return list, ([self[row] for row in range(len(self))],)


def ranges(starts: Ints, lengths: Ints) -> Index:
    """Return the integers in `[start, start + length)` for every row, concatenated.

    >>> ranges(np.array([0, 10]), np.array([3, 2]))
    array([ 0,  1,  2, 10, 11])
    """
    if len(starts) == 1:
        return slice(int(starts[0]), int(starts[0] + lengths[0]))
    ends = np.cumsum(lengths)
    index = np.repeat(starts - ends + lengths, lengths)
    index += np.arange(len(index))
    return index


def _pieces(
    encoder: Encoder, engine: Engine, batch: Sequence[Any], kind: str, located: bool
) -> tuple[Pieces, Callable[[], Located]]:
    """Return the pieces of the first or the second texts, and a function that returns their offsets and words."""
    if kind == "ids":
        return _pieces_of_ids(encoder.tokens, batch), _no_offsets
    texts = list(batch)  # the caller may change its list before `locate` is called
    locate = partial(engine.locate if kind == "texts" else engine.locate_words, texts)
    if located:
        known = locate()
        return known.pieces, lambda: known
    return (engine.encode(texts) if kind == "texts" else engine.encode_words(texts)), locate


def _pieces_of_ids(tokens: Tokens, batch: Sequence[Any]) -> Pieces:
    ids = [tokens.ids_of(row) if len(row) and isinstance(row[0], str) else row for row in batch]
    ends = np.cumsum([len(row) for row in ids], dtype=np.int64)
    return Pieces(np.array([item for row in ids for item in row], np.int32), ends)


def _no_offsets() -> Located:
    raise UsageError("Offsets need text, and the input is ids: leave return_offsets_mapping out, or pass text.")


def _rows(call: Call) -> Rows:
    """Return the pieces of each row: one row for each text or pair, unless it is too long."""
    first = whole_texts(call.first)
    second = None if call.second is None else whole_texts(call.second)
    cut = _cut(call)
    if cut is not None:
        total = first.lengths if second is None else first.lengths + second.lengths
        if len(total) and int(total.max()) > cut.room:
            return cut_rows(first, second, cut)
    return Rows(np.arange(len(first.lengths)), first, second, whole=True)


def whole_texts(pieces: Pieces) -> Spans:
    """Return the range of all pieces of each text."""
    starts = np.zeros_like(pieces.ends)
    starts[1:] = pieces.ends[:-1]
    return Spans(starts, pieces.ends - starts)


def _cut(call: Call) -> Cut | None:
    shape, size = call.shape, call.frame.size
    if shape.truncation is None or shape.max_length is None:
        return None
    room = shape.max_length - size
    if room < 0:
        raise UsageError(
            received("max_length", shape.max_length),
            f" has no room for the {size} special tokens: type a larger one, or ",
            Setting("add_special_tokens", False),
            ".",
        )
    stride = call.options.stride
    if call.windows and stride >= room > 0:
        raise UsageError(
            received("stride", stride),
            f" is too large for windows with {room} tokens of the text: type ",
            Setting("stride", room // 2),
            ", or a larger max_length.",
        )
    side = call.encoder.files.truncation_side
    return Cut(shape.truncation, room, side, call.windows, stride, odd_to_first=call.slow)


def _lay_out(rows: Rows, frame: Frame, shape: Shape) -> RowLayout:
    """Compute the position of every row in the buffer."""
    lengths = rows.first.lengths + frame.size
    if rows.second is not None:
        lengths = lengths + rows.second.lengths
    widths = lengths
    if shape.padding is not None and len(lengths):
        widths = np.maximum(lengths, shape.width(int(lengths.max())))  # longer rows keep their length
    ends = np.cumsum(widths)
    starts = ends - (widths if shape.side == "right" else lengths)
    size = int(ends[-1]) if len(ends) else 0
    return RowLayout(rows, frame, starts, lengths, widths, size, padded=size > int(lengths.sum()))
