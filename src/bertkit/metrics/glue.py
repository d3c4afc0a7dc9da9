"""The metrics of each GLUE task, by their names in GLUE."""

from __future__ import annotations

from numpy.typing import ArrayLike

from bertkit.errors import one_of
from bertkit.metrics.classification import Classification
from bertkit.metrics.regression import Regression

GLUE_TASKS = {
    "cola": ("matthews_correlation",),
    "sst2": ("accuracy",),
    "mrpc": ("accuracy", "f1"),
    "stsb": ("pearson", "spearmanr"),
    "qqp": ("accuracy", "f1"),
    "mnli": ("accuracy",),
    "mnli_matched": ("accuracy",),
    "mnli_mismatched": ("accuracy",),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
    "wnli": ("accuracy",),
    "hans": ("accuracy",),
}
"""The names of the scores of each task."""


class Glue:
    """The scores of a GLUE task over a stream of batches.

    >>> scores = Glue("mrpc")
    >>> scores.update([1, 1], [1, 0])
    >>> scores.update([1, 1], [1, 1])
    >>> scores.compute()
    {'accuracy': 0.75, 'f1': 0.8571428571428571}

    Args:
        task: "cola", "sst2", "mrpc", "stsb", "qqp", "mnli" (or "mnli_matched", "mnli_mismatched"), "qnli", "rte", "wnli" or
            "hans".
    """

    def __init__(self, task: str) -> None:
        one_of("task", task, tuple(GLUE_TASKS))
        self._names = GLUE_TASKS[task]
        average = "binary" if "f1" in self._names else "micro"
        self._scores = Regression() if task == "stsb" else Classification(average)

    def update(self, predictions: ArrayLike, references: ArrayLike) -> None:
        """Add a batch of classes, or of numbers for "stsb"."""
        self._scores.update(predictions, references)

    def compute(self) -> dict[str, float]:
        """Return the scores of the task, by the names in `GLUE_TASKS`."""
        scores = self._scores.compute()
        return {name: scores[name] for name in self._names}


def glue_scores(task: str, predictions: ArrayLike, references: ArrayLike) -> dict[str, float]:
    """Return the scores of a GLUE task: `Glue` in one call.

    >>> glue_scores("cola", [1, 0, 1, 1], [1, 0, 0, 1])
    {'matthews_correlation': 0.5773502691896258}
    """
    scores = Glue(task)
    scores.update(predictions, references)
    return scores.compute()
