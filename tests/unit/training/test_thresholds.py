"""Tuned thresholds compared with a search through all of them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from bertkit.errors import UsageError
from bertkit.metrics import squad2_scores
from bertkit.training.thresholds import label_thresholds, no_answer_threshold, one_threshold

SEEDS = range(30)


def case(seed: int, texts: int = 12, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and flags; some labels have no true example."""
    rng = np.random.default_rng(seed)
    flags = rng.random((texts, labels)) < rng.choice([0, 0.2, 0.6], labels)
    return np.round(rng.random((texts, labels)) * 0.6 + flags * 0.3, 1), flags


def f1(scores: np.ndarray, flags: np.ndarray, thresholds: Any, average: str) -> float:
    found: float = sklearn.metrics.f1_score(flags, scores > thresholds, average=average, zero_division=0)
    return found


def candidates(scores: np.ndarray) -> list[float]:
    return [scores.min() - 0.05, *np.unique(scores)]


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("seed", SEEDS[:8])
def test_a_threshold_for_each_label(seed: int, average: Any) -> None:
    scores, flags = case(seed, texts=6)
    best = max(f1(scores, flags, list(each), average) for each in product(*map(candidates, scores.T)))
    found = label_thresholds(scores, flags, average)
    assert f1(scores, flags, found, average) == pytest.approx(best)
    if average == "macro":
        assert all(found[~flags.any(axis=0)] == 0.5)


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_threshold_for_all_labels(seed: int, average: Any) -> None:
    scores, flags = case(seed)
    best = max(f1(scores, flags, each, average) for each in candidates(scores))
    found = one_threshold(scores, flags, average)
    assert f1(scores, flags, found, average) == pytest.approx(best)
    assert found not in scores or not flags.any()  # rounding of a score changes nothing


@pytest.mark.parametrize("seed", SEEDS)
def test_the_threshold_of_no_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = np.round(rng.normal(size=15), 1)
    answered, empty = rng.random(15), (rng.random(15) < 0.4).astype(float)

    def score(threshold: float) -> float:
        return float(np.where(differences > threshold, empty, answered).mean())

    found = no_answer_threshold(differences, answered, empty)
    assert score(found) == pytest.approx(max(map(score, [differences.min() - 1, *differences])))


def test_the_score_is_that_of_the_official_script() -> None:
    """Its best F1 with any threshold, which `squad2_scores` follows, for differences without ties."""
    rng = np.random.default_rng(0)
    texts = [["Paris"], [], ["Rome"], [], ["Bonn"], []] * 5
    predictions = [(one or ["x"])[0] if rng.random() < 0.7 else "other" for one in texts]
    differences = rng.random(30) + 0.5 * np.array([not one for one in texts])
    answered = [float(bool(one) and word == one[0]) for word, one in zip(predictions, texts, strict=True)]
    empty = [float(not one) for one in texts]
    found = no_answer_threshold(differences, answered, empty)
    own = squad2_scores(predictions, texts, differences.tolist(), found)
    assert own["f1"] == pytest.approx(own["best_f1"])


def test_limits() -> None:
    """Scores at both ends of their range, no label, one text, a text without tokens."""
    assert label_thresholds([[1.0], [0.0]], [[1], [1]]) == [-1.0]
    assert label_thresholds([[1.0], [0.0]], [[1], [0]]) == [0.5]
    assert one_threshold([[0.3], [0.9]], [[0], [0]]) == 0.5
    assert label_thresholds([[0.8], [0.9]], [[1], [1]]) == [0.5]
    assert label_thresholds([[0.4], [0.1]], [[1], [1]]) == [0.05]
    assert label_thresholds([[0.8, 0.4], [0.1, 0.4]], [[0, 0], [1, 0]], "micro").tolist() == [0.05, 0.5]
    assert 2.0 < no_answer_threshold([2.0, np.inf], [1, 0], [0, 1]) < 1e30
    assert label_thresholds([[0.1], [0.2]], [[0], [0]], "micro") == [0.5]
    with pytest.raises(UsageError, match="Did you mean 'micro'"):
        one_threshold([[0.3]], [[1]], "mikro")  # type: ignore[arg-type]
