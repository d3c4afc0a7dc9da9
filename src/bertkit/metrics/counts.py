"""Precision, recall and F1 of counted classes: what labels, columns of labels and entities have in common."""

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
    support: int  # how many there are in the references


@dataclass
class Counts:
    """How often each class was right, predicted, and there. Any score that divides by nothing is 0."""

    right: Counter[Hashable] = field(default_factory=Counter)
    predicted: Counter[Hashable] = field(default_factory=Counter)
    there: Counter[Hashable] = field(default_factory=Counter)

    def classes(self) -> list[Hashable]:
        """All that were predicted or there, in order."""
        return sorted(self.predicted.keys() | self.there.keys())  # type: ignore[type-var]

    def by_class(self) -> dict[Hashable, Scores]:
        """The scores of each class."""
        return {name: self.of(name) for name in self.classes()}

    def of(self, name: Hashable) -> Scores:
        """The scores of one class."""
        return _scores(self.right[name], self.predicted[name], self.there[name])

    def average(self, kind: str) -> Scores:
        """`micro` counts all classes together, `macro` is their plain mean, `weighted` that by their support."""
        one_of("average", kind, AVERAGES)
        if kind == "micro":
            return _scores(self.right.total(), self.predicted.total(), self.there.total())
        rows = list(self.by_class().values())
        weights = np.array([row.support if kind == "weighted" else 1 for row in rows], float)
        precision, recall, f1 = (_mean([row[column] for row in rows], weights) for column in range(3))
        return Scores(precision, recall, f1, self.there.total())


def _scores(right: int, predicted: int, there: int) -> Scores:
    return Scores(ratio(right, predicted), ratio(right, there), ratio(2 * right, predicted + there), there)


def _mean(values: list[float], weights: Numbers) -> float:
    return ratio(float(np.dot(values, weights)), float(weights.sum()))


def ratio(part: float, whole: float) -> float:
    """Their quotient; 0 of nothing."""
    return part / whole if whole else 0.0
