"""Text classification: one label, several labels or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import UsageError, described, one_of
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Task, TaskOptions, check_integer
from bertkit.tasks.numbers import MERGES, Merge, largest, merged, sigmoid, softmax
from bertkit.tasks.training import class_number, with_targets
from bertkit.tasks.windows import encode_texts
from bertkit.tensors import Array

Apply = Literal["sigmoid", "softmax", "none"]
Pair = tuple[str, "str | None"]


@dataclass(frozen=True)
class TextClassificationOptions(TaskOptions):
    """The options of text classification."""

    top_k: int | Literal[""] | None = ""  # number of labels in a list; None: all; "": only the best, without a list
    function_to_apply: Apply | None = None  # None: the function for the model's problem_type
    merge: Merge | None = None  # how to combine the logits of windows; None: "mean", or "max" for multi-label models
    return_all_scores: bool | None = None  # an older form of top_k=None, which keeps the order of the labels

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k != "":
            check_integer("top_k", self.top_k, least=1, none=True)
        if self.function_to_apply is not None:
            one_of("function_to_apply", self.function_to_apply, ("sigmoid", "softmax", "none"))
        if self.merge is not None:
            one_of("merge", self.merge, MERGES)


class TextClassification(Task[TextClassificationOptions]):
    """A text or a pair of texts -> a label and its score."""

    name = "text-classification"
    head = "ForSequenceClassification"
    takes = 'a text, a text and text_pair=..., or {"text": ..., "text_pair": ...}'
    options_type = TextClassificationOptions

    def encode(self, examples: Sequence[Any], options: TextClassificationOptions) -> list[Encoded]:
        """Return the rows of texts or pairs."""
        return encode_pairs(self, [pair_of(example, self.name) for example in examples], options)

    def wanted(self, options: TextClassificationOptions) -> Ask:
        """Request the logits of all labels."""
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: TextClassificationOptions) -> Any:
        """Return `{"label", "score"}`, or a list of them, the best first."""
        how = options.merge or ("max" if self._kind() == "sigmoid" else "mean")
        logits = merged(np.stack([output["logits"] for output in outputs]), how)
        scores = apply(options.function_to_apply or self._kind(), logits, voted=how == "vote" and len(outputs) > 1)
        found = [{"label": self.config.id2label[i], "score": score} for i, score in enumerate(scores.tolist())]
        if options.top_k == "":
            return found if options.return_all_scores else found[int(scores.argmax())]
        order = largest(scores, len(scores) if options.top_k is None else options.top_k)
        return [found[index] for index in order]

    def _kind(self) -> Apply:
        """Return the function from logits to scores for this configuration."""
        problem, count = self.config.problem_type, self.config.num_labels
        if problem == "regression":
            return "none"
        return "sigmoid" if problem == "multi_label_classification" or count == 1 else "softmax"

    def targets(
        self, examples: Sequence[Any], answers: Sequence[Any], options: TextClassificationOptions
    ) -> list[list[Row]]:
        """Return rows with targets, depending on the problem type in the configuration.

        - one label: an answer is the name or the number of a label, and the target its number
        - several labels: an answer is a list of labels, and the target 0.0 or 1.0 for each label of the model [C]
        - regression: an answer is a number, or a list if the model predicts several numbers; the target is the same
        """

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            target = Target(self._target(answer), "row")
            return [{"labels": target} for _ in encoded.rows]

        return with_targets(self, examples, answers, options, label)

    def _target(self, answer: Any) -> Array:
        problem = self._problem()
        if problem == "multi_label_classification":
            return np.array(self._flags(answer), np.float32)
        if problem == "regression":
            return _finite(answer, self.config.num_labels)
        return np.array(self._number(answer), np.int64)

    def _problem(self) -> str:
        """Return "regression", "single_label_classification" or "multi_label_classification"."""
        usual = "regression" if self.config.num_labels == 1 else "single_label_classification"
        return self.config.problem_type or usual

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Return accuracy, precision, recall and F1, or for regression the correlations and mean errors.

        For several labels, each answer must list all of them (`top_k=None`).
        """
        from bertkit.metrics import Classification, MultiLabelClassification, Regression

        best = [answer[0] if isinstance(answer, list) else answer for answer in answers]
        metric: Any
        if self._problem() == "multi_label_classification":
            metric = MultiLabelClassification()
            found = [[one["label"] for one in answer if one["score"] > 0.5] for answer in answers]
            metric.update([self._flags(names) for names in found], [self._flags(names) for names in truths])
        elif self._problem() == "regression":
            metric = Regression()
            metric.update([one["score"] for one in best], truths)
        else:
            metric = Classification("macro")
            metric.update(list(map(self._number, [one["label"] for one in best])), list(map(self._number, truths)))
        scores: dict[str, float] = metric.compute()
        return scores

    def _flags(self, labels: Any) -> list[int]:
        """Return 1 for each label of the model that a text has, and 0 for the others."""
        if not isinstance(labels, (list, tuple, set, frozenset, np.ndarray)):
            raise UsageError(f"This model needs a list of labels for each text, not {described(labels)}.")
        own = [self._number(label) for label in labels]
        if len(set(own)) < len(own):
            raise UsageError(f"A list of labels has one label twice: {described(labels)}. Type each label once.")
        return [int(index in own) for index in range(self.config.num_labels)]

    def _number(self, label: Any) -> int:
        return class_number(label, self.config.label2id)


def apply(function: Apply, logits: Array, voted: bool = False) -> Array:
    """Convert logits to scores."""
    if voted or function == "softmax":
        return softmax(logits)
    return sigmoid(logits) if function == "sigmoid" else logits


def pair_of(example: Any, task: str) -> Pair:
    """Return the text of an example, and the second text or None."""
    if isinstance(example, str):
        return example, None
    if isinstance(example, Mapping) and isinstance(example.get("text"), str):
        second = example.get("text_pair")
        if second is None or isinstance(second, str):
            return example["text"], second
    while isinstance(example, (list, tuple)) and len(example) == 1:  # the form that older versions of transformers use
        example = example[0]
    if isinstance(example, (list, tuple)) and len(example) == 2 and all(isinstance(text, str) for text in example):
        return example[0], example[1]
    raise UsageError(f'{task} takes a text, or {{"text": ..., "text_pair": ...}} for a pair, not {described(example)}.')


def encode_pairs(
    task: Task[Any], pairs: Sequence[Pair], options: TaskOptions, cut: str = "longest_first"
) -> list[Encoded]:
    """Return the rows of texts and pairs, in the order of the examples."""
    found: dict[int, Encoded] = {}
    for with_second in (False, True):
        numbers = [number for number, pair in enumerate(pairs) if (pair[1] is not None) is with_second]
        first = [pairs[number][0] for number in numbers]
        second = [pairs[number][1] or "" for number in numbers] if with_second else None
        rows = encode_texts(task.tokenizer, first, second, options, task.row_length(options), cut=cut)
        found.update(zip(numbers, rows, strict=True))
    return [found[number] for number in range(len(pairs))]


def _finite(answer: Any, count: int) -> Array:
    """Return the target of a regression: a number, or an array [count]."""
    numbers = list(answer) if isinstance(answer, (list, tuple, np.ndarray)) else [answer]
    real = all(isinstance(number, Real) and not isinstance(number, bool) for number in numbers)
    if len(numbers) != count or not real or not np.isfinite(np.array(numbers, np.float64)).all():
        raise UsageError(f"An answer is {f'{count} numbers' if count > 1 else 'a number'}, not {described(answer)}.")
    return np.array(numbers if count > 1 else numbers[0], np.float32)
