"""Confidence intervals of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.metrics.inputs import same_length
from bertkit.metrics.weighted import WeightedMetric

Examples: TypeAlias = Sequence[Any] | NDArray[Any]


class Interval(NamedTuple):
    """A score and its confidence interval."""

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
    """Return a score with its confidence interval, by resampling the examples (percentile bootstrap).

    >>> from bertkit.metrics import accuracy
    >>> bootstrap_interval(accuracy, [1, 1, 0, 1] * 25, [1, 0, 0, 1] * 25, seed=0)
    Interval(value=0.75, low=0.67, high=0.84)

    Args:
        metric: a function of predictions and references that returns a number, for example `accuracy`, or a lambda.
        predictions: a prediction for each example, as an array whose rows are the examples, or as any sequence.
        references: a reference for each example.
        seed: the same seed returns the same interval.
        confidence: the share of resampled scores within the interval.
        resamples: the number of resamples.
    """
    same_length(predictions, references, "examples")
    _check(len(predictions), confidence, resamples)
    generator = np.random.default_rng(seed)
    size = len(predictions)
    drawn = []
    for _ in range(resamples):
        chosen = generator.integers(0, size, size)
        drawn.append(metric(_take(predictions, chosen), _take(references, chosen)))
    rest = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(drawn, np.float64), [rest, 1 - rest])
    return Interval(float(metric(predictions, references)), float(low), float(high))


def bootstrap_intervals(
    metric: WeightedMetric, *, seed: int, confidence: float = 0.95, resamples: int = 1000
) -> dict[str, tuple[float, float]]:
    """Return the confidence interval of each score of a metric, as `bootstrap_interval` does, but many times faster.

    Resamples in which a score is undefined do not count for its interval. If it is always undefined, its interval is nan.

    >>> from bertkit.metrics.weighted import accuracy_metric
    >>> bootstrap_intervals(accuracy_metric([[True], [False], [True], [True]] * 25), seed=0)
    {'accuracy': (0.67, 0.84)}

    Args:
        metric: the metric with its examples.
        seed: the same seed returns the same intervals.
        confidence: the share of resampled scores within an interval.
        resamples: the number of resamples.
    """
    _check(metric.size, confidence, resamples)
    generator = np.random.default_rng(seed)
    size, drawn = metric.size, []
    for _ in range(resamples):
        times = np.bincount(generator.integers(0, size, size), minlength=size)
        drawn.append(metric.scores(times.astype(np.float64)))
    return {name: _quantiles(np.array([scores[name] for scores in drawn]), confidence) for name in drawn[0]}


def _quantiles(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    rest = (1 - confidence) / 2
    low, high = np.quantile(values, [rest, 1 - rest])
    return float(low), float(high)


def _check(size: int, confidence: float, resamples: int) -> None:
    if not size:
        raise UsageError("There are no examples, but an interval needs at least one.")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}, but must be between 0 and 1, for example 0.95.")
    if resamples < 1:
        raise UsageError(f"resamples is {resamples}, but must be at least 1, for example 1000.")


def _take(values: Examples, chosen: NDArray[np.int64]) -> Any:
    return values[chosen] if isinstance(values, np.ndarray) else [values[place] for place in chosen.tolist()]
