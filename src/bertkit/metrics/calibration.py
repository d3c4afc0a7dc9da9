"""Calibration: whether the confidence of a classifier equals its accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bertkit.errors import UsageError
from bertkit.metrics.inputs import IGNORED, Numbers, as_array, number_array

UNDEFINED = float("nan")
"""The error without examples, as 0 would mean a perfect calibration."""

_SUM_TOLERANCE = 0.02  # for probabilities in half precision


class Bin(NamedTuple):
    """The predictions with a confidence above `low`, up to and including `high`."""

    low: float
    high: float
    size: int
    confidence: float
    accuracy: float


class Calibration:
    """The difference between confidence and accuracy over a stream of batches. Only three numbers per bin are kept.

    >>> scores = Calibration(bins=10)
    >>> scores.update([[0.9, 0.1], [0.3, 0.7], [0.75, 0.25]], [0, 0, 0])
    >>> {name: round(value, 4) for name, value in scores.compute().items()}
    {'ece': 0.35, 'mce': 0.7, 'accuracy': 0.6667, 'confidence': 0.7833}

    Args:
        bins: the number of bins of equal width for confidences from 0 to 1.
    """

    def __init__(self, bins: int = 15) -> None:
        if bins < 1:
            raise UsageError(f"bins is {bins}, but must be at least 1.")
        self._edges = np.linspace(0, 1, bins + 1)
        self._sums = np.zeros((3, bins))  # count, confidence, right

    def update(self, probabilities: ArrayLike, references: ArrayLike) -> None:
        """Add a batch.

        Args:
            probabilities: [..., C], each row a distribution over the classes.
            references: [...], classes; -100 is ignored.
        """
        rows, classes = _counted(probabilities, references)
        if not len(rows):
            return
        confidence, right = rows.max(axis=-1), rows.argmax(axis=-1) == classes
        which = np.searchsorted(self._edges[1:-1], confidence)
        for total, weights in zip(self._sums, (None, confidence, right), strict=True):
            total += np.bincount(which, weights, minlength=len(total))

    def compute(self) -> dict[str, float]:
        """Return `ece` (mean difference, weighted by bin size), `mce` (largest difference), `accuracy` and `confidence`."""
        filled = [each for each in self.bins() if each.size]
        if not filled:
            return dict.fromkeys(("ece", "mce", "accuracy", "confidence"), UNDEFINED)
        count, confidence, right = self._sums.sum(axis=1)
        gaps = [abs(each.accuracy - each.confidence) for each in filled]
        return {
            "ece": float(np.average(gaps, weights=[each.size for each in filled])),
            "mce": max(gaps),
            "accuracy": float(right / count),
            "confidence": float(confidence / count),
        }

    def bins(self) -> list[Bin]:
        """Return the bins, for a reliability diagram. Confidence and accuracy of an empty bin are nan."""
        return [
            Bin(float(low), float(high), int(count), *_means(count, confidence, right))
            for low, high, (count, confidence, right) in zip(
                self._edges[:-1], self._edges[1:], self._sums.T, strict=True
            )
        ]


def _means(count: float, confidence: float, right: float) -> tuple[float, float]:
    return (float(confidence / count), float(right / count)) if count else (UNDEFINED, UNDEFINED)


def _counted(probabilities: ArrayLike, references: ArrayLike) -> tuple[Numbers, Numbers]:
    rows, classes = number_array(probabilities, "probabilities"), as_array(references, "references")
    if not classes.size and not rows.size:
        return np.empty((0, 1)), np.empty(0)
    if rows.shape[:-1] != classes.shape:
        raise UsageError(
            f"probabilities have the shape {rows.shape} and references {classes.shape}. Pass a row of probabilities for each "
            "reference."
        )
    rows, classes = rows[classes != IGNORED], classes[classes != IGNORED]
    if rows.size and (rows.min() < 0 or abs(rows.sum(axis=-1) - 1).max() > _SUM_TOLERANCE):
        raise UsageError("probabilities have a row that is not a distribution. Pass the softmax of the logits.")
    return rows, classes


def expected_calibration_error(probabilities: ArrayLike, references: ArrayLike, bins: int = 15) -> float:
    """Return the mean difference between confidence and accuracy: the `ece` of `Calibration` in one call.

    >>> round(expected_calibration_error([[0.9, 0.1], [0.3, 0.7]], [0, 0]), 4)
    0.4
    """
    scores = Calibration(bins)
    scores.update(probabilities, references)
    return scores.compute()["ece"]
