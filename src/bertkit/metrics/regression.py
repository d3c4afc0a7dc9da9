"""Metrics for one number per example: the correlations of Pearson and Spearman, and mean errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bertkit.metrics.inputs import Numbers, numbers

UNDEFINED = float("nan")
"""The correlation with a constant, and the mean error without examples."""


_SILENT = np.errstate(over="ignore", invalid="ignore")  # infinities lead to infinities or nan, without warnings


class Regression:
    """Metrics of a regression model over a stream of batches. All predictions and references are kept in memory.

    >>> scores = Regression()
    >>> scores.update([1.0, 2.0], [1.5, 2.0])
    >>> scores.update([4.0], [5.0])
    >>> {name: round(value, 4) for name, value in scores.compute().items()}
    {'pearson': 0.9799, 'spearmanr': 1.0, 'mse': 0.4167, 'mae': 0.5}
    """

    def __init__(self) -> None:
        self._predictions: list[Numbers] = []
        self._references: list[Numbers] = []

    def update(self, predictions: ArrayLike, references: ArrayLike) -> None:
        """Add a batch of numbers, with any shape that is the same for both."""
        first, second = numbers(predictions, references)
        self._predictions.append(first)
        self._references.append(second)

    def compute(self) -> dict[str, float]:
        """Return `pearson`, `spearmanr`, `mse` and `mae` of all batches."""
        first = np.concatenate([np.empty(0), *self._predictions])
        second = np.concatenate([np.empty(0), *self._references])
        return {
            "pearson": _pearson(first, second),
            "spearmanr": _spearman(first, second),
            "mse": _mean(_squares(first, second)),
            "mae": _mean(_distances(first, second)),
        }


def pearson(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return Pearson's correlation, from -1 to 1, or nan if one of the arrays is constant.

    >>> pearson([1, 2, 3], [2, 4, 6])
    1.0
    """
    return _pearson(*numbers(predictions, references))


def spearman(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return Spearman's correlation: Pearson's correlation of the ranks. Equal numbers get their mean rank.

    >>> spearman([1, 2, 30], [2, 4, 6])
    1.0
    """
    return _spearman(*numbers(predictions, references))


def mean_squared_error(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return the mean of the squared differences.

    >>> mean_squared_error([1, 2], [1, 4])
    2.0
    """
    return _mean(_squares(*numbers(predictions, references)))


def mean_absolute_error(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return the mean of the absolute differences.

    >>> mean_absolute_error([1, 2], [1, 4])
    1.0
    """
    return _mean(_distances(*numbers(predictions, references)))


def _mean(values: Numbers) -> float:
    return float(values.mean()) if values.size else UNDEFINED


@_SILENT
def _distances(first: Numbers, second: Numbers) -> Numbers:
    return np.asarray(abs(first - second))


@_SILENT
def _squares(first: Numbers, second: Numbers) -> Numbers:
    return np.asarray((first - second) ** 2)


@_SILENT
def _pearson(first: Numbers, second: Numbers) -> float:
    if len(first) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return UNDEFINED
    if (first == first[0]).all() or (second == second[0]).all():  # constant; rounding could hide this below
        return UNDEFINED
    first, second = _centred(first), _centred(second)
    correlation = np.dot(first, second) / np.sqrt(np.dot(first, first) * np.dot(second, second))
    return float(np.clip(correlation, -1, 1))


def _centred(values: Numbers) -> Numbers:
    """Shift to mean 0 and scale to maximum 1, so that no square overflows or underflows."""
    centred = values - values.mean()
    return np.asarray(centred / abs(centred).max())


def _spearman(first: Numbers, second: Numbers) -> float:
    if np.isnan(first).any() or np.isnan(second).any():
        return UNDEFINED
    return _pearson(_ranks(first), _ranks(second))


def _ranks(values: Numbers) -> Numbers:
    """Return the rank of each value. Equal values get their mean rank."""
    _, which, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return np.asarray((last - (times - 1) / 2)[which], np.float64)
