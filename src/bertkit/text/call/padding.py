"""Padding of encoded columns, for `tokenizer.pad` and data collators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bertkit.errors import UsageError
from bertkit.tensors import is_tensor, kind_of
from bertkit.text.call.encoder import Encoder
from bertkit.text.call.options import Options, Shape, check
from bertkit.text.call.rows import shape_for

Columns = dict[str, Any]


class _PadValues(NamedTuple):
    """The padding value of each column."""

    input_ids: int
    token_type_ids: int = 0
    attention_mask: int = 0
    special_tokens_mask: int = 1


def pad_columns(encoder: Encoder, encoded: Any, options: Options, mask: bool) -> tuple[Columns, str | None]:
    """Return padded columns, from columns or a list of examples, and the kind of tensors to return.

    `mask`: add an attention_mask.
    """
    columns, kind = _columns_of(encoded)
    check(options)
    shape = shape_for(encoder, options)
    return _pad_columns(columns, shape, _PadValues(encoder.pad_id), mask), options.return_tensors or kind


def _columns_of(encoded: Any) -> tuple[Columns, str | None]:
    """Return a dictionary or a list of dictionaries as one dictionary of lists, and the kind of its tensors."""
    if isinstance(encoded, (list, tuple)) and encoded and isinstance(encoded[0], Mapping):
        encoded = _collected(encoded)
    if not isinstance(encoded, Mapping) or "input_ids" not in encoded:
        received = (
            f"the columns {', '.join(encoded)}" if isinstance(encoded, Mapping) else f"a {type(encoded).__name__}"
        )
        raise UsageError(
            f"pad takes a dictionary with input_ids or a list of such dictionaries, not {received}: type "
            "tokenizer.pad([tokenizer(text) for text in texts])."
        )
    kind = _kind(encoded["input_ids"])
    return {name: _plain(column) for name, column in encoded.items()}, kind


def _collected(examples: Sequence[Any]) -> Columns:
    """Return a list of examples as columns. Raises UsageError if the examples have different columns."""
    names = list(examples[0])
    for number, example in enumerate(examples):
        if not isinstance(example, Mapping) or set(example) != set(names):
            received = (
                f"has the columns {', '.join(example)}" if isinstance(example, Mapping) else f"is {example!r:.60}"
            )
            raise UsageError(
                f"Example {number} {received}, and example 0 has {', '.join(names)}: pass the same columns in all examples."
            )
    return {name: [example[name] for example in examples] for name in names}


def _pad_columns(columns: Columns, shape: Shape, values: _PadValues, mask: bool) -> Columns:
    """Return the columns with padded rows. `mask`: add an attention_mask."""
    rows = columns["input_ids"]
    if len(rows) and not isinstance(rows[0], (list, tuple)):
        single = _pad_columns({name: [column] for name, column in columns.items()}, shape, values, mask)
        return {name: column[0] for name, column in single.items()}
    _check_lengths(columns)
    if mask and "attention_mask" not in columns:
        columns = {**columns, "attention_mask": [[1] * len(row) for row in rows]}
    width = shape.width(max((len(row) for row in rows), default=0))
    fills = values._asdict()
    return {
        name: [_padded(row, fills[name], width, shape.side) for row in column] if name in fills else column
        for name, column in columns.items()
    }


def _check_lengths(columns: Columns) -> None:
    """Raise UsageError unless all columns have as many rows as input_ids, and padded ones as many tokens in each row."""
    rows = columns["input_ids"]
    for name, column in columns.items():
        if len(column) != len(rows):
            raise UsageError(
                f"The column {name} has {len(column)} rows, and input_ids has {len(rows)}: pass equally many."
            )
        for number, (row, ids) in enumerate(zip(column, rows, strict=True) if name in _PadValues._fields else ()):
            if len(row) != len(ids):
                raise UsageError(
                    f"Row {number} of {name} has {len(row)} tokens, and row {number} of input_ids has {len(ids)}: pass "
                    "equally many."
                )


def _padded(row: Sequence[int], fill: int, width: int, side: str) -> list[int]:
    padding = [fill] * (width - len(row))
    return [*row, *padding] if side == "right" else [*padding, *row]


def _kind(column: Any) -> str | None:
    while isinstance(column, (list, tuple)) and len(column):
        column = column[0]
    return kind_of(column)


def _plain(column: Any) -> Any:
    if is_tensor(column):
        return column.tolist() if hasattr(column, "tolist") else column.numpy().tolist()
    if isinstance(column, (list, tuple)) and any(is_tensor(item) for item in column):
        return [_plain(item) for item in column]
    return column
