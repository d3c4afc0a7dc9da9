"""The collator of examples that have one length already: it stacks them."""

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
    """The kind of tensor that a collator returns; an error for any other."""
    kind = getattr(return_tensors, "value", return_tensors)
    if isinstance(kind, str) and kind in _KINDS:
        return kind
    raise UsageError(
        received("return_tensors", return_tensors), " is not a kind of tensor that collators make: type ",
        Setting("return_tensors", "pt"), ', "np" or "tf".',
    )  # fmt: skip


def default_data_collator(features: Examples, return_tensors: str = "pt") -> dict[str, Any]:
    """Stack examples of one length. The column `label` or `label_ids` becomes `labels`; strings are left out.

    >>> default_data_collator([{"input_ids": [2, 7, 3], "label": 1}, {"input_ids": [2, 8, 3], "label": 0}], "np")
    {'labels': array([1, 0]), 'input_ids': array([[2, 7, 3],
           [2, 8, 3]])}
    """
    kind = checked_kind(return_tensors)
    rows = [row if isinstance(row, Mapping) else vars(row) for row in features]
    names = ("label", "label_ids", "labels") if kind == "tf" else ("label", "label_ids")  # which Keras wants as int64
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
        """Examples -> a batch."""
        return default_data_collator(features, return_tensors or self.return_tensors)


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """A column of examples. All of them must have it."""
    for number, row in enumerate(rows):
        if name not in row:
            raise DataError(
                f"Example {number} of the batch has no {name}, which example 0 has: give all of them the same."
            )
    return [row[name] for row in rows]


def labels_of(values: Sequence[Any], kind: str) -> object:
    """Labels as a tensor: whole numbers as int64, others as float32."""
    array = _array(values, "The labels")
    return with_dtype(array.astype(np.int64 if array.dtype.kind in "iub" else np.float32), kind)


def _stacked(values: Sequence[Any], kind: str, name: str) -> object:
    """Values of one shape as a tensor. Tensors keep their type of numbers, and those of PyTorch their device."""
    if kind == "pt" and kind_of(values[0]) == "pt":
        return framework_of("pt").stack(list(values))
    array = _array(values, f"The rows of {name}")
    return with_dtype(array, kind) if is_tensor(values[0]) else to_tensor(array, kind)


def _array(values: Sequence[Any], what: str) -> NDArray[Any]:
    try:
        array = np.asarray([to_array(value) if is_tensor(value) else value for value in values])
    except ValueError as error:
        raise DataError(
            f"{what} differ in length, and a tensor needs rows of one length: type DataCollatorWithPadding(tokenizer)."
        ) from error
    if array.dtype.kind not in "iubf":
        raise DataError(f"{what} are not all numbers, so that they cannot become a tensor.")
    return array
