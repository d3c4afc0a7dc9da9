"""Text classification: one label of several, several at once, or a number; of a text or of a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bertkit.data.batches import Array, Grain, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, Options, Outputs, Task, one_of, shown, whole, with_tokenizer_options
from bertkit.tasks.numbers import MERGES, Merge, largest, merged, sigmoid, softmax
from bertkit.tasks.windows import encode_texts

Apply = Literal["sigmoid", "softmax", "none"]
Pair = tuple[str, "str | None"]


@dataclass(frozen=True)
class TextClassificationOptions(Options):
    """What text classification can be asked for."""

    top_k: int | Literal[""] | None = ""  # so many labels in a list; None: all of them; "": the best, without a list
    function_to_apply: Apply | None = None  # None: what the kind of labels needs
    merge: Merge | None = None  # how windows become one; None: "max" for several labels at once, "mean" else
    return_all_scores: bool | None = None  # the older way to say top_k=None, in the order of the labels

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k != "":
            whole("top_k", self.top_k, least=1, none=True)
        if self.function_to_apply is not None:
            one_of("function_to_apply", self.function_to_apply, ("sigmoid", "softmax", "none"))
        if self.merge is not None:
            one_of("merge", self.merge, MERGES)


class TextClassification(Task[TextClassificationOptions]):
    """A text, or two, -> a label and its score."""

    name = "text-classification"
    head = "ForSequenceClassification"
    takes = 'a text, a text and text_pair=..., or {"text": ..., "text_pair": ...}'
    options_type = TextClassificationOptions

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """As of every task, or a text and its `text_pair`."""
        inputs, one = super().read(args, given)
        if isinstance(inputs, str) and "text_pair" in given:
            return {"text": inputs, "text_pair": given.pop("text_pair")}, True
        return inputs, one

    def encode(self, examples: Sequence[Any], options: TextClassificationOptions) -> list[Encoded]:
        """The rows of texts or pairs."""
        return encode_pairs(self, [pair_of(example, self.name) for example in examples], options)

    def wanted(self, options: TextClassificationOptions) -> dict[str, Grain]:
        """A logit for each label."""
        return {"logits": "row"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: TextClassificationOptions) -> Any:
        """`{"label", "score"}`, or a list of them, the best first."""
        how = options.merge or ("max" if self._kind() == "sigmoid" else "mean")
        logits = merged(np.stack([output["logits"] for output in outputs]), how)
        scores = apply(options.function_to_apply or self._kind(), logits, voted=how == "vote" and len(outputs) > 1)
        found = [{"label": self.config.id2label[i], "score": score} for i, score in enumerate(scores.tolist())]
        if options.top_k == "":
            return found if options.return_all_scores else found[int(scores.argmax())]
        order = largest(scores, len(scores) if options.top_k is None else options.top_k)
        return [found[index] for index in order]

    def _kind(self) -> Apply:
        """What makes scores of the logits, as the configuration tells."""
        problem, count = self.config.problem_type, self.config.num_labels
        if problem == "regression":
            return "none"
        return "sigmoid" if problem == "multi_label_classification" or count == 1 else "softmax"

    def labels(self, example: Any, answer: Any, options: TextClassificationOptions) -> list[Row]:
        """Rows with the number of the label, numbers 0 and 1 for several labels at once, or the number to be learned."""
        label: Array
        if self.config.problem_type == "multi_label_classification":
            label = np.array(self._flags(answer), np.float32)
        elif self.config.problem_type == "regression" or self.config.num_labels == 1:
            label = np.array(answer, np.float32)
        else:
            label = np.array(self._number(answer), np.int64)
        return [replace(row, labels=label) for row in self.encode([example], options)[0].rows]

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Accuracy, F1 and the like; of numbers how they go together.

        For several labels at once answers have all of them (`top_k=None`).
        """
        from bertkit.metrics import Classification, MultiLabelClassification, Regression

        best = [answer[0] if isinstance(answer, list) else answer for answer in answers]
        metric: Any
        if self.config.problem_type == "multi_label_classification":
            metric = MultiLabelClassification()
            found = [[one["label"] for one in answer if one["score"] > 0.5] for answer in answers]
            metric.update([self._flags(names) for names in found], [self._flags(names) for names in truths])
        elif self.config.problem_type == "regression" or self.config.num_labels == 1:
            metric = Regression()
            metric.update([one["score"] for one in best], truths)
        else:
            metric = Classification("macro")
            metric.update([self._number(one["label"]) for one in best], [self._number(truth) for truth in truths])
        scores: dict[str, float] = metric.compute()
        return scores

    def _flags(self, names: Any) -> list[int]:
        """1 for each label that is among the names, in the order of the labels."""
        own = {self._number(name) for name in names}
        return [int(index in own) for index in range(self.config.num_labels)]

    def _number(self, label: Any) -> int:
        if isinstance(label, str):
            if label not in self.config.label2id:
                raise UsageError(
                    f"{label!r} is none of the labels of the model, which are {', '.join(self.config.label2id)}."
                )
            return self.config.label2id[label]
        return int(label)

    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """One string gives a list, unless `top_k` is among the options of the call, where the list is there already."""
        one = isinstance(inputs, str) or "text_pair" in given
        return [answers] if one and "top_k" not in given else answers

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Options of the tokenizer are taken too, and names in capitals."""
        found = with_tokenizer_options(given)
        if isinstance(found.get("function_to_apply"), str):
            found["function_to_apply"] = found["function_to_apply"].lower()
        return found


def apply(function: Apply, logits: Array, voted: bool = False) -> Array:
    """Logits -> scores."""
    if voted or function == "softmax":
        return softmax(logits)
    return sigmoid(logits) if function == "sigmoid" else logits


def pair_of(example: Any, task: str) -> Pair:
    """The one or two texts of an example."""
    if isinstance(example, str):
        return example, None
    if isinstance(example, Mapping) and isinstance(example.get("text"), str):
        second = example.get("text_pair")
        if second is None or isinstance(second, str):
            return example["text"], second
    while isinstance(example, (list, tuple)) and len(example) == 1:  # as older versions of others wanted it
        example = example[0]
    if isinstance(example, (list, tuple)) and len(example) == 2 and all(isinstance(text, str) for text in example):
        return example[0], example[1]
    raise UsageError(
        f'{task} takes a text, or {{"text": ..., "text_pair": ...}} for a pair, and {shown(example)} came.'
    )


def encode_pairs(task: Task[Any], pairs: Sequence[Pair], options: Options, cut: str = "longest_first") -> list[Encoded]:
    """The rows of texts and pairs, in their order."""
    found: dict[int, Encoded] = {}
    for with_second in (False, True):
        numbers = [number for number, pair in enumerate(pairs) if (pair[1] is not None) is with_second]
        first = [pairs[number][0] for number in numbers]
        second = [pairs[number][1] or "" for number in numbers] if with_second else None
        rows = encode_texts(task.tokenizer, first, second, options, task.row_length(options), cut=cut)
        found.update(zip(numbers, rows, strict=True))
    return [found[number] for number in range(len(pairs))]
