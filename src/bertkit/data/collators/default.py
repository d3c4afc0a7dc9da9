"""The default collator, which stacks examples of the same length without padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import DataError, Setting, UsageError, received
from bertkit.tensors import framework_of, is_tensor, kind_of, to_array, to_tensor, with_dtype

Example = Any
Examples = Sequence[Example]

_KINDS = ("pt", "np", "tf")


def checked_kind(return_tensors: object) -> str:
    """Return the kind of tensor that a collator returns. Raise UsageError for an unknown kind."""
    kind = getattr(return_tensors, "value", return_tensors)
    if isinstance(kind, str) and kind in _KINDS:
        return kind
    raise UsageError(
        received("return_tensors", return_tensors), " is not a kind of tensor that collators return: type ",
        Setting("return_tensors", "pt"), ', "np" or "tf".',
    )  # fmt: skip


def default_data_collator(features: Examples, return_tensors: str = "pt") -> dict[str, Any]:
    """Stack examples of the same length. The column `label` or `label_ids` is renamed to `labels`; strings are left out.

    >>> default_data_collator([{"input_ids": [2, 7, 3], "label": 1}, {"input_ids": [2, 8, 3], "label": 0}], "np")
    {'labels': array([1, 0]), 'input_ids': array([[2, 7, 3],
           [2, 8, 3]])}
    """
    kind = checked_kind(return_tensors)
    rows = [row if isinstance(row, Mapping) else vars(row) for row in features]
    names = ("label", "label_ids", "labels") if kind == "tf" else ("label", "label_ids")  # Keras needs int64 labels
    first, batch = rows[0], {}
    label = next((name for name in names if first.get(name) is not None), None)
    if label is not None:
        batch["labels"] = labels_of(column(rows, label), kind)
    for name, value in first.items():
        if name not in names and value is not None and not isinstance(value, str):
            batch[name] = _stacked(column(rows, name), kind, name)
    return batch


@dataclass
class DefaultDataCollator:
    """`default_data_collator` as an object.

    >>> DefaultDataCollator(return_tensors="np")([{"input_ids": [2, 3]}])
    {'input_ids': array([[2, 3]])}
    """

    return_tensors: str = "pt"

    def __call__(self, features: Examples, return_tensors: str | None = None) -> dict[str, Any]:
        """Return the batch of a list of examples."""
        return default_data_collator(features, return_tensors or self.return_tensors)


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Return a column of the examples. Raise DataError if an example does not have the column."""
    for number, row in enumerate(rows):
        if name not in row:
            raise DataError(
                f"Example {number} of the batch has no {name}, but example 0 does: pass it for all or none."
            )
    return [row[name] for row in rows]


def labels_of(values: Sequence[Any], kind: str) -> object:
    """Return labels as a tensor: int64 for integers, otherwise float32."""
    array = _array(values, "The labels")
    return with_dtype(array.astype(np.int64 if array.dtype.kind in "iub" else np.float32), kind)


def _stacked(values: Sequence[Any], kind: str, name: str) -> object:
    """Stack values of the same shape to a tensor. Tensors keep their dtype, and PyTorch tensors also their device."""
    if kind == "pt" and kind_of(values[0]) == "pt":
        return framework_of("pt").stack(list(values))
    array = _array(values, f"The rows of {name}")
    return with_dtype(array, kind) if is_tensor(values[0]) else to_tensor(array, kind)


def _array(values: Sequence[Any], what: str) -> NDArray[Any]:
    try:
        array = np.asarray([to_array(value) if is_tensor(value) else value for value in values])
    except ValueError as error:
        raise DataError(
            f"{what} differ in length, but a tensor needs rows of the same length: type DataCollatorWithPadding(tokenizer)."
        ) from error
    if array.dtype.kind not in "iubf":
        raise DataError(f"{what} are not all numbers, and cannot be converted to a tensor.")
    return array
