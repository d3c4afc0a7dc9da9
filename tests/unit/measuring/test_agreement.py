"""How much answers agree: the first label or word, all entities, the nearest vector, and the numbers beside the same words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertkit.measuring.agreement import agreement, mean_vectors


def ranked(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in pairs]


def test_only_the_first_label_of_a_ranked_list_is_the_answer() -> None:
    found = agreement(
        [ranked(("A", 0.5), ("B", 0.3), ("C", 0.2)), ranked(("A", 0.6), ("B", 0.4))],
        [ranked(("A", 0.5), ("C", 0.3), ("B", 0.2)), ranked(("B", 0.7), ("A", 0.3))],
    )
    assert found.same == 0.5
    assert found.worst == pytest.approx(0.3)  # of A and of B in the second example
    assert found.mean == pytest.approx((0 + 0.1 + 0.1 + 0.3 + 0.3) / 5)


def test_a_word_that_only_one_of_two_has_is_not_a_difference_of_numbers() -> None:
    found = agreement([ranked(("A", 0.9))], [ranked(("B", 0.1))])
    assert (found.same, found.mean, found.worst) == (0, 0, 0)


def test_all_entities_are_the_answer() -> None:
    def entity(name: str, start: int) -> dict[str, Any]:
        return {"entity": name, "score": 0.9, "index": 1, "word": "anna", "start": start, "end": start + 4}

    theirs = [[entity("B-PER", 0), entity("B-LOC", 9)]]
    assert agreement(theirs, theirs).same == 1
    assert agreement(theirs, [[entity("B-PER", 0)]]).same == 0
    assert agreement(theirs, [[entity("B-PER", 0), entity("B-LOC", 8)]]).same == 0
    grouped = [[{"entity_group": "PER", "score": 0.5, "word": "anna", "start": 0, "end": 4}]]
    assert agreement(grouped, [[{**grouped[0][0], "score": 0.25}]]).worst == 0.25


def test_the_answers_of_other_tasks() -> None:
    words = [
        {"score": 0.5, "token": 7, "token_str": "a", "sequence": "a b"},
        {"score": 0.4, "token": 8, "token_str": "b"},
    ]
    assert agreement([[words, words]], [[words, words[::-1]]]).same == 0  # the second of two masks
    answer = {"score": 0.5, "start": 2, "end": 5, "answer": "sun"}
    assert agreement([answer], [{**answer, "start": 9, "end": 12}]).same == 0
    zero_shot = {"sequence": "x", "labels": ["a", "b"], "scores": [0.75, 0.25]}
    found = agreement([zero_shot], [{"sequence": "x", "labels": ["b", "a"], "scores": [0.5, 0.5]}])
    assert (found.same, found.worst) == (0, 0.25)
    assert agreement([[0.5, 0.25]], [[0.25, 0.5]]).same == 0  # the most similar sentence
    score = {"log_likelihood": -3.0, "perplexity": 2.0, "n_tokens": 4}
    found = agreement([score], [{**score, "perplexity": 2.5}], kind="numbers")
    assert (found.same, found.worst) == (0, 0.5)


def test_numbers_that_are_the_answer() -> None:
    assert agreement([0.9, 0.5], [0.1, 0.5], kind="numbers").same == 0.5
    grades = [ranked(("LABEL_0", 3.2)), ranked(("LABEL_0", 4.0))]
    assert agreement(grades, [ranked(("LABEL_0", 3.205)), ranked(("LABEL_0", 4.5))], kind="numbers").same == 0.5


def test_vectors() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.standard_normal((300, 16))
    theirs[5] = theirs[4]  # the same text twice
    assert agreement(theirs, theirs, kind="vectors").same == 1
    found = agreement(theirs, theirs + 1e-9 * rng.standard_normal(theirs.shape), kind="vectors")
    assert found.same == 1
    assert found.cosine == pytest.approx(1)
    moved = theirs.copy()
    moved[0] = -theirs[0]
    found = agreement(theirs, moved, kind="vectors")
    assert found.cosine == pytest.approx(-1)
    assert found.worst == pytest.approx(2 * np.abs(theirs[0]).max())
    assert 0.9 < found.same < 1


def test_a_matrix_of_tokens_counts_as_its_mean() -> None:
    assert mean_vectors([[[1, 2], [3, 4]], [5, 6]]).tolist() == [[2, 3], [5, 6]]
