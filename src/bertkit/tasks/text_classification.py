"""Text classification: one label, several labels or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Row, Target
from bertkit.errors import ConfigError, OptionError, Setting, UsageError, described, one_of, received
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Prediction, Task, TaskOptions, check_integer, refuse_average
from bertkit.tasks.numbers import MERGES, Merge, is_number, largest, merged, sigmoid, softmax
from bertkit.tasks.training import class_number, with_targets
from bertkit.tasks.windows import encode_texts
from bertkit.tensors import Array

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric

_FEW_LABELS = 32
"""The most labels for which a prediction has the probability of each label."""

_USUAL_THRESHOLD = 0.5

Apply = Literal["sigmoid", "softmax", "none"]
Pair = tuple[str, "str | None"]


@dataclass(frozen=True)
class TextClassificationOptions(TaskOptions):
    """The options of text classification."""

    top_k: int | Literal[""] | None = ""  # number of labels in a list; None: all; "": only the best, without a list
    function_to_apply: Apply | None = None  # None: the function for the model's problem_type
    merge: Merge | None = None  # how to combine the logits of windows; None: as it was trained, usually "mean"
    return_all_scores: bool | None = None  # an older form of top_k=None, which keeps the order of the labels
    threshold: float | Literal["auto"] | None = None  # return all labels with higher scores; "auto": `label_thresholds`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k != "":
            check_integer("top_k", self.top_k, least=1, none=True)
        if self.function_to_apply is not None:
            one_of("function_to_apply", self.function_to_apply, ("sigmoid", "softmax", "none"))
        if self.merge is not None:
            one_of("merge", self.merge, MERGES)
        if not (self.threshold is None or self.threshold == "auto" or is_number(self.threshold)):
            advice = Setting("threshold", "auto")
            raise UsageError(
                received("threshold", self.threshold), " is not a number: type for example 0.5, or ", advice, "."
            )


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
        if options.threshold is not None and self.problem == "regression":
            what = " needs a model with labels, and this one predicts numbers: leave it out."
            raise OptionError(received("threshold", options.threshold), what)
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: TextClassificationOptions) -> Any:
        """Return `{"label", "score"}`, or a list of them, the best first."""
        how = options.merge or self._merge()
        logits = merged(np.stack([output["logits"] for output in outputs]), how)
        scores = apply(options.function_to_apply or self._kind(), logits, voted=how == "vote" and len(outputs) > 1)
        found = [{"label": self.config.id2label[i], "score": score} for i, score in enumerate(scores.tolist())]
        if options.top_k == "" and options.threshold is None:
            return found if options.return_all_scores else found[int(scores.argmax())]
        order = largest(scores, options.top_k or len(scores))
        if options.threshold is not None:
            least = label_thresholds(self.config) if options.threshold == "auto" else [options.threshold] * len(found)
            order = [index for index in order if found[index]["score"] > least[index]]
        return [found[index] for index in order]

    def _merge(self) -> Merge:
        """Return how training combined the logits of windows: `merge_windows` of the configuration, or the usual way."""
        stored = getattr(self.config, "merge_windows", None)
        if stored not in (None, *MERGES):
            advice = f"type {', '.join(map(repr, MERGES))}, or remove merge_windows."
            raise ConfigError(f"merge_windows of the configuration is {stored!r:.80}: {advice}")
        return stored or ("max" if self._kind() == "sigmoid" else "mean")

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
        problem = self.problem
        if problem == "multi_label_classification":
            return np.array(self._flags(answer), np.float32)
        if problem == "regression":
            return _finite(answer, self.config.num_labels)
        return np.array(self._number(answer), np.int64)

    @property
    def problem(self) -> str:
        """The problem type of the configuration, or the usual one for its number of labels."""
        usual = "regression" if self.config.num_labels == 1 else "single_label_classification"
        return self.config.problem_type or usual

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return accuracy, precision, recall, F1 and the Matthews correlation, or for regression correlations and mean errors.

        For several labels, the labels of an answer are those with scores above `label_thresholds`.
        """
        from bertkit.metrics.weighted import label_metric, multi_label_metric, number_metric

        self._check_average(average)
        if self.problem == "regression":
            return number_metric([self.scores_of(answer) for answer in answers], [_numbers(truth) for truth in truths])
        if self.problem == "multi_label_classification":
            found = [self._flags(self._above(answer)) for answer in answers]
            return multi_label_metric(found, self.flags(truths), average or "macro")
        best = [self._number(_listed(answer)[0]["label"]) for answer in answers]
        return label_metric(best, list(map(self._number, truths)), self.config.num_labels, average or "macro")

    def _check_average(self, average: str | None) -> None:
        if self.problem == "regression":
            refuse_average("regression", average)
        if average is not None:
            one_of("average", average, ("macro", "micro", "weighted", "binary"))
        if average == "binary" and (self.config.num_labels != 2 or self.problem != "single_label_classification"):
            advice = Setting("average", "macro")
            what = f" needs a model with two labels, of which a text has one; this model has {self.config.num_labels}: type "
            raise UsageError(received("average", average), what, advice, ".")

    def evaluation_options(self, truths: Sequence[Any]) -> dict[str, Any]:
        """Request the scores of all labels."""
        if self.problem == "regression":
            return {"top_k": None, "function_to_apply": "none"}
        single = self.problem == "single_label_classification"
        return {"top_k": 1 if single and self.config.num_labels > _FEW_LABELS else None}

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the label, the list of labels, the number or the list of numbers."""
        names = self.config.id2label
        if self.problem == "regression":
            found = self.scores_of(answer)
            return Prediction(truth, found[0] if len(found) == 1 else found)
        items = _listed(answer)
        scores = {str(one["label"]): one["score"] for one in items} if 1 < len(items) <= _FEW_LABELS else None
        if self.problem == "multi_label_classification":
            right = [names[index] for index, flag in enumerate(self._flags(truth)) if flag]
            labels = self._above(answer)
            return Prediction(right, labels, None, set(labels) == set(right), scores)
        label, score = items[0]["label"], items[0]["score"]
        name = names[self._number(truth)]
        return Prediction(name, label, score, label == name, scores)

    def label_numbers(self) -> Mapping[str, int]:
        """Return the labels of the configuration; none for regression."""
        return {} if self.problem == "regression" else self.config.label2id

    def scores_of(self, answer: Any) -> list[float]:
        """Return the scores in an answer of all labels, in the order of the labels."""
        scores = {one["label"]: one["score"] for one in _listed(answer)}
        if len(scores) != self.config.num_labels:
            advice = Setting("top_k", None)
            raise UsageError(f"An answer has {len(scores)} of {self.config.num_labels} labels: type ", advice, ".")
        return [scores[label] for label in self.config.id2label.values()]

    def flags(self, truths: Sequence[Any]) -> Array:
        """Return 1 for each label that a text has, and 0 for the others: [N, C]."""
        return np.array([self._flags(truth) for truth in truths], np.int64).reshape(-1, self.config.num_labels)

    def _above(self, answer: Any) -> list[str]:
        """Return the labels of an answer whose scores are above their thresholds."""
        least = label_thresholds(self.config)
        return [one["label"] for one in _listed(answer) if one["score"] > least[self._number(one["label"])]]

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


def label_thresholds(config: BertConfig) -> list[float]:
    """Return the threshold of each label: that of `thresholds` in the configuration, otherwise 0.5.

    >>> config = BertConfig.from_dict({"id2label": {"0": "good", "1": "bad"}, "thresholds": {"bad": 0.3}})
    >>> label_thresholds(config)
    [0.5, 0.3]
    """
    stored = getattr(config, "thresholds", None) or {}
    numbers = {str(label): number for number, label in config.id2label.items()}
    found = [_USUAL_THRESHOLD] * config.num_labels
    for label, value in stored.items() if isinstance(stored, Mapping) else [("", stored)]:
        if label not in numbers or not is_number(value):
            raise ConfigError(
                f"thresholds of the configuration has {label!r:.80}: {value!r:.80}, and must be {{label: number}} with labels "
                "of id2label: correct it, or remove thresholds."
            )
        found[numbers[label]] = float(value)
    return found


def _listed(answer: Any) -> list[dict[str, Any]]:
    """Return an answer as a list. An answer without `top_k` is one dictionary."""
    return answer if isinstance(answer, list) else [answer]


def _numbers(truth: Any) -> list[float]:
    """Return a true answer of a regression as a list of numbers."""
    return list(truth) if isinstance(truth, (list, tuple, np.ndarray)) else [truth]


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
    real = all(map(is_number, numbers))
    if len(numbers) != count or not real or not np.isfinite(np.array(numbers, np.float64)).all():
        raise UsageError(f"An answer is {f'{count} numbers' if count > 1 else 'a number'}, not {described(answer)}.")
    return np.array(numbers if count > 1 else numbers[0], np.float32)
