"""Zero-shot classification: labels that are chosen at the call, by a model that tells what follows from a text.

Each label makes a sentence ("This example is politics."), and its score is how well that sentence follows from the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Grain, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, Options, Outputs, Task, Told, one_of, shown, text_of, with_tokenizer_options
from bertkit.tasks.numbers import MERGES, Merge, merged, softmax
from bertkit.tasks.windows import encode_texts


@dataclass(frozen=True)
class ZeroShotOptions(Options):
    """What zero-shot classification can be asked for."""

    candidate_labels: str | Sequence[str] = ()  # a list, or one string with commas
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False  # several labels may hold, each with a score of its own
    merge: Merge = "mean"  # how windows become one

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("merge", self.merge, MERGES)
        if not self.names:
            raise UsageError('candidate_labels is empty: type candidate_labels=["politics", "sports"].')
        if not _has_place(self.hypothesis_template):
            raise UsageError(
                f"hypothesis_template={self.hypothesis_template!r} has no {{}} where the label belongs: type "
                'hypothesis_template="This text is about {}."'
            )

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

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """The labels may be the second argument."""
        if len(args) == 2 and "candidate_labels" not in given:
            given["candidate_labels"] = args[1]
            args = args[:1]
        if "sequences" in given:
            args = (*args, given.pop("sequences"))
        return super().read(args, given)

    def encode(self, examples: Sequence[Any], options: ZeroShotOptions) -> list[Encoded]:
        """A row a label, in windows where the text is long. The text is cut, never the label."""
        texts = [text_of(example, self.name) for example in examples]
        if not all(texts):
            raise UsageError("A text is empty: type one, with candidate_labels=[...].")
        labels = [options.hypothesis_template.format(name) for name in options.names]
        first = [text for text in texts for _ in labels]
        most = self.row_length(options)
        for label in labels:
            if (count := len(self.tokenizer.engine.ids(label))) >= most - self.tokenizer.num_special_tokens_to_add(
                True
            ):
                raise UsageError(
                    f"{shown(label)} has {count} tokens, and a row of {most} has no place for it and a text: type a shorter one."
                )
        rows = encode_texts(self.tokenizer, first, labels * len(texts), options, most, cut="only_first")
        found = []
        for number, text in enumerate(texts):
            own = rows[number * len(labels) : (number + 1) * len(labels)]
            owners = [label for label, item in enumerate(own) for _ in item.rows]
            left_out = max(item.told.left_out for item in own)
            about = Told(left_out > 0, len(own[0].rows), max(item.told.n_tokens for item in own), left_out)
            found.append(Encoded([row for item in own for row in item.rows], about, _Memory(text, owners)))
        return found

    def wanted(self, options: ZeroShotOptions) -> dict[str, Grain]:
        """A logit for each of what the model knows to tell of two sentences."""
        return {"logits": "row"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: ZeroShotOptions) -> dict[str, Any]:
        """`{"sequence", "labels", "scores"}`, the best label first."""
        owners = np.array(encoded.memory.owners)
        rows = np.stack([output["logits"] for output in outputs])
        logits = np.stack([merged(rows[owners == label], options.merge) for label in range(len(options.names))])
        follows = self._entailment()
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

    def _entailment(self) -> int:
        """The number of the label that says that the second sentence follows; the last one where none has that name."""
        return next((i for name, i in self.config.label2id.items() if name.lower().startswith("entail")), -1)

    def labels(self, example: Any, answer: Any, options: ZeroShotOptions) -> list[Row]:
        """Nothing: the model learns to tell what follows by text classification of pairs."""
        raise UsageError('Train a model for zero-shot classification by "text-classification" of pairs, such as MNLI.')

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How often the best label is the right one."""
        from bertkit.metrics import accuracy

        return {"accuracy": accuracy([answer["labels"][0] for answer in answers], list(truths))}

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """`multi_class` is the older name of `multi_label`."""
        found = with_tokenizer_options(given)
        if "multi_class" in found:
            found.setdefault("multi_label", bool(found.pop("multi_class")))
        if not isinstance(found.get("candidate_labels", ""), (str, list, tuple)):
            raise UsageError(f"candidate_labels={shown(found['candidate_labels'])} is no list of labels: type [...].")
        return found
