"""Next sentence prediction: whether a second text goes on where the first ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bertkit.data.batches import Grain, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, Options, Outputs, Task, one_of, shown, whole, with_tokenizer_options
from bertkit.tasks.numbers import MERGES, Merge, largest, merged, softmax
from bertkit.tasks.text_classification import encode_pairs, pair_of

NAMES = ("IsNext", "NotNext")
"""What the two logits of BERT stand for."""


@dataclass(frozen=True)
class NextSentenceOptions(Options):
    """What next sentence prediction can be asked for."""

    top_k: int | None = 1  # 1: the better of the two; None or 2: both, in a list
    merge: Merge = "mean"  # how windows become one

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("top_k", self.top_k, least=1, none=True)
        one_of("merge", self.merge, MERGES)


class NextSentencePrediction(Task[NextSentenceOptions]):
    """Two texts -> whether the second goes on with the first."""

    name = "next-sentence-prediction"
    head = "ForNextSentencePrediction"
    takes = '{"text": ..., "text_pair": ...}'
    options_type = NextSentenceOptions

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """A dictionary, a pair (a tuple), or several of them; two texts."""
        if len(args) == 2 and all(isinstance(text, str) for text in args):
            return args, True
        inputs, one = super().read(args, given)
        return inputs, one or (isinstance(inputs, tuple) and all(isinstance(text, str) for text in inputs))

    def encode(self, examples: Sequence[Any], options: NextSentenceOptions) -> list[Encoded]:
        """A row a pair."""
        pairs = [pair_of(example, self.name) for example in examples]
        for pair in pairs:
            if pair[1] is None:
                raise UsageError(f"{self.name} takes {self.takes}, and one text came: {shown(pair[0])}.")
        return encode_pairs(self, pairs, options)

    def wanted(self, options: NextSentenceOptions) -> dict[str, Grain]:
        """Two logits a pair."""
        return {"logits": "row"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: NextSentenceOptions) -> Any:
        """`{"label", "score"}`: "IsNext" or "NotNext"."""
        scores = softmax(merged(np.stack([output["logits"] for output in outputs]), options.merge))
        found = [{"label": NAMES[index], "score": float(scores[index])} for index in largest(scores, 2)]
        return found[0] if options.top_k == 1 else found[: options.top_k]

    def labels(self, example: Any, answer: Any, options: NextSentenceOptions) -> list[Row]:
        """Rows with 0 where the second text is the next one, 1 where it is not."""
        number = NAMES.index(answer) if isinstance(answer, str) else int(answer)
        return [replace(row, labels=np.array(number)) for row in self.encode([example], options)[0].rows]

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How often it is told right whether the second text is the next one."""
        from bertkit.metrics import accuracy

        best = [answer[0] if isinstance(answer, list) else answer for answer in answers]
        right = [NAMES.index(truth) if isinstance(truth, str) else int(truth) for truth in truths]
        return {"accuracy": accuracy([NAMES.index(one["label"]) for one in best], right)}

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Options of the tokenizer are taken too."""
        return with_tokenizer_options(given)
