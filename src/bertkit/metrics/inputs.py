"""Checks of predictions and references, and the common interface of streaming metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertkit.errors import UsageError

IGNORED = -100
"""The label of tokens that metrics ignore."""

Labels: TypeAlias = NDArray[Any]  # of integers, booleans or strings
Numbers: TypeAlias = NDArray[np.float64]


class Metric(Protocol):
    """Scores over a stream of batches: call `update` with each batch, then `compute`."""

    def update(self, predictions: Any, references: Any, /) -> None:
        """Add one batch."""

    def compute(self) -> Mapping[str, float]:
        """Return the scores of all batches so far. More batches may follow."""


def labels(predictions: ArrayLike, references: ArrayLike) -> tuple[Labels, Labels]:
    """Return two flat arrays of labels, without the positions whose reference is -100."""
    first, second = _label_array(predictions, "predictions"), _label_array(references, "references")
    same_shape(first, second)
    if (first.dtype.kind == "U") != (second.dtype.kind == "U"):
        raise UsageError(
            "One of predictions and references has strings, and the other integers. Pass the same kind for both."
        )
    if second.dtype.kind == "i":
        counts = second != IGNORED
        first, second = first[counts], second[counts]
    return first.ravel(), second.ravel()


def _label_array(values: ArrayLike, name: str) -> Labels:
    array = as_array(values, name)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iubU":
        raise UsageError(
            f"{name} have the type {array.dtype}, but labels are integers or strings. "
            "Pass scores.argmax(-1) for scores, or array.astype(int) for integers with another type."
        )
    return array


def numbers(predictions: ArrayLike, references: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return two flat arrays of numbers."""
    first, second = number_array(predictions, "predictions"), number_array(references, "references")
    same_shape(first, second)
    return first.ravel(), second.ravel()


def number_array(values: ArrayLike, name: str) -> Numbers:
    """Convert to an array of numbers in double precision."""
    return numeric(values, name).astype(np.float64)


def numeric(values: ArrayLike, name: str) -> NDArray[Any]:
    """Convert to an array of numbers, and keep their dtype."""
    array = as_array(values, name)
    if array.size and array.dtype.kind not in "iubfV":  # V: bfloat16 and other types of ml_dtypes
        raise UsageError(f"{name} have the type {array.dtype}, but must be numbers.")
    return array


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Convert to a NumPy array. Raise UsageError if that is not possible."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise UsageError(f"{name} have rows of different lengths. Pad them, the references with {IGNORED}.") from None
    except (TypeError, RuntimeError) as error:  # a tensor on another device, with another dtype or with gradients
        raise UsageError(f"{name} are not an array: {error} For a tensor pass tensor.detach().float().cpu().") from None
    if array.ndim == 0 or array.dtype.kind == "O":
        raise UsageError(f"{name} have the type {type(values).__name__}. Pass an array or a list of values.")
    return array


def same_shape(predictions: NDArray[Any], references: NDArray[Any]) -> None:
    """Raise UsageError if two arrays have different shapes."""
    if predictions.shape != references.shape:
        raise UsageError(
            f"predictions have the shape {predictions.shape} and references {references.shape}. Pass one prediction for each "
            "reference; for scores pass scores.argmax(-1)."
        )


def same_length(predictions: Sized, references: Sized, what: str) -> None:
    """Raise UsageError if two sequences have different lengths."""
    if len(predictions) != len(references):
        raise UsageError(f"{what}: {len(predictions)} predictions for {len(references)} references. Pass one for each.")
