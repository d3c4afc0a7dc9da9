"""How far a score would swing with other examples of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.metrics.inputs import same_length

Examples: TypeAlias = Sequence[Any] | NDArray[Any]


class Interval(NamedTuple):
    """A score, and the two ends between which it stays."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    metric: Callable[[Any, Any], float],
    predictions: Examples,
    references: Examples,
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """A score with its confidence interval, by drawing as many examples again and again (percentile bootstrap).

    >>> from bertkit.metrics import accuracy
    >>> bootstrap_interval(accuracy, [1, 1, 0, 1] * 25, [1, 0, 0, 1] * 25, seed=0)
    Interval(value=0.75, low=0.67, high=0.84)

    Args:
        metric: gives a number for predictions and references, such as `accuracy`, or a lambda around one with options.
        predictions: one an example: an array, whose rows are the examples, or any sequence.
        references: one an example.
        seed: the same seed gives the same interval.
        confidence: how much of the drawn scores is to lie within.
        resamples: how often to draw.
    """
    _check(predictions, references, confidence, resamples)
    generator = np.random.default_rng(seed)
    size = len(predictions)
    drawn = []
    for _ in range(resamples):
        chosen = generator.integers(0, size, size)
        drawn.append(metric(_take(predictions, chosen), _take(references, chosen)))
    rest = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(drawn, np.float64), [rest, 1 - rest])
    return Interval(float(metric(predictions, references)), float(low), float(high))


def _check(predictions: Examples, references: Examples, confidence: float, resamples: int) -> None:
    same_length(predictions, references, "examples")
    if not len(predictions):
        raise UsageError("There is no example, and an interval needs one at least.")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}, and a number between 0 and 1 is accepted, such as 0.95.")
    if resamples < 1:
        raise UsageError(f"resamples is {resamples}, and 1 or more is accepted, such as 1000.")


def _take(values: Examples, chosen: NDArray[np.int64]) -> Any:
    return values[chosen] if isinstance(values, np.ndarray) else [values[place] for place in chosen.tolist()]
