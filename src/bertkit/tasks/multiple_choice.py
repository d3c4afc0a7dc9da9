"""Multiple choice: which of several texts goes best with a first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Array, Grain, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, Options, Outputs, Task, Told, one_of, shown, whole, with_tokenizer_options
from bertkit.tasks.numbers import largest, softmax
from bertkit.tasks.windows import encode_texts


@dataclass(frozen=True)
class MultipleChoiceOptions(Options):
    """What multiple choice can be asked for."""

    top_k: int | None = None  # the best so many; None: all
    merge: str = "mean"  # how the windows of a long text become one: "mean", "max" or "first"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("top_k", self.top_k, least=1, none=True)
        one_of("merge", self.merge, ("mean", "max", "first"))


class _Memory(NamedTuple):
    choices: list[str]
    owners: list[int]  # for each row the number of its choice


class MultipleChoice(Task[MultipleChoiceOptions]):
    """A text and choices -> the choices, the best first."""

    name = "multiple-choice"
    head = "ForMultipleChoice"
    takes = '{"text": ..., "choices": [...]}'
    options_type = MultipleChoiceOptions

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """A dictionary or several, or a text and its `choices=[...]`."""
        if "choices" in given and len(args) == 1 and isinstance(args[0], str):
            return {"text": args[0], "choices": given.pop("choices")}, True
        return super().read(args, given)

    def encode(self, examples: Sequence[Any], options: MultipleChoiceOptions) -> list[Encoded]:
        """A row a choice, in windows where the text is long."""
        pairs = [_text_and_choices(example) for example in examples]
        first = [text for text, choices in pairs for _ in choices]
        second = [choice for _, choices in pairs for choice in choices]
        rows = iter(encode_texts(self.tokenizer, first, second, options, self.row_length(options)))
        found = []
        for _, choices in pairs:
            own = [next(rows) for _ in choices]
            owners = [choice for choice, item in enumerate(own) for _ in item.rows]
            longest = max(own, key=lambda item: item.told.n_tokens).told
            left_out = max(item.told.left_out for item in own)
            about = Told(left_out > 0, longest.windows, longest.n_tokens, left_out)
            found.append(Encoded([row for item in own for row in item.rows], about, _Memory(choices, owners)))
        return found

    def wanted(self, options: MultipleChoiceOptions) -> dict[str, Grain]:
        """A logit a choice."""
        return {"logits": "row"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: MultipleChoiceOptions) -> list[dict[str, Any]]:
        """`[{"score", "index", "choice"}]`, the best first; the scores of all sum to 1."""
        memory: _Memory = encoded.memory
        rows = np.array([output["logits"] for output in outputs], np.float32).reshape(-1)
        owners = np.array(memory.owners)
        own = [rows[owners == choice] for choice in range(len(memory.choices))]
        scores = softmax(np.array([_merged(some, options.merge) for some in own], np.float32))
        order = largest(scores, len(scores) if options.top_k is None else options.top_k)
        return [{"score": float(scores[i]), "index": i, "choice": memory.choices[i]} for i in order]

    def labels(self, example: Any, answer: Any, options: MultipleChoiceOptions) -> list[Row]:
        """A row a choice; the first has the number of the right one, and the others -100."""
        encoded = self.encode([example], told_once(options))[0]
        right = encoded.memory.choices.index(answer) if isinstance(answer, str) else int(answer)
        labels = [right] + [-100] * (len(encoded.rows) - 1)
        return [replace(row, labels=np.array(label)) for row, label in zip(encoded.rows, labels, strict=True)]

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How often the best choice is the right one: its number, or the choice itself."""
        from bertkit.metrics import accuracy

        keys = ["choice" if isinstance(truth, str) else "index" for truth in truths]
        right = [answer[0][key] == truth for answer, key, truth in zip(answers, keys, truths, strict=True)]
        return {"accuracy": accuracy(right, [True] * len(right))}

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Options of the tokenizer are taken too."""
        return with_tokenizer_options(given)


def told_once(options: MultipleChoiceOptions) -> MultipleChoiceOptions:
    """The same options without windows: training takes one row a choice."""
    return replace(options, on_long="truncate") if options.on_long == "window" else options


def _merged(logits: Array, how: str) -> float:
    """The logits of the windows of a choice -> its own."""
    return float(logits[0] if how == "first" else logits.max() if how == "max" else logits.mean())


def _text_and_choices(example: Any) -> tuple[str, list[str]]:
    if isinstance(example, Mapping):
        text = next((example[key] for key in ("text", "prompt", "question", "context") if key in example), None)
        choices = example.get("choices")
        texts = isinstance(choices, (list, tuple)) and all(isinstance(choice, str) for choice in choices)
        if isinstance(text, str) and choices and texts:
            return text, list(choices)
    raise UsageError(f'multiple-choice takes {{"text": ..., "choices": [...]}}, and {shown(example)} came.')
