"""Next sentence prediction: whether the second of two texts continues the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import UsageError, described, one_of
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Prediction, Task, TaskOptions, check_integer, refuse_average
from bertkit.tasks.numbers import MERGES, Merge, largest, merged, softmax
from bertkit.tasks.text_classification import encode_pairs, pair_of
from bertkit.tasks.training import is_number_below, with_targets

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric

RELATIONS = ("IsNext", "NotNext")
"""The labels of the two logits."""


@dataclass(frozen=True)
class NextSentenceOptions(TaskOptions):
    """The options of next sentence prediction."""

    top_k: int | None = 1  # 1: the better label; None or 2: a list of both
    merge: Merge = "mean"  # how to combine the logits of windows

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("top_k", self.top_k, least=1, none=True)
        one_of("merge", self.merge, MERGES)


class NextSentencePrediction(Task[NextSentenceOptions]):
    """Two texts -> whether the second continues the first."""

    name = "next-sentence-prediction"
    head = "ForNextSentencePrediction"
    takes = '{"text": ..., "text_pair": ...}'
    options_type = NextSentenceOptions

    def encode(self, examples: Sequence[Any], options: NextSentenceOptions) -> list[Encoded]:
        """Return the rows of each pair of texts."""
        return encode_pairs(self, two_texts(self, examples), options)

    def wanted(self, options: NextSentenceOptions) -> Ask:
        """Request two logits for each row."""
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: NextSentenceOptions) -> Any:
        """Return `{"label", "score"}` with the label "IsNext" or "NotNext", or a list of both."""
        scores = softmax(merged(np.stack([output["logits"] for output in outputs]), options.merge))
        found = [{"label": RELATIONS[index], "score": float(scores[index])} for index in largest(scores, 2)]
        return found[0] if options.top_k == 1 else found[: options.top_k]

    def targets(self, examples: Sequence[Any], answers: Sequence[Any], options: NextSentenceOptions) -> list[list[Row]]:
        """Return rows with 0 if the second text continues the first, otherwise 1.

        An answer is "IsNext", "NotNext", 0 or 1.
        """

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            number = Target(next_number(answer), "row")
            return [{"labels": number} for _ in encoded.rows]

        return with_targets(self, examples, answers, options, label)

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the accuracy."""
        from bertkit.metrics.weighted import accuracy_metric

        refuse_average(self.name, average)
        pairs = zip(answers, truths, strict=True)
        return accuracy_metric([[_best(answer)["label"] == RELATIONS[next_number(truth)]] for answer, truth in pairs])

    def evaluation_options(self, truths: Sequence[Any]) -> dict[str, Any]:
        """Request the probabilities of both labels."""
        return {"top_k": None}

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the better label."""
        best, right = _best(answer), RELATIONS[next_number(truth)]
        scores = {one["label"]: one["score"] for one in answer} if isinstance(answer, list) else None
        return Prediction(right, best["label"], best["score"], best["label"] == right, scores)

    def label_numbers(self) -> Mapping[str, int]:
        """Return "IsNext" and "NotNext" with their numbers."""
        return {name: number for number, name in enumerate(RELATIONS)}


def _best(answer: Any) -> Any:
    """Return the better label of an answer, which is a dictionary or a list of both labels."""
    return answer[0] if isinstance(answer, list) else answer


def two_texts(task: Task[Any], examples: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the two texts of each example."""
    found = []
    for example in examples:
        first, second = pair_of(example, task.name)
        if second is None:
            raise UsageError(f"{task.name} takes {task.takes}, but only one text was passed: {described(first)}.")
        found.append((first, second))
    return found


def next_number(answer: Any) -> int:
    """Return 0 for "IsNext" and 1 for "NotNext". The numbers 0 and 1 are returned unchanged."""
    if isinstance(answer, str) and answer in RELATIONS:
        return RELATIONS.index(answer)
    if is_number_below(answer, 2):
        return int(answer)
    raise UsageError(f'An answer is "IsNext", "NotNext", 0 or 1, not {described(answer)}.')
