"""Tune thresholds on examples with true answers: those of labels in multi-label classification, and that of no answer.

A threshold is in the middle between two neighbouring scores, so that rounding changes no decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertkit.errors import one_of
from bertkit.tasks.base import Task
from bertkit.tasks.question_answering import QuestionAnswering
from bertkit.tasks.text_classification import TextClassification

Average = Literal["macro", "micro"]
Numbers = NDArray[np.float64]
_USUAL = 0.5
_LARGEST = 1e30
_STEPS = 50  # the search for the best micro F1 ends after three or four


def label_thresholds(scores: ArrayLike, flags: ArrayLike, average: Average = "macro") -> Numbers:
    """Return the threshold of each label with which the F1 is the highest.

    With "macro", a label without true examples keeps 0.5.

    >>> label_thresholds([[0.9, 0.2], [0.4, 0.1], [0.1, 0.3]], [[1, 0], [1, 0], [0, 1]]).tolist()
    [0.25, 0.25]

    Args:
        scores: [N, C], the score of each label for each text.
        flags: [N, C], 1 where a text has the label.
        average: "macro": the mean of the F1 of each label; "micro": the F1 of all labels counted together.
    """
    one_of("average", average, ("macro", "micro"))
    values, right = np.asarray(scores, np.float64), np.asarray(flags, bool)
    cuts = [_Cuts(values[:, label], right[:, label]) for label in range(values.shape[1])]
    if average == "macro":
        return np.array([cut.threshold(cut.f1()) if cut.actual else _USUAL for cut in cuts])
    # The F1 of all labels, 2 * right / (predicted + actual), is above x where the sum over the labels of
    # 2 * right - x * predicted is above x * actual. Each label maximizes its part of the sum for itself.
    actual, best = sum(cut.actual for cut in cuts), 0.0
    for _ in range(_STEPS):
        chosen = [int((2 * cut.right - best * cut.predicted).argmax()) for cut in cuts]
        both = 2 * sum(float(cut.right[at]) for cut, at in zip(cuts, chosen, strict=True))
        all_ = actual + sum(float(cut.predicted[at]) for cut, at in zip(cuts, chosen, strict=True))
        if not all_ or both / all_ <= best:
            break
        best = both / all_
    gains = [2 * cut.right - best * cut.predicted for cut in cuts]
    return np.array([cut.threshold(gain) for cut, gain in zip(cuts, gains, strict=True)])


def one_threshold(scores: ArrayLike, flags: ArrayLike, average: Average = "macro") -> float:
    """Return the threshold for all labels with which the F1 is the highest. The arguments are those of `label_thresholds`.

    >>> one_threshold([[0.9, 0.2], [0.4, 0.1], [0.1, 0.3]], [[1, 0], [1, 0], [0, 1]])
    0.25
    """
    one_of("average", average, ("macro", "micro"))
    values, right = np.asarray(scores, np.float64), np.asarray(flags, bool)
    all_ = _Cuts(values.ravel(), right.ravel())
    if not all_.actual:
        return _USUAL
    if average == "micro":
        return all_.threshold(all_.f1())
    total = np.zeros(len(all_.least))
    for label in range(values.shape[1]):
        own = _Cuts(values[:, label], right[:, label])
        # A cut of all scores is the cut of this label with as many scores above it.
        above = np.searchsorted(-own.least[1:], -all_.least, side="right")
        total += own.f1()[above]
    return all_.threshold(total)


def no_answer_threshold(differences: ArrayLike, answered: ArrayLike, empty: ArrayLike) -> float:
    """Return the threshold above which a question counts as not answered, with which the mean score is the highest.

    >>> no_answer_threshold([-3.0, -1.0, 2.0], answered=[1.0, 0.5, 0.0], empty=[0.0, 0.0, 1.0])
    0.5

    Args:
        differences: for each question the logits of no answer minus those of the best answer.
        answered: the score of the best answer.
        empty: the score of no answer.
    """
    values = np.clip(np.asarray(differences, np.float64), -_LARGEST, _LARGEST)  # inf: a text without tokens
    order = np.argsort(values, kind="stable")
    values, gains = values[order], (np.asarray(answered, np.float64) - np.asarray(empty, np.float64))[order]
    ends = np.flatnonzero(np.diff(values, append=np.inf) > 0)  # the last of equal differences
    totals = np.concatenate([[0.0], np.cumsum(gains)[ends]])
    between = [values[0] - 1, *((values[ends[:-1]] + values[ends[:-1] + 1]) / 2), values[-1] + 1]
    return _nearest(np.array(between), totals, 0.0)


class _Cuts:
    """The cuts between the distinct scores of one label, from none to all of its texts above the threshold."""

    def __init__(self, scores: Numbers, flags: NDArray[np.bool_]) -> None:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        ends = np.flatnonzero(np.diff(ordered, append=-np.inf) < 0)  # the last of equal scores
        self.least = np.concatenate([[np.inf], ordered[ends]])  # [K + 1], the lowest score above each cut
        self.predicted = np.concatenate([[0], ends + 1])
        self.right = np.concatenate([[0], np.cumsum(flags[order])[ends]])
        self.actual = int(flags.sum())

    def f1(self) -> Numbers:
        """Return the F1 of each cut."""
        found: Numbers = 2 * self.right / np.maximum(self.predicted + self.actual, 1)
        return found

    def threshold(self, gains: Numbers) -> float:
        """Return the threshold of the cut with the largest gain, of equal ones that nearest to 0.5."""
        highest, lowest = self.least[1], self.least[-1]
        first = _USUAL if highest < _USUAL else (highest + 1) / 2 if highest < 1 else highest + 1
        last = _USUAL if lowest > _USUAL else lowest / 2 if lowest > 0 else lowest - 1
        between = [first, *((self.least[1:-1] + self.least[2:]) / 2), last]
        return _nearest(np.array(between), gains, _USUAL)


def _nearest(thresholds: Numbers, gains: Numbers, usual: float) -> float:
    """Return the threshold with the largest gain, of equal ones that nearest to the usual one."""
    best = np.flatnonzero(gains >= gains.max() - 1e-12 * max(1.0, abs(float(gains.max()))))
    return float(thresholds[best[abs(thresholds[best] - usual).argmin()]])


def tuned(
    task: Task[Any],
    answers: Sequence[Any],
    truths: Sequence[Any],
    *,
    per_label: bool = True,
    average: Average = "macro",
) -> dict[str, Any]:
    """Return the fields of the configuration that hold the tuned thresholds; {} if the task has no thresholds.

    Args:
        task: the task, with the configuration of the model.
        answers: the answers with the options of `task.evaluation_options`.
        truths: the true answers.
        per_label: whether each label has its own threshold.
        average: which F1 is to be the highest, for several labels.
    """
    if isinstance(task, TextClassification) and task.problem == "multi_label_classification":
        scores, flags = [task.scores_of(answer) for answer in answers], task.flags(truths)
        names = [str(name) for name in task.config.id2label.values()]
        one = [] if per_label else [one_threshold(scores, flags, average)] * len(names)
        found = label_thresholds(scores, flags, average).tolist() if per_label else one
        return {"thresholds": dict(zip(names, found, strict=True))}
    if isinstance(task, QuestionAnswering) and task.evaluation_options(truths):
        return {"null_score_diff_threshold": _tuned_no_answer(task, answers, truths)}
    return {}


def _tuned_no_answer(task: QuestionAnswering, answers: Sequence[Any], truths: Sequence[Any]) -> float:
    """Return the threshold with the highest F1 of SQuAD 2.0."""
    from bertkit.metrics.squad import question_f1

    decided = [task.decided(answer, np.inf)[0] for answer in answers]
    differences = [one["null_score_diff"] for one in decided]
    answered = [question_f1(one["answer"], truth) for one, truth in zip(decided, truths, strict=True)]
    return no_answer_threshold(differences, answered, [question_f1("", truth) for truth in truths])
