"""Padding of columns that exist already, as collators of data loaders ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bertkit.errors import UsageError
from bertkit.text.call.options import Shape, width_of
from bertkit.text.call.tensors import is_tensor

Columns = dict[str, Any]


class Filling(NamedTuple):
    """What stands at places of padding."""

    input_ids: int
    token_type_ids: int = 0
    attention_mask: int = 0
    special_tokens_mask: int = 1


def columns_of(encoded: Any) -> tuple[Columns, str | None]:
    """One dictionary of lists from a dictionary or a list of them, and the kind of tensors that it had."""
    if isinstance(encoded, (list, tuple)) and encoded and isinstance(encoded[0], Mapping):
        encoded = _collected(encoded)
    if not isinstance(encoded, Mapping) or "input_ids" not in encoded:
        came = f"the columns {', '.join(encoded)}" if isinstance(encoded, Mapping) else f"a {type(encoded).__name__}"
        raise UsageError(
            f"pad takes what the tokenizer returned, a dictionary with input_ids or a list of such, and {came} came: type "
            "tokenizer.pad([tokenizer(text) for text in texts])."
        )
    kind = _kind(encoded["input_ids"])
    return {name: _plain(column) for name, column in encoded.items()}, kind


def _collected(examples: Sequence[Any]) -> Columns:
    """Examples as columns. All of them have the same."""
    names = list(examples[0])
    for number, example in enumerate(examples):
        if not isinstance(example, Mapping) or set(example) != set(names):
            came = f"has the columns {', '.join(example)}" if isinstance(example, Mapping) else f"is {example!r:.60}"
            raise UsageError(
                f"Example {number} {came}, and example 0 has {', '.join(names)}: give all of them the same."
            )
    return {name: [example[name] for example in examples] for name in names}


def pad_columns(columns: Columns, shape: Shape, filling: Filling, mask: bool) -> Columns:
    """The columns with their rows padded as `shape` says; `mask`: with an attention_mask."""
    rows = columns["input_ids"]
    if len(rows) and not isinstance(rows[0], (list, tuple)):
        single = pad_columns({name: [column] for name, column in columns.items()}, shape, filling, mask)
        return {name: column[0] for name, column in single.items()}
    _check_lengths(columns, filling)
    if mask and "attention_mask" not in columns:
        columns = {**columns, "attention_mask": [[1] * len(row) for row in rows]}
    width = width_of(shape, max((len(row) for row in rows), default=0))
    fills = filling._asdict()
    return {
        name: [_padded(row, fills[name], width, shape.side) for row in column] if name in fills else column
        for name, column in columns.items()
    }


def _check_lengths(columns: Columns, filling: Filling) -> None:
    """Each column has as many rows as input_ids, and each row of what is padded as many tokens."""
    rows = columns["input_ids"]
    for name, column in columns.items():
        if len(column) != len(rows):
            raise UsageError(f"The column {name} has {len(column)} rows, and input_ids has {len(rows)}.")
        for number, (row, ids) in enumerate(zip(column, rows, strict=True) if name in filling._fields else ()):
            if len(row) != len(ids):
                raise UsageError(f"Row {number} of {name} has {len(row)} tokens, and that of input_ids {len(ids)}.")


def _padded(row: Sequence[int], fill: int, width: int, side: str) -> list[int]:
    padding = [fill] * (width - len(row))
    return [*row, *padding] if side == "right" else [*padding, *row]


def _kind(column: Any) -> str | None:
    while isinstance(column, (list, tuple)) and len(column):
        column = column[0]
    module = type(column).__module__.partition(".")[0]
    kinds = {"numpy": "np", "torch": "pt", "tensorflow": "tf", "jax": "jax", "jaxlib": "jax"}
    return kinds.get(module) if is_tensor(column) else None


def _plain(column: Any) -> Any:
    if is_tensor(column):
        return column.tolist() if hasattr(column, "tolist") else column.numpy().tolist()
    if isinstance(column, (list, tuple)) and any(is_tensor(item) for item in column):
        return [_plain(item) for item in column]
    return column
