"""What may be passed as predictions and references, and what all streaming metrics have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertkit.errors import UsageError

IGNORED = -100
"""The label of a token that does not count."""

Labels: TypeAlias = NDArray[Any]  # of integers, booleans or words
Numbers: TypeAlias = NDArray[np.float64]


class Metric(Protocol):
    """A score over a stream of batches: `update` with each of them, then `compute`."""

    def update(self, predictions: Any, references: Any, /) -> None:
        """Take in one batch."""

    def compute(self) -> Mapping[str, float]:
        """The scores of all that was taken in; the stream may go on afterwards."""


def labels(predictions: ArrayLike, references: ArrayLike) -> tuple[Labels, Labels]:
    """Two flat arrays of labels, without the places whose reference is -100."""
    first, second = _label_array(predictions, "predictions"), _label_array(references, "references")
    same_shape(first, second)
    if (first.dtype.kind == "U") != (second.dtype.kind == "U"):
        raise UsageError(
            "Of predictions and references, one are words and the other integers. Pass the same kind for both."
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
            f"{name} are numbers of type {array.dtype}, and labels are integers or words. "
            "Pass scores.argmax(-1) for scores, or array.astype(int) for integers that are stored so."
        )
    return array


def numbers(predictions: ArrayLike, references: ArrayLike) -> tuple[Numbers, Numbers]:
    """Two flat arrays of numbers."""
    first, second = number_array(predictions, "predictions"), number_array(references, "references")
    same_shape(first, second)
    return first.ravel(), second.ravel()


def number_array(values: ArrayLike, name: str) -> Numbers:
    """An array of numbers in double precision."""
    return numeric(values, name).astype(np.float64)


def numeric(values: ArrayLike, name: str) -> NDArray[Any]:
    """An array of numbers, as they are."""
    array = as_array(values, name)
    if array.size and array.dtype.kind not in "iubfV":  # V: bfloat16 and the like, of ml_dtypes
        raise UsageError(f"{name} are of type {array.dtype}, and numbers are accepted.")
    return array


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """What NumPy makes of it, if that is an array."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise UsageError(f"{name} have rows of different lengths. Pad them, the references with {IGNORED}.") from None
    except (TypeError, RuntimeError) as error:  # a tensor on another device, of a type of its own, or with a gradient
        raise UsageError(f"{name} are no array: {error} For a tensor pass tensor.detach().float().cpu().") from None
    if array.ndim == 0 or array.dtype.kind == "O":
        raise UsageError(f"{name} are {type(values).__name__}, and an array or a list of values is accepted.")
    return array


def same_shape(predictions: NDArray[Any], references: NDArray[Any]) -> None:
    """An error where one array has values that the other has not."""
    if predictions.shape != references.shape:
        raise UsageError(
            f"predictions have the shape {predictions.shape} and references {references.shape}. One prediction for each "
            "reference is accepted; for scores pass scores.argmax(-1)."
        )


def same_length(predictions: Sized, references: Sized, what: str) -> None:
    """An error where there are not as many of the one as of the other."""
    if len(predictions) != len(references):
        raise UsageError(f"{what}: {len(predictions)} predictions for {len(references)} references. Pass one for each.")
