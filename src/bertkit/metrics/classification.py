"""Metrics for one label per example: accuracy, precision, recall, F1 and the Matthews correlation.

All of them are computed from three counts per class, so the memory does not depend on the length of a stream.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike

from bertkit.errors import UsageError, one_of
from bertkit.metrics.counts import AVERAGES, Counts, Scores, ratio
from bertkit.metrics.inputs import Labels, labels

BINARY = "binary"


class Classification:
    """Metrics of a classifier over a stream of batches.

    >>> scores = Classification(average="macro")
    >>> scores.update([0, 1, 2, 2], [0, 1, 2, 1])
    >>> scores.update([0, 0], [0, -100])
    >>> {name: round(value, 4) for name, value in scores.compute().items()}
    {'accuracy': 0.8, 'precision': 0.8333, 'recall': 0.8333, 'f1': 0.7778, 'matthews_correlation': 0.75}

    Args:
        average: "macro": the mean over classes; "weighted": the mean weighted by the number of references of each class;
            "micro": all classes counted together, which equals the accuracy; "binary": the scores of the class `positive`.
        positive: the class for "binary".
    """

    def __init__(self, average: str = "macro", positive: int | str = 1) -> None:
        one_of("average", average, (BINARY, *AVERAGES))
        self._average = average
        self._positive = positive
        self._counts = Counts()

    def update(self, predictions: ArrayLike, references: ArrayLike) -> None:
        """Add a batch.

        Args:
            predictions: classes, as integers or strings, of any shape.
            references: classes, of the same shape; -100 is ignored.
        """
        first, second = labels(predictions, references)
        self._counts.predicted += _count(first)
        self._counts.actual += _count(second)
        self._counts.right += _count(second[first == second])

    def compute(self) -> dict[str, float]:
        """Return `accuracy`, `precision`, `recall`, `f1` and `matthews_correlation` of all batches."""
        precision, recall, f1, _ = self._averaged()
        return {
            "accuracy": self._counts.average("micro").recall,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "matthews_correlation": _matthews(self._counts),
        }

    def by_class(self) -> dict[Hashable, Scores]:
        """Return precision, recall, F1 and support of each class."""
        return self._counts.by_class()

    def _averaged(self) -> Scores:
        if self._average != BINARY:
            return self._counts.average(self._average)
        classes = self._counts.classes()
        if len({*classes, self._positive}) > 2:
            raise UsageError(
                f"average='binary' needs two classes, but the labels are {_few(classes)}, with the positive class "
                f"{self._positive!r}. Pass average='macro' (or {', '.join(map(repr, AVERAGES))}), or another `positive`."
            )
        return self._counts.of(self._positive)


def _count(values: Labels) -> Counter[Hashable]:
    classes, times = np.unique(values, return_counts=True)
    return Counter(dict(zip(classes.tolist(), times.tolist(), strict=True)))


def _few(classes: list[Hashable]) -> str:
    return ", ".join(map(repr, classes[:5])) + (", ..." if len(classes) > 5 else "")


def _matthews(counts: Counts) -> float:
    """Return the Matthews correlation for any number of classes, from exact integer counts.

    With s examples, c of them correct, p_k predicted as class k, and t_k that have class k:
    (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)).
    """
    total, right = counts.actual.total(), counts.right.total()
    both = right * total - sum(counts.predicted[name] * times for name, times in counts.actual.items())
    predicted = total**2 - sum(times**2 for times in counts.predicted.values())
    actual = total**2 - sum(times**2 for times in counts.actual.values())
    return ratio(both, math.sqrt(predicted * actual))


def accuracy(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return the share of correct labels.

    >>> accuracy([0, 1, 1, 0], [0, 1, 0, -100])
    0.6666666666666666
    """
    return _scored(predictions, references, "micro")["accuracy"]


def precision(predictions: ArrayLike, references: ArrayLike, average: str = BINARY, positive: int | str = 1) -> float:
    """Return the share of predictions of a class that are correct. See `Classification` for the averages."""
    return _scored(predictions, references, average, positive)["precision"]


def recall(predictions: ArrayLike, references: ArrayLike, average: str = BINARY, positive: int | str = 1) -> float:
    """Return the share of references of a class that were predicted. See `Classification` for the averages."""
    return _scored(predictions, references, average, positive)["recall"]


def f1(predictions: ArrayLike, references: ArrayLike, average: str = BINARY, positive: int | str = 1) -> float:
    """Return the harmonic mean of precision and recall. See `Classification` for the averages.

    >>> f1([1, 1, 0, 0], [1, 0, 0, 0]), f1([2, 1, 0, 0], [2, 0, 0, 0], average="macro")
    (0.6666666666666666, 0.6)
    """
    return _scored(predictions, references, average, positive)["f1"]


def matthews_correlation(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return the Matthews correlation: 1 if all labels are correct, near 0 for random labels, -1 for two exchanged classes.

    >>> matthews_correlation([1, 1, 0, 0], [1, 0, 0, 0])
    0.5773502691896258
    """
    return _scored(predictions, references, "micro")["matthews_correlation"]


def _scored(predictions: ArrayLike, references: ArrayLike, average: str, positive: int | str = 1) -> dict[str, float]:
    scores = Classification(average, positive)
    scores.update(predictions, references)
    return scores.compute()
