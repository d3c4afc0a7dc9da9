"""Zero-shot classification: any labels, with a model that was trained on natural language inference.

Each label is put into a sentence ("This example is politics."). Its score says how well the sentence follows from the text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit.errors import Setting, UsageError, described, one_of, received
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Task, TaskOptions, joined, refuse_average, text_of
from bertkit.tasks.numbers import MERGES, Merge, merged, softmax
from bertkit.tasks.windows import encode_texts

if TYPE_CHECKING:
    from bertkit.config import BertConfig
    from bertkit.hub import Place
    from bertkit.metrics.weighted import WeightedMetric
    from bertkit.tasks.base import Tokenizer

_logger = logging.getLogger("bertkit")


@dataclass(frozen=True)
class ZeroShotOptions(TaskOptions):
    """The options of zero-shot classification."""

    candidate_labels: str | Sequence[str] = ()  # a list, or one string with commas
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False  # several labels may be correct, with independent scores
    merge: Merge = "mean"  # how to combine the logits of windows

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("merge", self.merge, MERGES)
        advice = Setting("candidate_labels", ["politics", "sports"])
        if not isinstance(self.candidate_labels, (str, list, tuple)):
            labels = Setting("candidate_labels", self.candidate_labels, described(self.candidate_labels))
            raise UsageError(labels, " is not a list of labels: type for example ", advice, ".")
        if not self.names:
            raise UsageError("candidate_labels is empty: type for example ", advice, ".")
        if not _has_placeholder(self.hypothesis_template):
            advice = Setting("hypothesis_template", "This text is about {}.")
            template = received("hypothesis_template", self.hypothesis_template)
            raise UsageError(template, " has no {} for the label: type ", advice)

    @property
    def names(self) -> list[str]:
        """The labels, as a list."""
        given = self.candidate_labels
        return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else list(given)


def _has_placeholder(template: object) -> bool:
    """Return whether a template has one placeholder."""
    try:
        return isinstance(template, str) and template.format("a") != template
    except (IndexError, KeyError, ValueError):
        return False


class _Memory(NamedTuple):
    sequence: str
    owners: list[int]  # the number of the label of each row


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
        """Return a row for each label, or several windows for long texts. The text is truncated, never the label."""
        texts = [text_of(example, self.name) for example in examples]
        if not all(texts):
            raise UsageError("A text is empty: type some text.")
        labels = [options.hypothesis_template.format(name) for name in options.names]
        first = [text for text in texts for _ in labels]
        most = self.row_length(options)
        room = most - self.tokenizer.num_special_tokens_to_add(True)
        for label in labels:
            if (count := len(self.tokenizer.engine.ids(label))) >= room:
                raise UsageError(
                    f"{described(label)} has {count} tokens, and does not fit into a row of {most} with a text: type a shorter "
                    "label."
                )
        rows = encode_texts(self.tokenizer, first, labels * len(texts), options, most, cut="only_first")
        found = []
        for number, text in enumerate(texts):
            own = rows[number * len(labels) : (number + 1) * len(labels)]
            owners = [label for label, item in enumerate(own) for _ in item.rows]
            found.append(joined(own, _Memory(text, owners)))
        return found

    def wanted(self, options: ZeroShotOptions) -> Ask:
        """Request the logits of the model's labels, such as entailment."""
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: ZeroShotOptions) -> dict[str, Any]:
        """Return `{"sequence", "labels", "scores"}`, the best label first."""
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

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the accuracy of the best label."""
        from bertkit.metrics.weighted import accuracy_metric

        refuse_average(self.name, average)
        return accuracy_metric([[answer["labels"][0] == truth] for answer, truth in zip(answers, truths, strict=True)])
