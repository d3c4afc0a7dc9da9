"""Rows -> columns, the inputs of a model."""

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
from bertkit.text.call.inputs import Inputs
from bertkit.text.call.options import Options
from bertkit.text.call.rows import Call, Encodings, RowLayout, arrange, prepare
from bertkit.text.call.sequences import overflow


class Columns(NamedTuple):
    """The result of a call: the columns by name, and the rows with the words and characters of their tokens."""

    data: dict[str, Any]
    rows: Sequence[Encoding] | Callable[[], Sequence[Encoding]] | None  # the rows, or a function that makes them
    n_sequences: int


class _Form(NamedTuple):
    """The form of the returned columns."""

    kind: str | None  # of tensors, None for lists
    flat: bool  # lists: one row without a batch dimension
    batch_axis: bool  # tensors: whether one row has a batch dimension

    def column(self, layout: RowLayout, column: Ints) -> Any:
        """Convert a flat column [S], which has a number for each token, to lists or a tensor."""
        if self.kind is not None:
            return self.tensor(layout.matrix(column))
        return column.tolist() if self.flat else layout.lists(column)

    def tensor(self, array: Ints) -> Any:
        """Return an array [R, ...] as a tensor."""
        assert self.kind is not None
        return to_tensor(array if self.batch_axis else array[0], self.kind)

    def numbers(self, numbers: Ints) -> Any:
        """Convert a column [R], which has a number for each row, to a list or a tensor."""
        return numbers.tolist() if self.kind is None else to_tensor(numbers, self.kind)

    def number_or_all(self, numbers: Ints) -> Any:
        """The same as `numbers`, but returns an integer for a row without a batch dimension."""
        return int(numbers[0]) if self.flat and self.kind is None else self.numbers(numbers)


def encode(encoder: Encoder, inputs: Inputs, options: Options, slow: bool, batch_axis: bool = True) -> Columns:
    """Encode inputs. `slow`: return overflowing tokens as the slow tokenizer does."""
    kind = None if options.return_tensors is None else tensor_kind(options.return_tensors)
    call = prepare(encoder, inputs, options, slow)
    if batch_axis and not inputs.batched and _is_one_plain_row(call):
        return Columns(_one_row(call, kind), partial(arrange, call), 1)
    encodings = arrange(call)
    layout = encodings.layout
    if call.shape.max_length is None and len(layout.lengths):
        check_length(encoder, int(layout.lengths.max()), options.verbose)
    form = _Form(kind, not inputs.batched and not call.windows, batch_axis)
    data = _columns(call, encodings, form)
    if options.return_length:
        data["length"] = _length(layout, form, slow, inputs.batched)
    if call.windows:
        data["overflow_to_sample_mapping"] = form.numbers(layout.rows.texts)
    elif options.return_overflowing_tokens:
        data |= _overflowing(call, layout, form)
    return Columns(data, None if inputs.kind == "ids" else encodings, 1 if call.second is None else 2)


def check_length(encoder: Encoder, longest: int, verbose: bool) -> None:
    """Warn if a row is longer than the model accepts."""
    most = encoder.files.model_max_length
    if verbose and longest > most:
        encoder.warn(
            "too long",
            f"A row has {longest} tokens, {longest - most} more than the {most} that the model accepts, so the model will fail: "
            "type truncation=True, and return_overflowing_tokens=True and stride=... to keep the rest in further rows.",
        )


# One text, the most frequent call: lists are used, since NumPy is slower for small arrays.


def _is_one_plain_row(call: Call) -> bool:
    """Whether the input is one text that is not too long, and only the three usual columns are requested."""
    options, shape = call.options, call.shape
    if call.inputs.kind != "texts" or call.second is not None:
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
    types, attention = _optional_columns(call)
    data = {"input_ids": ids}
    data |= {"token_type_ids": [0] * len(ids)} if types else {}
    data |= {"attention_mask": mask} if attention else {}
    if kind is None:
        return data
    return {name: to_tensor(np.array([column], np.int64), kind) for name, column in data.items()}


def _optional_columns(call: Call) -> tuple[bool, bool]:
    """Whether to return `token_type_ids` and `attention_mask`."""
    names = call.encoder.files.model_input_names
    types, mask = call.options.return_token_type_ids, call.options.return_attention_mask
    return "token_type_ids" in names if types is None else types, "attention_mask" in names if mask is None else mask


def _columns(call: Call, encodings: Encodings, form: _Form) -> dict[str, Any]:
    """Return the columns that have an entry for each token, in the order of transformers."""
    layout, options = encodings.layout, call.options
    types, attention = _optional_columns(call)
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
    return form.tensor(np.stack([encodings.layout.matrix(column) for column in encodings.char_spans()], axis=-1))


def _length(layout: RowLayout, form: _Form, slow: bool, batched: bool) -> Any:
    """Return the lengths of rows, including padding, except in a batch of the slow tokenizer."""
    if not slow:
        return form.numbers(layout.widths)
    return form.number_or_all(layout.lengths if batched else layout.widths)


def _overflowing(call: Call, layout: RowLayout, form: _Form) -> dict[str, Any]:
    """Return the overflowing tokens as the slow tokenizer does."""
    if call.second is not None and call.shape.truncation == "longest_first":
        raise UsageError(
            "Overflowing tokens of both texts of a pair cannot be returned as one list: type ",
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
            "The texts have different numbers of overflowing tokens, and a tensor needs rows of one length: leave "
            "return_tensors out, or use BertTokenizerFast, which returns further rows."
        )
    return form.tensor(np.array(rows, np.int64))
