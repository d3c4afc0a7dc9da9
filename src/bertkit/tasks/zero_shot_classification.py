"""Zero-shot classification: labels chosen at the call, by a model that was trained on whether one text follows from another.

Each label makes a sentence ("This example is politics."), and its score is how well that sentence follows from the text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit.errors import Setting, UsageError, described, one_of, received
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Task, TaskOptions, text_of, together
from bertkit.tasks.numbers import MERGES, Merge, merged, softmax
from bertkit.tasks.windows import encode_texts

if TYPE_CHECKING:
    from bertkit.config import BertConfig
    from bertkit.hub import Place
    from bertkit.tasks.base import Tokenizer

_logger = logging.getLogger("bertkit")


@dataclass(frozen=True)
class ZeroShotOptions(TaskOptions):
    """The options of zero-shot classification."""

    candidate_labels: str | Sequence[str] = ()  # a list, or one string with commas
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False  # several labels may hold, each with a score of its own
    merge: Merge = "mean"  # how windows become one

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("merge", self.merge, MERGES)
        advice = Setting("candidate_labels", ["politics", "sports"])
        if not isinstance(self.candidate_labels, (str, list, tuple)):
            labels = Setting("candidate_labels", self.candidate_labels, described(self.candidate_labels))
            raise UsageError(labels, " is no list of labels: type ", advice, ".")
        if not self.names:
            raise UsageError("candidate_labels is empty: type ", advice, ".")
        if not _has_place(self.hypothesis_template):
            advice = Setting("hypothesis_template", "This text is about {}.")
            template = received("hypothesis_template", self.hypothesis_template)
            raise UsageError(template, " has no {} where the label belongs: type ", advice)

    @property
    def names(self) -> list[str]:
        """The labels."""
        given = self.candidate_labels
        return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else list(given)


def _has_place(template: object) -> bool:
    """Whether a template has one place, for a label."""
    try:
        return isinstance(template, str) and template.format("a") != template
    except (IndexError, KeyError, ValueError):
        return False


class _Memory(NamedTuple):
    sequence: str
    owners: list[int]  # for each row the number of its label


class ZeroShotClassification(Task[ZeroShotOptions]):
    """A text and labels -> a score for each label."""

    name = "zero-shot-classification"
    head = "ForSequenceClassification"
    takes = "a text, with candidate_labels=[...]"
    options_type = ZeroShotOptions

    def __init__(self, tokenizer: Tokenizer, config: BertConfig, place: Place | None = None) -> None:
        super().__init__(tokenizer, config, place)
        self._entailment = next((i for name, i in config.label2id.items() if name.lower().startswith("entail")), -1)
        if self._entailment < 0:
            _logger.warning(
                "No label of the model starts with 'entail', so that its last label, %r, counts as entailment: zero-shot "
                "classification needs a model trained on natural language inference.",
                config.id2label[max(config.id2label)],
            )

    def encode(self, examples: Sequence[Any], options: ZeroShotOptions) -> list[Encoded]:
        """A row a label, in windows where the text is long. The text is cut, never the label."""
        texts = [text_of(example, self.name) for example in examples]
        if not all(texts):
            raise UsageError("A text is empty: type one.")
        labels = [options.hypothesis_template.format(name) for name in options.names]
        first = [text for text in texts for _ in labels]
        most = self.row_length(options)
        room = most - self.tokenizer.num_special_tokens_to_add(True)
        for label in labels:
            if (count := len(self.tokenizer.engine.ids(label))) >= room:
                raise UsageError(
                    f"{described(label)} has {count} tokens, and a row of {most} has no place for it and a text: type a "
                    "shorter one."
                )
        rows = encode_texts(self.tokenizer, first, labels * len(texts), options, most, cut="only_first")
        found = []
        for number, text in enumerate(texts):
            own = rows[number * len(labels) : (number + 1) * len(labels)]
            owners = [label for label, item in enumerate(own) for _ in item.rows]
            found.append(together(own, _Memory(text, owners)))
        return found

    def wanted(self, options: ZeroShotOptions) -> Ask:
        """A logit for each label of the model, such as entailment."""
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: ZeroShotOptions) -> dict[str, Any]:
        """`{"sequence", "labels", "scores"}`, the best label first."""
        owners = np.array(encoded.memory.owners)
        rows = np.stack([output["logits"] for output in outputs])
        logits = np.stack([merged(rows[owners == label], options.merge) for label in range(len(options.names))])
        follows = self._entailment
        if options.multi_label or len(options.names) == 1:
            against = -1 if follows == 0 else 0
            scores = softmax(logits[:, [against, follows]])[:, 1]
        else:
            scores = softmax(logits[:, follows])
        order = np.argsort(scores)[::-1]
        return {
            "sequence": encoded.memory.sequence,
            "labels": [options.names[index] for index in order],
            "scores": scores[order].tolist(),
        }

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How often the best label is the right one."""
        from bertkit.metrics import accuracy

        return {"accuracy": accuracy([answer["labels"][0] for answer in answers], list(truths))}
