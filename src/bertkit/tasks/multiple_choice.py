"""Multiple choice: which of several texts fits best after a first text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import UsageError, described, one_of
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Prediction, Task, TaskOptions, check_integer, joined, refuse_average
from bertkit.tasks.numbers import largest, merged, softmax
from bertkit.tasks.training import is_number_below, with_targets
from bertkit.tasks.windows import encode_texts

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric


@dataclass(frozen=True)
class MultipleChoiceOptions(TaskOptions):
    """The options of multiple choice."""

    top_k: int | None = None  # number of choices to return; None: all
    merge: Literal["mean", "max", "first"] = "mean"  # how to combine the logits of windows

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("top_k", self.top_k, least=1, none=True)
        one_of("merge", self.merge, ("mean", "max", "first"))


class _Memory(NamedTuple):
    choices: list[str]
    owners: list[int]  # the number of the choice of each row


class MultipleChoice(Task[MultipleChoiceOptions]):
    """A text and choices -> the choices with scores, the best first."""

    name = "multiple-choice"
    head = "ForMultipleChoice"
    takes = '{"text": ..., "choices": [...]}'
    options_type = MultipleChoiceOptions

    def encode(self, examples: Sequence[Any], options: MultipleChoiceOptions) -> list[Encoded]:
        """Return a row for each choice, or several windows for long texts."""
        pairs = [_text_and_choices(example) for example in examples]
        first = [text for text, choices in pairs for _ in choices]
        second = [choice for _, choices in pairs for choice in choices]
        encoded = iter(encode_texts(self.tokenizer, first, second, options, self.row_length(options)))
        found = []
        for _, choices in pairs:
            own = [next(encoded) for _ in choices]
            owners = [choice for choice, item in enumerate(own) for _ in item.rows]
            found.append(joined(own, _Memory(choices, owners)))
        return found

    def wanted(self, options: MultipleChoiceOptions) -> Ask:
        """Request one logit for each row."""
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: MultipleChoiceOptions) -> list[dict[str, Any]]:
        """Return `[{"score", "index", "choice"}]`, the best first. The scores of all choices sum to 1."""
        memory: _Memory = encoded.memory
        rows = np.array([output["logits"] for output in outputs], np.float32).reshape(-1)
        owners = np.array(memory.owners)
        scores = softmax(
            np.array([merged(rows[owners == choice], options.merge) for choice in range(len(memory.choices))])
        )
        order = largest(scores, len(scores) if options.top_k is None else options.top_k)
        return [{"score": float(scores[i]), "index": i, "choice": memory.choices[i]} for i in order]

    def targets(
        self, examples: Sequence[Any], answers: Sequence[Any], options: MultipleChoiceOptions
    ) -> list[list[Row]]:
        """Return a row for each choice, with the number of the correct choice. An answer is that number or the choice itself.

        Long texts are truncated, never split into windows, as the model needs one row for each choice.
        """

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            right = Target(_number(answer, encoded.memory.choices), "group")
            return [{"labels": right} for _ in encoded.rows]

        if options.on_long == "window":
            options = replace(options, on_long="truncate")
        return with_targets(self, examples, answers, options, label)

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the accuracy. A true answer is the number of the correct choice or the choice itself."""
        from bertkit.metrics.weighted import accuracy_metric

        refuse_average(self.name, average)
        return accuracy_metric([[_is_right(answer, truth)] for answer, truth in zip(answers, truths, strict=True)])

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the number of the best choice."""
        number = next((one["index"] for one in answer if one["choice"] == truth), truth)
        return Prediction(number, answer[0]["index"], answer[0]["score"], _is_right(answer, truth))


def _is_right(answer: Sequence[Mapping[str, Any]], truth: Any) -> bool:
    """Return whether the best choice is the correct one."""
    return bool(answer[0]["choice" if isinstance(truth, str) else "index"] == truth)


def _number(answer: Any, choices: Sequence[str]) -> int:
    """Return the number of the correct choice."""
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if is_number_below(answer, len(choices)):
        return int(answer)
    raise UsageError(
        f"{described(answer)} is not one of the {len(choices)} choices: type the correct one, or its number, from 0 to "
        f"{len(choices) - 1}."
    )


def _text_and_choices(example: Any) -> tuple[str, list[str]]:
    if isinstance(example, Mapping):
        text = next((example[key] for key in ("text", "prompt", "question", "context") if key in example), None)
        choices = example.get("choices")
        texts = isinstance(choices, (list, tuple)) and all(isinstance(choice, str) for choice in choices)
        if isinstance(text, str) and choices and texts:
            return text, list(choices)
    raise UsageError(f'multiple-choice takes {{"text": ..., "choices": [...]}}, not {described(example)}.')
