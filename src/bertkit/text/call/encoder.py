"""The way from checked inputs to columns: pieces, plan, layout, columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit.errors import UsageError
from bertkit.text.assembly import overflow
from bertkit.text.batch_encoding import BatchEncoding
from bertkit.text.call.encoding import Encodings
from bertkit.text.call.inputs import Given, read
from bertkit.text.call.options import PLAIN, Options, Shape, width_of
from bertkit.text.call.rows import Cut, Frame, Ints, Layout, lay_out, plan, row_lengths
from bertkit.text.call.tensors import tensor_kind, to_tensor
from bertkit.text.wordpiece.pieces import Engine, Located, Pieces

if TYPE_CHECKING:
    from bertkit.text.tokenizer import _Tokenizer

_NO_FRAMES = {True: Frame(second_type=0), False: Frame()}  # by slow, whose types are 0 where no special tokens are


class _Call(NamedTuple):
    """A call: its inputs as pieces, and what is asked for."""

    tokenizer: _Tokenizer
    given: Given
    options: Options
    shape: Shape
    slow: bool  # what overflows is returned as the slow tokenizer returns it
    kind: str | None  # of tensors, None for lists
    batch_axis: bool  # around the one row of an input that is no batch
    frame: Frame
    first: Pieces
    second: Pieces | None
    locate: tuple[Callable[[], Located], ...]  # for each side

    @property
    def windows(self) -> bool:
        """Whether what overflows becomes further rows."""
        return self.options.return_overflowing_tokens and not self.slow

    @property
    def flat(self) -> bool:
        """Whether one row is returned as it is, not as a batch of one."""
        return not self.given.batched and not self.windows


def encode(
    tokenizer: _Tokenizer, given: Given, options: Options, slow: bool | None = None, batch_axis: bool = True
) -> BatchEncoding:
    """Inputs -> columns. `slow`: overflow as the slow tokenizer returns it; None: as the tokenizer's class says."""
    call = _prepared(tokenizer, given, options, tokenizer._slow if slow is None else slow, batch_axis)
    if _is_plain(call):
        return _one_row(call)
    encodings = _arranged(call)
    layout = encodings.layout
    if call.shape.max_length is None and len(layout.lengths):
        _check_length(call, int(layout.lengths.max()))
    data = _columns(call, encodings)
    if options.return_length:
        data["length"] = _length(call, layout)
    if call.windows:
        data["overflow_to_sample_mapping"] = _numbers(call, layout.rows.texts)
    elif options.return_overflowing_tokens:
        data |= _overflowing(call, layout)
    known = None if given.kind == "ids" else encodings
    return BatchEncoding(data, known, n_sequences=1 if call.second is None else 2)


def encode_one(tokenizer: _Tokenizer, text: str) -> BatchEncoding:
    """One text and no wishes, as most calls of a server or a notebook are: the same as `encode`, in less time."""
    frame = tokenizer._frames[False]
    ids = [*frame.before, *tokenizer._engine.ids(text), *frame.after]
    if len(ids) > tokenizer.model_max_length:
        tokenizer._say("too long", _too_long(len(ids), tokenizer.model_max_length))
    data = {"input_ids": ids, "token_type_ids": [0] * len(ids), "attention_mask": [1] * len(ids)}

    def encodings() -> Encodings:
        return _arranged(_prepared(tokenizer, read(text, None, False), PLAIN, tokenizer._slow, True))

    return BatchEncoding(data, encodings, n_sequences=1)


def encodings(tokenizer: _Tokenizer, given: Given, options: Options) -> Encodings:
    """Inputs -> rows with all that is known of their tokens. What overflows becomes further rows, for either class."""
    return _arranged(_prepared(tokenizer, given, options, slow=False, batch_axis=True))


def _prepared(tokenizer: _Tokenizer, given: Given, options: Options, slow: bool, batch_axis: bool) -> _Call:
    shape = tokenizer._shape(options)
    split = options.split_special_tokens
    plain = tokenizer.split_special_tokens if split is None else split
    engine = tokenizer._plain_engine if plain else tokenizer._engine
    pair = given.second is not None
    frame = tokenizer._frames[pair] if options.add_special_tokens else _NO_FRAMES[slow]
    sides = [_side(tokenizer, engine, texts, given.kind, options.return_offsets_mapping) for texts in given.texts]
    first, second = sides[0][0], sides[1][0] if pair else None
    kind = None if options.return_tensors is None else tensor_kind(options.return_tensors)
    locate = tuple(later for _, later in sides)
    return _Call(tokenizer, given, options, shape, slow, kind, batch_axis, frame, first, second, locate)


def _check_length(call: _Call, longest: int) -> None:
    if call.options.verbose and longest > call.tokenizer.model_max_length:
        call.tokenizer._say("too long", _too_long(longest, call.tokenizer.model_max_length))


def _too_long(longest: int, most: int) -> str:
    return (
        f"A row has {longest} tokens, {longest - most} more than the {most} that the model takes, and the model will fail on "
        "it: type truncation=True to cut it, with return_overflowing_tokens=True and stride=... to keep the rest in windows."
    )


# One text, as most calls of a server or a notebook are: plain lists, as NumPy takes its time for each small array.


def _is_plain(call: _Call) -> bool:
    """Whether one text came that needs no cutting, and no more than the three usual columns are wanted."""
    given, options, shape = call.given, call.options, call.shape
    if given.batched or given.kind != "texts" or call.second is not None or not call.batch_axis:
        return False
    if options.return_overflowing_tokens or options.return_special_tokens_mask:
        return False
    if options.return_offsets_mapping or options.return_length:
        return False
    return shape.truncation is None or len(call.first.ids) + call.frame.size <= (shape.max_length or 0)


def _one_row(call: _Call) -> BatchEncoding:
    ids = [*call.frame.before, *call.first.ids.tolist(), *call.frame.after]
    size, mask = len(ids), [1] * len(ids)
    if call.shape.max_length is None:
        _check_length(call, size)
    padding = width_of(call.shape, size) - size
    if padding > 0:
        pads, zeros = [call.tokenizer.pad_token_id] * padding, [0] * padding
        right = call.shape.side == "right"
        ids, mask = (ids + pads, mask + zeros) if right else (pads + ids, zeros + mask)
    data: dict[str, Any] = {"input_ids": ids}
    with_types, with_mask = _wanted(call)
    if with_types:
        data["token_type_ids"] = [0] * len(ids)
    if with_mask:
        data["attention_mask"] = mask
    if call.kind is not None:
        data = {name: to_tensor(np.array([column], np.int64), call.kind) for name, column in data.items()}
    return BatchEncoding(data, partial(_arranged, call), n_sequences=1)


def _wanted(call: _Call) -> tuple[bool, bool]:
    """Whether `token_type_ids` and `attention_mask` are wanted."""
    names = call.tokenizer.model_input_names
    types, mask = call.options.return_token_type_ids, call.options.return_attention_mask
    return "token_type_ids" in names if types is None else types, "attention_mask" in names if mask is None else mask


# Any batch.


def _arranged(call: _Call) -> Encodings:
    """The rows in their places."""
    rows = plan(call.first, call.second, _cut(call))
    lengths = row_lengths(rows, call.frame)
    width = width_of(call.shape, int(lengths.max()) if len(lengths) else 0)
    layout = lay_out(rows, call.frame, lengths, width, call.shape.side)
    ids = layout.ids(call.first, call.second, int(call.tokenizer.pad_token_id) if layout.padded else 0)
    ends = (call.first.ends,) if call.second is None else (call.first.ends, call.second.ends)
    return Encodings(layout, ids, call.tokenizer._names, call.locate, ends)


def _side(
    tokenizer: _Tokenizer, engine: Engine, batch: Sequence[Any], kind: str, located: bool
) -> tuple[Pieces, Callable[[], Located]]:
    """The pieces of the first or the second texts, and what tells where they come from."""
    if kind == "ids":
        return _pieces_of_ids(tokenizer, batch), _nowhere
    texts = list(batch)  # the caller's list may change before somebody asks
    locate = partial(engine.locate if kind == "texts" else engine.locate_words, texts)
    if located:
        known = locate()
        return known.pieces, lambda: known
    return (engine.encode(texts) if kind == "texts" else engine.encode_words(texts)), locate


def _pieces_of_ids(tokenizer: _Tokenizer, batch: Sequence[Any]) -> Pieces:
    ids = [tokenizer.convert_tokens_to_ids(row) if len(row) and isinstance(row[0], str) else row for row in batch]
    ends = np.cumsum([len(row) for row in ids], dtype=np.int64)
    return Pieces(np.array([item for row in ids for item in row], np.int32), ends)


def _nowhere() -> Located:
    raise UsageError("Ids came, whose characters nobody knows: leave return_offsets_mapping out, or pass text.")


def _cut(call: _Call) -> Cut | None:
    shape, frame = call.shape, call.frame
    if shape.truncation is None or shape.max_length is None:
        return None
    room = shape.max_length - frame.size
    if room < 0:
        raise UsageError(
            f"max_length={shape.max_length} has no place for the {frame.size} special tokens: type a larger one, or "
            "add_special_tokens=False."
        )
    stride = call.options.stride
    if call.windows and stride >= room > 0:
        raise UsageError(
            f"stride={stride} is how many tokens neighbouring windows share, and a window has {room} of the text: type "
            f"stride={room // 2}, or a larger max_length."
        )
    return Cut(shape.truncation, room, call.tokenizer.truncation_side, call.windows, stride, odd_to_first=call.slow)


def _columns(call: _Call, encodings: Encodings) -> dict[str, Any]:
    """The columns that have an entry for each token, in the order in which they are always returned."""
    layout, options = encodings.layout, call.options
    with_types, with_mask = _wanted(call)
    data = {"input_ids": _column(call, layout, encodings.ids)}
    if with_types:
        data["token_type_ids"] = _column(call, layout, layout.types())
    if with_mask:
        data["attention_mask"] = _column(call, layout, layout.attention())
    if options.return_special_tokens_mask:
        data["special_tokens_mask"] = _column(call, layout, layout.special())
    if options.return_offsets_mapping:
        data["offset_mapping"] = _offsets(call, encodings)
    return data


def _column(call: _Call, layout: Layout, column: Ints) -> Any:
    if call.kind is None:
        lists = layout.lists(column)
        return lists[0] if call.flat else lists
    return _tensor(call, layout.matrix(column))


def _tensor(call: _Call, array: Ints) -> Any:
    assert call.kind is not None
    return to_tensor(array if call.batch_axis else array[0], call.kind)


def _offsets(call: _Call, encodings: Encodings) -> Any:
    layout = encodings.layout
    if call.kind is None:
        offsets = encodings.offsets()
        return offsets[0] if call.flat else offsets
    return _tensor(call, np.stack([layout.matrix(column) for column in encodings.places()], axis=-1))


def _length(call: _Call, layout: Layout) -> Any:
    """The lengths of rows: with their padding, but without it in a batch of the slow tokenizer."""
    if not call.slow:
        return _numbers(call, layout.widths)
    return _number_or_all(call, layout.lengths if call.given.batched else layout.widths)


def _numbers(call: _Call, numbers: Ints) -> Any:
    """A number a row."""
    return numbers.tolist() if call.kind is None else to_tensor(numbers, call.kind)


def _number_or_all(call: _Call, numbers: Ints) -> Any:
    """A number a row; of one row as it is."""
    return int(numbers[0]) if call.flat and call.kind is None else _numbers(call, numbers)


def _overflowing(call: _Call, layout: Layout) -> dict[str, Any]:
    """What was cut off, as the slow tokenizer returns it."""
    if call.second is not None and call.shape.truncation == "longest_first":
        raise UsageError(
            'What is cut off both texts of a pair does not make one list: type truncation="only_first" or '
            '"only_second", or use BertTokenizerFast, which returns further rows.'
        )
    from_second = call.shape.truncation == "only_second" and call.second is not None
    pieces, spans = (call.second, layout.rows.second) if from_second else (call.first, layout.rows.first)
    assert pieces is not None
    assert spans is not None
    texts = np.split(pieces.ids, pieces.ends[:-1]) if len(pieces.ends) else []
    cut_off = [
        overflow(text.tolist(), int(kept), call.options.stride, call.tokenizer.truncation_side)
        for text, kept in zip(texts, spans.lengths, strict=True)
    ]
    total = np.diff(call.first.ends, prepend=0) + call.frame.size
    if call.second is not None:
        total = total + np.diff(call.second.ends, prepend=0)
    removed = total - (total if call.shape.max_length is None else call.shape.max_length)
    return {"overflowing_tokens": _ragged(call, cut_off), "num_truncated_tokens": _number_or_all(call, removed)}


def _ragged(call: _Call, rows: list[list[int]]) -> Any:
    if call.kind is None:
        return rows[0] if call.flat else rows
    if len({len(row) for row in rows}) > 1:
        raise UsageError(
            "The overflowing tokens of the texts differ in number, which no tensor holds: leave return_tensors out, or use "
            "BertTokenizerFast, which returns further rows."
        )
    return _tensor(call, np.array(rows, np.int64))
