"""Precision, recall and F1 from counts per class, for labels, multiple labels and entities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bertkit.errors import one_of
from bertkit.metrics.inputs import Numbers

AVERAGES = ("micro", "macro", "weighted")


class Scores(NamedTuple):
    """The scores of one class, or an average."""

    precision: float
    recall: float
    f1: float
    support: int  # number of references


@dataclass
class Counts:
    """The number of correct predictions, predictions and references of each class. A score whose denominator is 0 is 0."""

    right: Counter[Hashable] = field(default_factory=Counter)
    predicted: Counter[Hashable] = field(default_factory=Counter)
    actual: Counter[Hashable] = field(default_factory=Counter)

    def classes(self) -> list[Hashable]:
        """Return all classes in predictions or references, sorted."""
        return sorted(self.predicted.keys() | self.actual.keys())  # type: ignore[type-var]

    def by_class(self) -> dict[Hashable, Scores]:
        """Return the scores of each class."""
        return {name: self.of(name) for name in self.classes()}

    def of(self, name: Hashable) -> Scores:
        """Return the scores of one class."""
        return _scores(self.right[name], self.predicted[name], self.actual[name])

    def average(self, kind: str) -> Scores:
        """Return the average: "micro" counts all classes together, "macro" is their mean, "weighted" the mean by support."""
        one_of("average", kind, AVERAGES)
        if kind == "micro":
            return _scores(self.right.total(), self.predicted.total(), self.actual.total())
        rows = list(self.by_class().values())
        weights = np.array([row.support if kind == "weighted" else 1 for row in rows], float)
        precision, recall, f1 = (_mean([row[column] for row in rows], weights) for column in range(3))
        return Scores(precision, recall, f1, self.actual.total())


def _scores(right: int, predicted: int, actual: int) -> Scores:
    return Scores(ratio(right, predicted), ratio(right, actual), ratio(2 * right, predicted + actual), actual)


def _mean(values: list[float], weights: Numbers) -> float:
    return ratio(float(np.dot(values, weights)), float(weights.sum()))


def ratio(part: float, whole: float) -> float:
    """Return part / whole, or 0 if the whole is 0."""
    return part / whole if whole else 0.0
