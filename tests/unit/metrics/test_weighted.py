"""Metrics of weighted examples compared with those of repeated examples, and their intervals with `bootstrap_interval`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bertkit import metrics
from bertkit.errors import UsageError
from bertkit.metrics.bootstrap import bootstrap_intervals
from bertkit.metrics.squad import question_metric
from bertkit.metrics.weighted import (
    WeightedMetric,
    accuracy_metric,
    entity_metric,
    label_metric,
    multi_label_metric,
    number_metric,
    tag_metric,
)

Rows = list[Any]
Whole = Callable[[Rows, Rows], dict[str, float]]
WORDS = ["Paris", "the Eiffel Tower", "in 1889", "", "tower"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def labels(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    return rng.integers(0, 4, count).tolist(), rng.integers(0, 3, count).tolist()


def two(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    return rng.integers(0, 2, count).tolist(), rng.integers(0, 2, count).tolist()


def tables(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    return rng.integers(0, 2, (count, 3)).tolist(), rng.integers(0, 2, (count, 3)).tolist()


def tags(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    lengths = rng.integers(0, 9, count)
    return [rng.choice(TAGS, n).tolist() for n in lengths], [rng.choice(TAGS, n).tolist() for n in lengths]


def numbers(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    return np.round(rng.normal(size=count), 1).tolist(), np.round(rng.normal(size=count), 1).tolist()


def questions(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    return rng.choice(WORDS, count).tolist(), [rng.choice(WORDS[:3], 2).tolist() for _ in range(count)]


def some_questions(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    predictions, references = questions(count, rng)
    return predictions, [answers if rng.random() < 0.6 else [] for answers in references]


def streaming(metric: Any, average: str | None = None) -> Whole:
    def scores(predictions: Rows, references: Rows) -> dict[str, float]:
        own = metric(average) if average else metric()
        own.update(predictions, references)
        return dict(own.compute())

    return scores


def _flat(rows: Rows) -> Rows:
    return [TAGS.index(tag) for row in rows for tag in row]


def of_tags(predictions: Rows, references: Rows) -> dict[str, float]:
    return streaming(metrics.Classification, "macro")(_flat(predictions), _flat(references))


CASES: dict[str, tuple[Any, Callable[[Rows, Rows], WeightedMetric], Whole]] = {
    "macro": (labels, lambda p, r: label_metric(p, r, 4, "macro"), streaming(metrics.Classification, "macro")),
    "micro": (labels, lambda p, r: label_metric(p, r, 4, "micro"), streaming(metrics.Classification, "micro")),
    "weighted": (labels, lambda p, r: label_metric(p, r, 4, "weighted"), streaming(metrics.Classification, "weighted")),
    "binary": (two, lambda p, r: label_metric(p, r, 2, "binary"), streaming(metrics.Classification, "binary")),
    "several": (tables, lambda p, r: multi_label_metric(p, r, "micro"), streaming(metrics.MultiLabelClassification)),
    "several, macro": (
        tables,
        lambda p, r: multi_label_metric(p, r, "macro"),
        streaming(metrics.MultiLabelClassification, "macro"),
    ),
    "entities": (tags, entity_metric, streaming(metrics.EntityScores)),
    "parts of speech": (
        tags,
        lambda p, r: tag_metric([_flat([row]) for row in p], [_flat([row]) for row in r], 5, "macro"),
        of_tags,
    ),
    "numbers": (numbers, lambda p, r: number_metric([[x] for x in p], [[x] for x in r]), streaming(metrics.Regression)),
    "questions": (questions, question_metric, metrics.squad_scores),
    "some questions": (some_questions, question_metric, metrics.squad2_scores),
}


@pytest.mark.parametrize("name", CASES)
def test_weights_are_repetitions(name: str) -> None:
    draw, weighted, whole = CASES[name]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        predictions, references = draw(25, rng)
        metric = weighted(predictions, references)
        _alike(metric.compute(), whole(predictions, references))
        weights = rng.integers(0, 4, 25)
        repeated = [
            [row for row, times in zip(rows, weights, strict=True) for _ in range(times)]
            for rows in (predictions, references)
        ]
        found = metric.scores(weights.astype(float))
        _alike(found, whole(repeated[0], repeated[1]))


def _alike(found: dict[str, float], expected: dict[str, float]) -> None:
    shared = found.keys() & expected.keys()
    assert len(shared) >= 2
    for score in shared:
        assert found[score] == pytest.approx(expected[score], nan_ok=True, abs=1e-9), score


@pytest.mark.parametrize("name", CASES)
def test_intervals_are_those_of_bootstrap_interval(name: str) -> None:
    draw, weighted, whole = CASES[name]
    predictions, references = draw(60, np.random.default_rng(1))
    metric = weighted(predictions, references)
    found = bootstrap_intervals(metric, seed=3, resamples=40)
    for score in set(found) & set(whole(predictions, references)):
        expected = metrics.bootstrap_interval(
            lambda p, r, score=score: whole(p, r)[score],
            predictions,
            references,
            seed=3,
            resamples=40,  # type: ignore[misc]
        )
        assert found[score] == pytest.approx((expected.low, expected.high)), score


def test_scores_that_are_undefined_in_some_resamples() -> None:
    """One of two questions has an answer: a resample without it has no score for questions with answers."""
    found = bootstrap_intervals(question_metric(["x", ""], [["x"], []]), seed=0)
    assert found["HasAns_f1"] == (100.0, 100.0)
    constant = bootstrap_intervals(number_metric([[1.0], [1.0]], [[1.0], [2.0]]), seed=0)
    assert np.isnan(constant["pearson"]).all() and constant["mse"] == (0.0, 1.0)


def test_nothing_and_infinities() -> None:
    assert accuracy_metric([]).compute() == {"accuracy": 0.0}
    assert label_metric([], [], 2, "macro").compute()["f1"] == 0.0
    assert np.isnan(list(number_metric([], []).compute().values())).all()
    found = number_metric([[np.inf], [1.0]], [[1.0], [1.0]]).compute()
    assert found["mse"] == np.inf and np.isnan(found["pearson"])
    assert np.isnan(number_metric([[np.nan], [1.0]], [[1.0], [1.0]]).compute()["mae"])
    with pytest.raises(UsageError, match="at least one"):
        bootstrap_intervals(accuracy_metric([]), seed=0)
