"""One number an example: the correlations of Pearson and Spearman, and mean errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bertkit.metrics.inputs import Numbers, numbers

UNDEFINED = float("nan")
"""What a correlation is where one side never changes, and a mean error of nothing. 0 would be a claim."""


_SILENT = np.errstate(over="ignore", invalid="ignore")  # infinities give infinities or nan


class Regression:
    """The scores of a model that gives numbers, over a stream of batches. It keeps the two numbers of each example.

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
        """Take in a batch: numbers of any shape, the same for both."""
        first, second = numbers(predictions, references)
        self._predictions.append(first)
        self._references.append(second)

    def compute(self) -> dict[str, float]:
        """`pearson`, `spearmanr`, `mse` and `mae` of all that came."""
        first = np.concatenate([np.empty(0), *self._predictions])
        second = np.concatenate([np.empty(0), *self._references])
        return {
            "pearson": _pearson(first, second),
            "spearmanr": _spearman(first, second),
            "mse": _mean(_squares(first, second)),
            "mae": _mean(_distances(first, second)),
        }


def pearson(predictions: ArrayLike, references: ArrayLike) -> float:
    """How straight the line is on which the two lie: 1 rising, -1 falling, nan where one side never changes.

    >>> pearson([1, 2, 3], [2, 4, 6])
    1.0
    """
    return _pearson(*numbers(predictions, references))


def spearman(predictions: ArrayLike, references: ArrayLike) -> float:
    """Pearson's correlation of the ranks: 1 where both have the same order. Equal numbers share their mean rank.

    >>> spearman([1, 2, 30], [2, 4, 6])
    1.0
    """
    return _spearman(*numbers(predictions, references))


def mean_squared_error(predictions: ArrayLike, references: ArrayLike) -> float:
    """The mean of the squared differences.

    >>> mean_squared_error([1, 2], [1, 4])
    2.0
    """
    return _mean(_squares(*numbers(predictions, references)))


def mean_absolute_error(predictions: ArrayLike, references: ArrayLike) -> float:
    """The mean of the differences without their sign.

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
    if (first == first[0]).all() or (second == second[0]).all():  # before rounding can make a slope out of it
        return UNDEFINED
    first, second = _centred(first), _centred(second)
    slope = np.dot(first, second) / np.sqrt(np.dot(first, first) * np.dot(second, second))
    return float(np.clip(slope, -1, 1))


def _centred(values: Numbers) -> Numbers:
    """Around a mean of 0, the largest 1, so that no square overflows or vanishes."""
    centred = values - values.mean()
    return np.asarray(centred / abs(centred).max())


def _spearman(first: Numbers, second: Numbers) -> float:
    if np.isnan(first).any() or np.isnan(second).any():
        return UNDEFINED
    return _pearson(_ranks(first), _ranks(second))


def _ranks(values: Numbers) -> Numbers:
    """The place of each in the order of all; equal ones share the mean of theirs."""
    _, which, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return np.asarray((last - (times - 1) / 2)[which], np.float64)
