"""Confidence intervals compared with scipy's percentile bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from bertkit import metrics
from bertkit.errors import UsageError


@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_scipy(confidence: float) -> None:
    generator = np.random.default_rng(0)
    references = generator.integers(0, 2, 201)
    predictions = np.where(generator.random(201) < 0.8, references, 1 - references)
    expected = scipy.stats.bootstrap(
        (predictions, references),
        metrics.f1,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=800,
        confidence_level=confidence,
        rng=np.random.default_rng(7),
    ).confidence_interval
    found = metrics.bootstrap_interval(
        metrics.f1, predictions, references, seed=7, confidence=confidence, resamples=800
    )
    assert found.value == metrics.f1(predictions, references)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_seed_determines_the_interval() -> None:
    predictions, references = [0.1, 0.4, 0.3, 0.9, 0.5], [0.2, 0.3, 0.5, 0.8, 0.1]
    first, same, other = (
        metrics.bootstrap_interval(metrics.mean_absolute_error, predictions, references, seed=seed, resamples=50)
        for seed in (1, 1, 2)
    )
    assert first == same != other


def test_any_examples() -> None:
    def f1(predictions: list[list[str]], references: list[list[str]]) -> float:
        return metrics.entity_scores(predictions, references)["f1"]

    texts = [["B-X"], ["B-X", "I-X"], ["O"]]
    assert metrics.bootstrap_interval(f1, texts, texts, seed=0, resamples=20).value == 1


def test_invalid_arguments() -> None:
    with pytest.raises(UsageError, match="examples: 1 predictions for 2"):
        metrics.bootstrap_interval(metrics.accuracy, [1], [1, 1], seed=0)
    with pytest.raises(UsageError, match="There are no examples"):
        metrics.bootstrap_interval(metrics.accuracy, [], [], seed=0)
    with pytest.raises(UsageError, match="must be between 0 and 1, for example 0.95"):
        metrics.bootstrap_interval(metrics.accuracy, [1], [1], seed=0, confidence=95)
    with pytest.raises(UsageError, match="must be at least 1, for example 1000"):
        metrics.bootstrap_interval(metrics.accuracy, [1], [1], seed=0, resamples=0)
