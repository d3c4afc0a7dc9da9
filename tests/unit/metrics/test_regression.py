"""Correlations compared with scipy, mean errors compared with scikit-learn, and the scores of GLUE."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from bertkit import metrics
from bertkit.errors import UsageError

# Multiples of 1/4 have many ties, and exact sums.
PAIRS = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=2, max_size=30)


def quarters(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array(pairs).T / 4
    return first, second


@given(PAIRS)
def test_correlations(pairs: list[tuple[int, int]]) -> None:
    first, second = quarters(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns for constant input
        expected = scipy.stats.pearsonr(first, second)[0], scipy.stats.spearmanr(first, second)[0]
    found = metrics.pearson(first, second), metrics.spearman(first, second)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(PAIRS)
def test_errors(pairs: list[tuple[int, int]]) -> None:
    first, second = quarters(pairs)
    assert metrics.mean_squared_error(first, second) == pytest.approx(sklearn.metrics.mean_squared_error(second, first))
    assert metrics.mean_absolute_error(first, second) == pytest.approx(
        sklearn.metrics.mean_absolute_error(second, first)
    )


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_no_square_overflows_or_underflows(scale: float) -> None:
    assert metrics.pearson(np.array([1.0, 2, 4]) * scale, [1, 2, 4]) == pytest.approx(1)


def test_batches_and_one_call_are_equal() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 50))
    scores = metrics.Regression()
    for start in range(0, 50, 7):
        scores.update(first[start : start + 7], second[start : start + 7])
    assert scores.compute() == {
        "pearson": metrics.pearson(first, second),
        "spearmanr": metrics.spearman(first, second),
        "mse": metrics.mean_squared_error(first, second),
        "mae": metrics.mean_absolute_error(first, second),
    }


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], [math.nan, 1.0, 2.0], [math.inf, 1.0, 2.0]])
def test_undefined_is_nan(values: list[float]) -> None:
    assert math.isnan(metrics.pearson(values, range(len(values))))


def test_infinities() -> None:
    assert metrics.spearman([1.0, 2.0, math.inf], [1, 2, 3]) == pytest.approx(1)
    assert metrics.mean_squared_error([math.inf], [1]) == math.inf


def test_dtypes() -> None:
    import ml_dtypes

    assert metrics.pearson(np.array([1, 2, 3], ml_dtypes.bfloat16), [2, 4, 6]) == pytest.approx(1)
    with pytest.raises(UsageError, match="must be numbers"):
        metrics.pearson(["1", "2"], [1, 2])  # type: ignore[list-item]


def evaluated(task: str, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Compute the scores like the script `glue` of the evaluate library, with the functions that it calls."""
    if task == "cola":
        return {"matthews_correlation": sklearn.metrics.matthews_corrcoef(references, predictions)}
    if task == "stsb":
        return {
            "pearson": scipy.stats.pearsonr(predictions, references)[0],
            "spearmanr": scipy.stats.spearmanr(predictions, references)[0],
        }
    accuracy = {"accuracy": (predictions == references).mean()}
    return (
        {**accuracy, "f1": sklearn.metrics.f1_score(references, predictions)} if task in ("mrpc", "qqp") else accuracy
    )


@pytest.mark.parametrize("task", sorted(metrics.GLUE_TASKS))
def test_glue(task: str) -> None:
    generator = np.random.default_rng(1)
    predictions, references = generator.integers(0, 3 if task.startswith("mnli") else 2, (2, 60))
    if task == "stsb":
        predictions, references = generator.normal(size=(2, 60))
    found = metrics.glue_scores(task, predictions, references)
    expected = evaluated(task, predictions, references)
    assert list(found) == list(expected) == list(metrics.GLUE_TASKS[task])
    assert found == pytest.approx(expected)


def test_unknown_glue_task() -> None:
    with pytest.raises(UsageError, match="Did you mean 'mnli_matched'"):
        metrics.Glue("mnli-matched")
    assert metrics.Glue("mrpc").compute() == {"accuracy": 0, "f1": 0}
