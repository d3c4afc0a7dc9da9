"""Metrics for any number of labels per example: precision, recall, F1, and the accuracy of whole examples."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertkit.errors import UsageError, one_of
from bertkit.metrics.counts import AVERAGES, Counts, Scores, ratio
from bertkit.metrics.inputs import as_array, same_shape


class MultiLabelClassification:
    """Metrics of a multi-label classifier over a stream of batches.

    >>> scores = MultiLabelClassification()
    >>> scores.update([[1, 0, 1], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]])
    >>> {name: round(value, 4) for name, value in scores.compute().items()}
    {'accuracy': 0.5, 'precision': 0.5, 'recall': 1.0, 'f1': 0.6667}

    Args:
        average: "micro": all labels counted together; "macro": the mean over labels; "weighted": the mean weighted by the
            number of references of each label.
    """

    def __init__(self, average: str = "micro") -> None:
        one_of("average", average, AVERAGES)
        self._average = average
        self._counts = Counts()
        self._examples = 0
        self._right = 0

    def update(self, predictions: ArrayLike, references: ArrayLike) -> None:
        """Add a batch.

        Args:
            predictions: [N, C], 1 or True if an example has a label.
            references: [N, C].
        """
        first, second = _table(predictions, "predictions"), _table(references, "references")
        same_shape(first, second)
        self._examples += len(first)
        self._right += int((first == second).all(axis=1).sum())
        tables = (first & second, first, second)
        counters = (self._counts.right, self._counts.predicted, self._counts.actual)
        for counter, table in zip(counters, tables, strict=True):
            counter.update(dict(enumerate(table.sum(axis=0).tolist())))

    def compute(self) -> dict[str, float]:
        """Return `accuracy` (of whole examples), `precision`, `recall` and `f1` of all batches."""
        precision, recall, f1, _ = self._counts.average(self._average)
        return {"accuracy": ratio(self._right, self._examples), "precision": precision, "recall": recall, "f1": f1}

    def by_class(self) -> dict[Hashable, Scores]:
        """Return precision, recall, F1 and support of each label."""
        return self._counts.by_class()


def _table(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    array = as_array(values, name)
    if array.shape == (0,):
        return np.zeros((0, 0), bool)
    if array.ndim != 2 or not np.isin(array, (0, 1)).all():
        raise UsageError(
            f"{name} have the shape {array.shape}. Pass a row of zeros and ones for each example, for example "
            "scores > 0.5."
        )
    return array.astype(bool)
