"""Calibration compared with its definition, and with scikit-learn's calibration curve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from bertkit import metrics
from bertkit.errors import UsageError


def drawn(seed: int, size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(classes) / 2, size), generator.integers(0, classes, size)


def error_by_definition(probabilities: np.ndarray, references: np.ndarray, bins: int) -> tuple[float, float]:
    gaps, sizes = [], []
    for number in range(bins):
        inside = [
            (max(row), row.argmax() == right)
            for row, right in zip(probabilities, references, strict=True)
            if number / bins < max(row) <= (number + 1) / bins
        ]
        if inside:
            confidences, rights = zip(*inside, strict=True)
            gaps.append(abs(sum(confidences) - sum(rights)) / len(inside))
            sizes.append(len(inside))
    return sum(gap * size for gap, size in zip(gaps, sizes, strict=True)) / len(references), max(gaps)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, 5), st.integers(1, 20))
def test_error(seed: int, size: int, classes: int, bins: int) -> None:
    probabilities, references = drawn(seed, size, classes)
    scores = metrics.Calibration(bins)
    for start in range(0, size, 7):
        scores.update(probabilities[start : start + 7], references[start : start + 7])
    found = scores.compute()
    assert (found["ece"], found["mce"]) == pytest.approx(error_by_definition(probabilities, references, bins))
    assert found["accuracy"] == pytest.approx((probabilities.argmax(-1) == references).mean())
    assert found["confidence"] == pytest.approx(probabilities.max(-1).mean())
    assert metrics.expected_calibration_error(probabilities, references, bins) == pytest.approx(found["ece"])


def test_curve() -> None:
    probabilities, references = drawn(3, 500, 2)
    scores = metrics.Calibration(10)
    scores.update(probabilities, references)
    right, confidence = calibration_curve(probabilities.argmax(-1) == references, probabilities.max(-1), n_bins=10)
    filled = [each for each in scores.bins() if each.size]
    assert [each.accuracy for each in filled] == pytest.approx(right)
    assert [each.confidence for each in filled] == pytest.approx(confidence)


def test_a_confidence_on_an_edge_is_in_the_lower_bin() -> None:
    scores = metrics.Calibration(2)
    scores.update([[0.5, 0.5], [0.0, 1.0]], [0, 1])
    assert [each.size for each in scores.bins()] == [1, 1]


def test_edges() -> None:
    assert all(math.isnan(value) for value in metrics.Calibration().compute().values())
    assert math.isnan(metrics.expected_calibration_error([], []))
    assert metrics.expected_calibration_error([[1.0, 0.0], [0.5, 0.5]], [0, -100]) == 0
    assert math.isnan(metrics.Calibration(2).bins()[0].accuracy)
    assert metrics.Calibration(2).bins()[1][:3] == (0.5, 1, 0)


def test_invalid_arguments() -> None:
    with pytest.raises(UsageError, match="softmax"):
        metrics.expected_calibration_error([[3.0, -1.0]], [0])
    with pytest.raises(UsageError, match="Pass a row of probabilities"):
        metrics.expected_calibration_error([0.5, 0.5], [0, 1])
    with pytest.raises(UsageError, match="bins is 0"):
        metrics.Calibration(0)
