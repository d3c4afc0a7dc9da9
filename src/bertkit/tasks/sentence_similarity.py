"""Sentence similarity: the similarity between the vector of one text and the vectors of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bertkit.errors import Setting, UsageError, described, one_of
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Prediction, Reading, Task, refuse_average
from bertkit.tasks.embedding import unit
from bertkit.tasks.feature_extraction import FeatureExtraction, FeatureOptions, PoolingName
from bertkit.tensors import Array

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric


@dataclass(frozen=True)
class SimilarityOptions(FeatureOptions):
    """The options of sentence similarity: all options of feature extraction, with another default for `pooling`."""

    pooling: PoolingName | None = "auto"
    similarity_fn_name: Literal["cosine", "dot", "euclidean", "manhattan"] | None = None  # None: from the model's files

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling is None:
            advice = Setting("pooling", "mean")
            raise UsageError(
                "sentence-similarity needs one vector a text: type ", advice, ', or "auto", "cls", "max" or "pooler".'
            )
        if self.similarity_fn_name is not None:
            one_of("similarity_fn_name", self.similarity_fn_name, tuple(_SCORES))


def _cosine(one: Array, others: Array) -> Array:
    scores: Array = unit(others) @ unit(one)
    return scores


def _dot(one: Array, others: Array) -> Array:
    scores: Array = others @ one
    return scores


_SCORES: dict[str, Callable[[Array, Array], Any]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": lambda one, others: -np.linalg.norm(others - one, axis=1),
    "manhattan": lambda one, others: -np.abs(others - one).sum(axis=1),
}
"""Name -> function of a vector [D] and others [n, D] that returns similarities [n]. Distances are negated."""


class SentenceSimilarity(Task[SimilarityOptions]):
    """A text and others -> the similarity of each of the others."""

    name = "sentence-similarity"
    head = "Model"
    takes = '{"source_sentence": ..., "sentences": [...]}'
    options_type = SimilarityOptions

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._features = FeatureExtraction(*args)

    def encode(self, examples: Sequence[Any], options: SimilarityOptions) -> list[Encoded]:
        """Return the rows of all texts of each example, the source sentence first."""
        texts = [self.texts(example) for example in examples]
        encoded = self._features.encode([text for some in texts for text in some], options)
        ends = list(accumulate(len(some) for some in texts))
        found = []
        for end, some in zip(ends, texts, strict=True):
            own = encoded[end - len(some) : end]
            parts = [item.reading for item in own]
            left_out = sum(part.left_out for part in parts)
            reading = Reading(
                left_out > 0, sum(part.windows for part in parts), sum(part.n_tokens for part in parts), left_out
            )
            found.append(Encoded([row for item in own for row in item.rows], reading, own))
        return found

    def wanted(self, options: SimilarityOptions) -> Ask:
        """Request the same outputs as feature extraction."""
        return self._features.wanted(options)

    def decode(self, encoded: Encoded, outputs: Outputs, options: SimilarityOptions) -> list[float]:
        """Return the similarity between the source sentence and each of the others."""
        vectors = self.vectors(encoded, outputs, options)
        of_files = self._features.recipe.similarity if options.pooling == "auto" else "cosine"
        score = _SCORES[options.similarity_fn_name or of_files]
        scores: list[float] = score(vectors[0], np.stack(vectors[1:])).tolist()
        return scores

    def vectors(self, encoded: Encoded, outputs: Outputs, options: SimilarityOptions) -> list[Array]:
        """Return the vector of each text of an example."""
        rows = iter(outputs)
        return [self._features.vector(item, [next(rows) for _ in item.rows], options) for item in encoded.memory]

    @staticmethod
    def texts(example: Any) -> list[str]:
        """Return the texts of an example, the source sentence first."""
        return _texts(example)

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the correlations with the true similarities: a number for each example, or a list of numbers."""
        from bertkit.metrics.weighted import number_metric

        refuse_average(self.name, average)
        if any(truth is None for truth in truths):
            raise UsageError(
                "Pairs without a similarity need the task of embeddings: type ",
                Setting("task", "sentence-embedding"),
                ", or pass examples with a number in a column score.",
            )
        return number_metric(answers, [truth if isinstance(truth, (list, tuple)) else [truth] for truth in truths])

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the similarities; one number for one sentence."""
        single = len(answer) == 1 and not isinstance(truth, (list, tuple))
        return Prediction(truth, answer[0] if single else answer)


def _texts(example: Any) -> list[str]:
    if isinstance(example, Mapping):
        source, others = example.get("source_sentence"), example.get("sentences")
        texts = isinstance(others, (list, tuple)) and all(isinstance(text, str) for text in others)
        if isinstance(source, str) and others and texts:
            return [source, *others]
        if all(isinstance(example.get(name), str) for name in ("text", "text_pair")):
            return [example["text"], example["text_pair"]]
    if isinstance(example, (list, tuple)) and len(example) == 2 and all(isinstance(text, str) for text in example):
        return list(example)
    raise UsageError(
        f'sentence-similarity takes {{"source_sentence": ..., "sentences": [...]}}, not {described(example)}.'
    )
