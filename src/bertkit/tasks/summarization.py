"""Summarization: a text -> a shorter one. A long text is summarized in windows, whose summaries are joined with a space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import Setting, UsageError, described
from bertkit.tasks.base import Encoded, OnLong, Prediction, refuse_average
from bertkit.tasks.text2text_generation import Answering
from bertkit.tasks.training import with_targets
from bertkit.tasks.writing import WritingOptions

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric

LABELS, LENGTH = "labels", "length"
"""The names of the targets with the words of a summary, and their number."""

_KINDS = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True)
class SummarizationOptions(WritingOptions):
    """The options of summarization."""

    on_long: OnLong = "window"


class Summarization(Answering[SummarizationOptions]):
    """summarization."""

    name = "summarization"
    result = "summary"
    options_type = SummarizationOptions

    def targets(
        self, examples: Sequence[Any], answers: Sequence[Any], options: SummarizationOptions
    ) -> list[list[Row]]:
        """Return a row for each text, with the words of its summary and [SEP], at most `max_new_tokens`."""
        if options.on_long == "window":
            raise UsageError(
                "summarization is trained on one row for each text: type ", Setting("on_long", "truncate"), "."
            )
        most = options.generation.get("max_new_tokens")

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            if not isinstance(answer, str):
                raise UsageError(f"A summary is a text, not {described(answer)}.")
            words = self.tokenizer.engine.ids(answer)
            words = [*(words if most is None else words[: most - 1]), self.tokenizer.sep_token_id]
            own = {
                LABELS: Target(np.array(words, np.int64), "token"),
                LENGTH: Target(np.array(len(words), np.int64), "row"),
            }
            return [own for _ in encoded.rows]

        return with_targets(self, examples, answers, options, label)

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the F1 of ROUGE-1, ROUGE-2 and ROUGE-L. A truth is a summary, or several, of which the best match counts."""
        from bertkit.metrics.rouge import rouge_of
        from bertkit.metrics.weighted import WeightedMeans

        refuse_average(self.name, average)
        found = [rouge_of(_summary(answer), truth) for answer, truth in zip(answers, truths, strict=True)]
        numbers = np.arange(len(truths))
        values = {kind: (numbers, np.array([one[kind].f1 for one in found])) for kind in _KINDS}
        lengths = np.array([len(_summary(answer).split()) for answer in answers], np.float64)
        return WeightedMeans(len(truths), {**values, "words": (numbers, lengths)})

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the summary, the true ones, and ROUGE-L as the score."""
        from bertkit.metrics.rouge import rouge_of

        return Prediction(truth, _summary(answer), rouge_of(_summary(answer), truth)["rougeL"].f1)


def _summary(answer: Any) -> str:
    found: str = answer[0]["summary_text"]
    return found
