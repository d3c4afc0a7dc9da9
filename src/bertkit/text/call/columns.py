"""Rows -> the columns that a model takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bertkit.errors import Setting, UsageError
from bertkit.tensors import tensor_kind, to_tensor
from bertkit.text.call.cutting import Ints
from bertkit.text.call.encoder import Encoder
from bertkit.text.call.encoding import Encoding
from bertkit.text.call.inputs import Given
from bertkit.text.call.options import Options
from bertkit.text.call.rows import Call, Encodings, Layout, arrange, prepare
from bertkit.text.call.sequences import overflow


class Columns(NamedTuple):
    """What a call returns: the columns by name, and the rows with all that is known of their tokens."""

    data: dict[str, Any]
    rows: Sequence[Encoding] | Callable[[], Sequence[Encoding]] | None  # None: the input was ids
    n_sequences: int


class _Form(NamedTuple):
    """How columns are returned."""

    kind: str | None  # of tensors, None for lists
    flat: bool  # one row as it is, not as a batch of one
    batch_axis: bool  # around the one row of an input that is no batch

    def column(self, layout: Layout, column: Ints) -> Any:
        """A number for each token."""
        if self.kind is not None:
            return self.tensor(layout.matrix(column))
        return column.tolist() if self.flat else layout.lists(column)

    def tensor(self, array: Ints) -> Any:
        """An array [R, ...] as a tensor."""
        assert self.kind is not None
        return to_tensor(array if self.batch_axis else array[0], self.kind)

    def numbers(self, numbers: Ints) -> Any:
        """A number for each row."""
        return numbers.tolist() if self.kind is None else to_tensor(numbers, self.kind)

    def number_or_all(self, numbers: Ints) -> Any:
        """A number for each row; of one row as it is."""
        return int(numbers[0]) if self.flat and self.kind is None else self.numbers(numbers)


def encode(encoder: Encoder, given: Given, options: Options, slow: bool, batch_axis: bool = True) -> Columns:
    """Inputs -> columns. `slow`: overflow as the slow tokenizer returns it."""
    kind = None if options.return_tensors is None else tensor_kind(options.return_tensors)
    call = prepare(encoder, given, options, slow)
    if batch_axis and not given.batched and _is_one_plain_row(call):
        return Columns(_one_row(call, kind), partial(arrange, call), 1)
    encodings = arrange(call)
    layout = encodings.layout
    if call.shape.max_length is None and len(layout.lengths):
        check_length(encoder, int(layout.lengths.max()), options.verbose)
    form = _Form(kind, not given.batched and not call.windows, batch_axis)
    data = _columns(call, encodings, form)
    if options.return_length:
        data["length"] = _length(layout, form, slow, given.batched)
    if call.windows:
        data["overflow_to_sample_mapping"] = form.numbers(layout.rows.texts)
    elif options.return_overflowing_tokens:
        data |= _overflowing(call, layout, form)
    return Columns(data, None if given.kind == "ids" else encodings, 1 if call.second is None else 2)


def check_length(encoder: Encoder, longest: int, verbose: bool) -> None:
    """Warn of a row that is longer than the model takes."""
    most = encoder.files.model_max_length
    if verbose and longest > most:
        encoder.warn(
            "too long",
            f"A row has {longest} tokens, {longest - most} more than the {most} that the model takes, and the model will "
            "fail on it: type truncation=True to cut it, with return_overflowing_tokens=True and stride=... to keep the "
            "rest in windows.",
        )


# One text, as most calls of a server or a notebook are: plain lists, as NumPy takes its time for each small array.


def _is_one_plain_row(call: Call) -> bool:
    """Whether the input is one text that needs no cutting, and only the three usual columns are wanted."""
    given, options, shape = call.given, call.options, call.shape
    if given.kind != "texts" or call.second is not None:
        return False
    if options.return_overflowing_tokens or options.return_special_tokens_mask:
        return False
    if options.return_offsets_mapping or options.return_length:
        return False
    return shape.truncation is None or len(call.first.ids) + call.frame.size <= (shape.max_length or 0)


def _one_row(call: Call, kind: str | None) -> dict[str, Any]:
    ids = [*call.frame.before, *call.first.ids.tolist(), *call.frame.after]
    size, mask = len(ids), [1] * len(ids)
    if call.shape.max_length is None:
        check_length(call.encoder, size, call.options.verbose)
    padding = call.shape.width(size) - size
    if padding > 0:
        pads, zeros = [call.encoder.pad_id] * padding, [0] * padding
        right = call.shape.side == "right"
        ids, mask = (ids + pads, mask + zeros) if right else (pads + ids, zeros + mask)
    types, attention = _wanted(call)
    data = {"input_ids": ids}
    data |= {"token_type_ids": [0] * len(ids)} if types else {}
    data |= {"attention_mask": mask} if attention else {}
    if kind is None:
        return data
    return {name: to_tensor(np.array([column], np.int64), kind) for name, column in data.items()}


def _wanted(call: Call) -> tuple[bool, bool]:
    """Whether `token_type_ids` and `attention_mask` are wanted."""
    names = call.encoder.files.model_input_names
    types, mask = call.options.return_token_type_ids, call.options.return_attention_mask
    return "token_type_ids" in names if types is None else types, "attention_mask" in names if mask is None else mask


# Any batch.


def _columns(call: Call, encodings: Encodings, form: _Form) -> dict[str, Any]:
    """The columns that have an entry for each token, in the order in which they are always returned."""
    layout, options = encodings.layout, call.options
    types, attention = _wanted(call)
    data = {"input_ids": form.column(layout, encodings.ids)}
    if types:
        data["token_type_ids"] = form.column(layout, layout.types())
    if attention:
        data["attention_mask"] = form.column(layout, layout.attention())
    if options.return_special_tokens_mask:
        data["special_tokens_mask"] = form.column(layout, layout.special())
    if options.return_offsets_mapping:
        data["offset_mapping"] = _offsets(encodings, form)
    return data


def _offsets(encodings: Encodings, form: _Form) -> Any:
    if form.kind is None:
        offsets = encodings.offsets()
        return offsets[0] if form.flat else offsets
    return form.tensor(np.stack([encodings.layout.matrix(column) for column in encodings.places()], axis=-1))


def _length(layout: Layout, form: _Form, slow: bool, batched: bool) -> Any:
    """The lengths of rows: with their padding, but without it in a batch of the slow tokenizer."""
    if not slow:
        return form.numbers(layout.widths)
    return form.number_or_all(layout.lengths if batched else layout.widths)


def _overflowing(call: Call, layout: Layout, form: _Form) -> dict[str, Any]:
    """What was cut off, as the slow tokenizer returns it."""
    if call.second is not None and call.shape.truncation == "longest_first":
        raise UsageError(
            "What is cut off both texts of a pair does not make one list: type ",
            Setting("truncation", "only_first"),
            " or ",
            Setting("truncation", "only_second"),
            ", or use BertTokenizerFast, which returns further rows.",
        )
    from_second = call.shape.truncation == "only_second" and call.second is not None
    pieces, spans = (call.second, layout.rows.second) if from_second else (call.first, layout.rows.first)
    assert pieces is not None
    assert spans is not None
    texts = np.split(pieces.ids, pieces.ends[:-1]) if len(pieces.ends) else []
    side = call.encoder.files.truncation_side
    cut_off = [
        overflow(text.tolist(), int(kept), call.options.stride, side)
        for text, kept in zip(texts, spans.lengths, strict=True)
    ]
    total = np.diff(call.first.ends, prepend=0) + call.frame.size
    if call.second is not None:
        total = total + np.diff(call.second.ends, prepend=0)
    removed = total - (total if call.shape.max_length is None else call.shape.max_length)
    return {"overflowing_tokens": _ragged(cut_off, form), "num_truncated_tokens": form.number_or_all(removed)}


def _ragged(rows: list[list[int]], form: _Form) -> Any:
    if form.kind is None:
        return rows[0] if form.flat else rows
    if len({len(row) for row in rows}) > 1:
        raise UsageError(
            "The overflowing tokens of the texts differ in number, which no tensor holds: leave return_tensors out, or use "
            "BertTokenizerFast, which returns further rows."
        )
    return form.tensor(np.array(rows, np.int64))
