"""Answers to questions, scored by the rules of SQuAD 1.1 and 2.0. Scores are percentages, as the official scripts print them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bertkit.errors import UsageError
from bertkit.metrics.counts import ratio
from bertkit.metrics.inputs import same_length

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

Score = Callable[[str, str], float]


def normalize_answer(text: str) -> str:
    """What of an answer counts: lower case, without ASCII punctuation, articles and superfluous blanks, in this order.

    >>> normalize_answer("The  answer is: an apple-tree!")
    'answer is appletree'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, answer: str) -> float:
    """1 where the two are the same after `normalize_answer`, else 0.

    >>> exact_match("the Eiffel Tower", "Eiffel Tower.")
    1.0
    """
    return float(normalize_answer(prediction) == normalize_answer(answer))


def word_f1(prediction: str, answer: str) -> float:
    """F1 of the words of the two, as bags.

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
    """The F1 of SQuAD 2.0: two answers without a word agree.

    >>> word_f1_or_both_empty("", "the"), word_f1_or_both_empty("", "tower")
    (1.0, 0.0)
    """
    empty = [not normalize_answer(text) for text in (prediction, answer)]
    return 1.0 if all(empty) else word_f1(prediction, answer)


class Squad:
    """SQuAD 1.1 over a stream of batches: every question has an answer.

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
        """Take in a batch.

        Args:
            predictions: an answer a question. "" for a question that was left out scores 0, as in the official script.
            references: for each question the answers that are right; the best one counts.
        """
        _check(predictions, references)
        for row, (prediction, answers) in enumerate(zip(predictions, references, strict=True)):
            if not answers:
                raise UsageError(f"references[{row}] has no answer. SQuAD 1.1 has one for every question; take Squad2.")
            self._questions += 1
            self._exact += _best(exact_match, prediction, answers)
            self._f1 += _best(word_f1, prediction, answers)

    def compute(self) -> dict[str, float]:
        """`exact_match` and `f1`, in percent."""
        return {
            "exact_match": 100 * ratio(self._exact, self._questions),
            "f1": 100 * ratio(self._f1, self._questions),
        }


class _Answered(NamedTuple):
    """A question of SQuAD 2.0."""

    has_answer: bool
    said_something: bool
    no_answer: float  # how sure the model is that there is none
    exact: float
    f1: float


class Squad2:
    """SQuAD 2.0 over a stream of batches: questions may have no answer. It keeps five numbers of each question.

    >>> scores = Squad2()
    >>> scores.update(["in 1889", "Gustave"], [["1889"], []], no_answer=[0.2, 0.7])
    >>> {name: round(value, 2) for name, value in scores.compute().items() if "best" in name}
    {'best_exact': 50.0, 'best_exact_thresh': 0.0, 'best_f1': 83.33, 'best_f1_thresh': 0.2}

    Args:
        threshold: a question counts as not answered where its `no_answer` is larger. The official value, 1.0, takes predictions
            as they are.
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
        """Take in a batch.

        Args:
            predictions: an answer a question, "" for none.
            references: for each question the answers that are right, [] where it has none.
            no_answer: for each question how sure the model is that it has none: a probability, or any score that grows with it
                (then `threshold` is one of these). 0 where left out.
        """
        _check(predictions, references)
        unsure = [0.0] * len(predictions) if no_answer is None else [float(value) for value in no_answer]
        same_length(predictions, unsure, "no_answer")
        self._questions += map(_answered, predictions, references, unsure)

    def compute(self) -> dict[str, float]:
        """The keys of the official script, in percent.

        `exact`, `f1` and `total`; the same with `HasAns_` and `NoAns_` in front for the questions that have an answer and those
        that have none; `best_exact` and `best_f1`, the most that a threshold reaches, and `best_exact_thresh` and
        `best_f1_thresh`, that threshold.
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


def _check(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    same_length(predictions, references, "questions")
    for name, values in (("predictions", predictions), ("references", references)):
        for row, value in enumerate(values):
            if isinstance(value, str) != (name == "predictions"):
                raise UsageError(
                    f"{name}[{row}] is {value!r:.80}. Each prediction is a text, and each reference a list of texts."
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
    """The best score, in percent, that some threshold reaches, and that threshold.

    From a threshold below all, where only questions without an answer are right, upwards, one question at a time. Like the
    official script this goes through questions of equal `no_answer` in the order in which they came.
    """
    score = best = float(sum(not question.has_answer for question in questions))
    threshold = 0.0
    for question in sorted(questions, key=lambda question: question.no_answer):
        if question.has_answer:
            score += getattr(question, name)
        elif question.said_something:
            score -= 1
        if score > best:
            best, threshold = score, question.no_answer
    return 100 * ratio(best, len(questions)), threshold


def squad_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Exact match and F1 of SQuAD 1.1: `Squad` in one call.

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
    """The scores of SQuAD 2.0: `Squad2` in one call.

    >>> scores = squad2_scores(["1889", ""], [["1889"], []])
    >>> scores["exact"], scores["NoAns_f1"], scores["total"]
    (100.0, 100.0, 2)
    """
    scores = Squad2(threshold)
    scores.update(predictions, references, no_answer)
    return scores.compute()
