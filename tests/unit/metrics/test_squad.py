"""The metrics of SQuAD compared with scores of the official scripts, which tests/oracles/squad.py has recorded."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
import squad_cases

from bertkit import metrics
from bertkit.errors import UsageError

DATA = Path(__file__).parents[2] / "data" / "squad.json.xz"


@pytest.fixture(scope="module")
def official() -> list[dict[str, dict[str, float]]]:
    return json.loads(lzma.decompress(DATA.read_bytes()))


def test_squad(official: list[dict[str, dict[str, float]]]) -> None:
    assert len(official) == squad_cases.CASES
    for seed, expected in enumerate(official):
        case = squad_cases.case(seed)
        found = metrics.squad_scores(case.predictions, case.answered)
        assert list(found) == list(expected["squad"]), seed
        assert found == pytest.approx(expected["squad"]), seed


def test_squad2(official: list[dict[str, dict[str, float]]]) -> None:
    for seed, expected in enumerate(official):
        case = squad_cases.case(seed)
        found = metrics.squad2_scores(case.predictions, case.references, case.no_answer, case.threshold)
        assert list(found) == list(expected["squad2"]), seed
        assert found == pytest.approx(expected["squad2"]), seed


def test_batches_and_one_call_are_equal() -> None:
    first, second = metrics.Squad(), metrics.Squad2()
    case = squad_cases.case(1)
    for row, prediction in enumerate(case.predictions):
        first.update([prediction], [case.answered[row]])
        second.update([prediction], [case.references[row]], [case.no_answer[row]])
    assert first.compute() == metrics.squad_scores(case.predictions, case.answered)
    assert second.compute() == metrics.squad2_scores(case.predictions, case.references, case.no_answer)


def test_answers_without_words() -> None:
    """Two answers without words have F1 0 in SQuAD 1.1, and 1 in 2.0."""
    assert metrics.squad_scores(["the"], [["a"]]) == {"exact_match": 100, "f1": 0}
    assert metrics.squad2_scores(["the"], [["a"]])["f1"] == 100
    assert metrics.squad2_scores(["n"], [["a"]])["f1"] == 0


def test_best_threshold() -> None:
    """Only answers with a high `no_answer` are wrong, so there is a threshold with perfect scores."""
    scores = metrics.squad2_scores(["Paris", "Rome", "x"], [["Paris"], ["Rome"], []], [0.1, 0.4, 0.8])
    assert (scores["exact"], scores["best_exact"], scores["best_exact_thresh"]) == (pytest.approx(200 / 3), 100, 0.4)


def test_no_questions() -> None:
    assert metrics.squad_scores([], []) == {"exact_match": 0, "f1": 0}
    nothing = {"exact": 0, "f1": 0, "total": 0}
    best = {"best_exact": 0, "best_exact_thresh": 0, "best_f1": 0, "best_f1_thresh": 0}
    assert metrics.squad2_scores([], []) == nothing | best


def test_invalid_arguments() -> None:
    with pytest.raises(UsageError, match="questions: 1 predictions for 2"):
        metrics.squad_scores(["a"], [["a"], ["b"]])
    with pytest.raises(UsageError, match="Use Squad2"):
        metrics.squad_scores(["a"], [[]])
    with pytest.raises(UsageError, match=r"references\[0\] is 'Paris'"):
        metrics.squad_scores(["Paris"], ["Paris"])
    with pytest.raises(UsageError, match=r"predictions\[0\] is None"):
        metrics.squad2_scores([None], [["Paris"]])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="no_answer: 1 predictions for 2"):
        metrics.squad2_scores(["a"], [["a"]], [0.1, 0.2])
