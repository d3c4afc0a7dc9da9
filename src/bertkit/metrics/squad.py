"""Metrics for question answering, as in the official scripts of SQuAD 1.1 and 2.0. Scores are percentages."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bertkit.errors import UsageError
from bertkit.metrics.counts import ratio
from bertkit.metrics.inputs import Numbers, same_length
from bertkit.metrics.weighted import Ints, WeightedMeans, shares

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

Score = Callable[[str, str], float]


def normalize_answer(text: str) -> str:
    """Lowercase an answer, and remove ASCII punctuation, articles and extra whitespace, in this order.

    >>> normalize_answer("The  answer is: an apple-tree!")
    'answer is appletree'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, answer: str) -> float:
    """Return 1 if both texts are equal after `normalize_answer`, otherwise 0.

    >>> exact_match("the Eiffel Tower", "Eiffel Tower.")
    1.0
    """
    return float(normalize_answer(prediction) == normalize_answer(answer))


def word_f1(prediction: str, answer: str) -> float:
    """Return the F1 of the words in both texts, without regard to their order.

    >>> word_f1("Eiffel Tower in Paris", "the Eiffel Tower")
    0.6666666666666666
    """
    ours, theirs = normalize_answer(prediction).split(), normalize_answer(answer).split()
    shared = (Counter(ours) & Counter(theirs)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(ours), shared / len(theirs)
    return 2 * precision * recall / (precision + recall)


def word_f1_or_both_empty(prediction: str, answer: str) -> float:
    """Return the F1 of SQuAD 2.0, which is 1 for two answers without words.

    >>> word_f1_or_both_empty("", "the"), word_f1_or_both_empty("", "tower")
    (1.0, 0.0)
    """
    empty = [not normalize_answer(text) for text in (prediction, answer)]
    return 1.0 if all(empty) else word_f1(prediction, answer)


class Squad:
    """Metrics of SQuAD 1.1, where every question has an answer, over a stream of batches.

    >>> scores = Squad()
    >>> scores.update(["the Eiffel Tower", "in 1889"], [["Eiffel Tower"], ["1889", "the year 1889"]])
    >>> {name: round(value, 2) for name, value in scores.compute().items()}
    {'exact_match': 50.0, 'f1': 83.33}
    """

    def __init__(self) -> None:
        self._questions = 0
        self._exact = 0.0
        self._f1 = 0.0

    def update(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Add a batch.

        Args:
            predictions: an answer for each question. "" for an omitted question scores 0, as in the official script.
            references: the correct answers of each question; the one with the best score counts.
        """
        _check(predictions, references)
        for row, (prediction, answers) in enumerate(zip(predictions, references, strict=True)):
            if not answers:
                raise UsageError(f"references[{row}] has no answer, which SQuAD 1.1 requires. Use Squad2.")
            self._questions += 1
            self._exact += _best(exact_match, prediction, answers)
            self._f1 += _best(word_f1, prediction, answers)

    def compute(self) -> dict[str, float]:
        """Return `exact_match` and `f1`, in percent."""
        return {
            "exact_match": 100 * ratio(self._exact, self._questions),
            "f1": 100 * ratio(self._f1, self._questions),
        }


class _Answered(NamedTuple):
    """A question of SQuAD 2.0."""

    has_answer: bool
    has_prediction: bool
    no_answer: float  # the model's confidence that there is no answer
    exact: float
    f1: float


class Squad2:
    """Metrics of SQuAD 2.0, where questions may have no answer, over a stream of batches. Keeps five numbers per question.

    >>> scores = Squad2()
    >>> scores.update(["in 1889", "Gustave"], [["1889"], []], no_answer=[0.2, 0.7])
    >>> {name: round(value, 2) for name, value in scores.compute().items() if "best" in name}
    {'best_exact': 50.0, 'best_exact_thresh': 0.0, 'best_f1': 83.33, 'best_f1_thresh': 0.2}

    Args:
        threshold: a question counts as not answered if its `no_answer` is larger. The official value, 1.0, does not change
            predictions.
    """

    def __init__(self, threshold: float = 1.0) -> None:
        self._threshold = threshold
        self._questions: list[_Answered] = []

    def update(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        no_answer: Sequence[float] | None = None,
    ) -> None:
        """Add a batch.

        Args:
            predictions: an answer for each question, or "" for no answer.
            references: the correct answers of each question, or [] if it has no answer.
            no_answer: the model's confidence that each question has no answer: a probability, or any other score with a
                `threshold` on the same scale. The default is 0.
        """
        _check(predictions, references)
        unsure = [0.0] * len(predictions) if no_answer is None else [float(value) for value in no_answer]
        same_length(predictions, unsure, "no_answer")
        self._questions += map(_answered, predictions, references, unsure)

    def compute(self) -> dict[str, float]:
        """Return the scores by the names of the official script, in percent.

        `exact`, `f1` and `total`; the same with the prefix `HasAns_` for questions with an answer, and `NoAns_` for questions
        without; `best_exact` and `best_f1`, the highest scores with any threshold; and `best_exact_thresh` and `best_f1_thresh`,
        the thresholds of these scores.
        """
        groups = {
            "": self._questions,
            "HasAns_": [question for question in self._questions if question.has_answer],
            "NoAns_": [question for question in self._questions if not question.has_answer],
        }
        scores: dict[str, float] = {}
        for prefix, questions in groups.items():
            if questions or not prefix:
                scores |= {prefix + name: value for name, value in self._means(questions).items()}
        for name in ("exact", "f1"):
            scores["best_" + name], scores[f"best_{name}_thresh"] = _best_threshold(self._questions, name)
        return scores

    def _means(self, questions: Sequence[_Answered]) -> dict[str, float]:
        return {
            "exact": 100 * ratio(sum(self._at_threshold(each, each.exact) for each in questions), len(questions)),
            "f1": 100 * ratio(sum(self._at_threshold(each, each.f1) for each in questions), len(questions)),
            "total": len(questions),
        }

    def _at_threshold(self, question: _Answered, score: float) -> float:
        return float(not question.has_answer) if question.no_answer > self._threshold else score


def question_metric(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> WeightedMeans:
    """Return the scores of questions for bootstrap intervals, in percent: those of SQuAD 2.0 if one of them has no answer.

    >>> question_metric(["1889", ""], [["1889"], []]).compute()["NoAns_f1"]
    100.0
    """
    _check(predictions, references)
    if all(references):
        pairs = list(zip(predictions, references, strict=True))
        found = [[100 * _best(score, text, answers) for text, answers in pairs] for score in (exact_match, word_f1)]
        return WeightedMeans(len(pairs), {"exact_match": _column(found[0]), "f1": _column(found[1])})
    questions = [_answered(text, answers, 0.0) for text, answers in zip(predictions, references, strict=True)]
    values = {"exact_match": _column([100 * one.exact for one in questions])}
    totals: dict[str, float] = {}
    for prefix, kept in (("", (True, False)), ("HasAns_", (True,)), ("NoAns_", (False,))):
        rows = [[one] if one.has_answer in kept else [] for one in questions]
        if any(rows):
            values[prefix + "exact"] = shares([[100 * one.exact for one in row] for row in rows])
            values[prefix + "f1"] = shares([[100 * one.f1 for one in row] for row in rows])
            totals[prefix + "total"] = sum(map(len, rows))
    return WeightedMeans(len(questions), values, totals)


def question_f1(prediction: str, references: Sequence[str]) -> float:
    """Return the F1 of one answer by SQuAD 2.0, from 0 to 1. A question without an answer has no references.

    >>> question_f1("", []), question_f1("1889", ["in 1889"])
    (1.0, 0.6666666666666666)
    """
    return _answered(prediction, references, 0.0).f1


def _column(values: Sequence[float]) -> tuple[Ints, Numbers]:
    return shares([[value] for value in values])


def _check(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    same_length(predictions, references, "questions")
    for name, values in (("predictions", predictions), ("references", references)):
        for row, value in enumerate(values):
            if isinstance(value, str) != (name == "predictions"):
                raise UsageError(
                    f"{name}[{row}] is {value!r:.80}. Each prediction is a string, and each reference a list of strings."
                )


def _best(score: Score, prediction: str, answers: Sequence[str]) -> float:
    return max(score(prediction, answer) for answer in answers)


def _answered(prediction: str, references: Sequence[str], no_answer: float) -> _Answered:
    answers = [answer for answer in references if normalize_answer(answer)] or [""]
    return _Answered(
        bool(references),
        bool(prediction),
        no_answer,
        _best(exact_match, prediction, answers),
        _best(word_f1_or_both_empty, prediction, answers),
    )


def _best_threshold(questions: Sequence[_Answered], name: str) -> tuple[float, float]:
    """Return the best score with any threshold, in percent, and that threshold.

    Starts below all thresholds, where only questions without an answer are correct, and adds one question at a time. Questions
    with equal `no_answer` are added in their original order, as in the official script.
    """
    score = best = float(sum(not question.has_answer for question in questions))
    threshold = 0.0
    for question in sorted(questions, key=lambda question: question.no_answer):
        if question.has_answer:
            score += getattr(question, name)
        elif question.has_prediction:
            score -= 1
        if score > best:
            best, threshold = score, question.no_answer
    return 100 * ratio(best, len(questions)), threshold


def squad_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return exact match and F1 of SQuAD 1.1: `Squad` in one call.

    >>> squad_scores(["1889", "Paris"], [["in 1889", "1889"], ["Lyon"]])
    {'exact_match': 50.0, 'f1': 50.0}
    """
    scores = Squad()
    scores.update(predictions, references)
    return scores.compute()


def squad2_scores(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    no_answer: Sequence[float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """Return the scores of SQuAD 2.0: `Squad2` in one call.

    >>> scores = squad2_scores(["1889", ""], [["1889"], []])
    >>> scores["exact"], scores["NoAns_f1"], scores["total"]
    (100.0, 100.0, 2)
    """
    scores = Squad2(threshold)
    scores.update(predictions, references, no_answer)
    return scores.compute()
