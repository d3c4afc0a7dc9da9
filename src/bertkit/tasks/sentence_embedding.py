"""Sentence embedding: vectors of texts, trained and evaluated by which texts should be similar.

A pair of similar texts, a triplet whose third text is not similar to the first, or a pair with its similarity:

    {"text": ..., "text_pair": ...}    {"text": ..., "text_pair": ..., "negative": ...}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import Setting, UsageError, described
from bertkit.tasks.base import Encoded, Outputs, Prediction, refuse_average
from bertkit.tasks.embedding import MODULES, unit, write_mean, write_recipe
from bertkit.tasks.embedding.recipe import Recipe
from bertkit.tasks.sentence_similarity import SentenceSimilarity, SimilarityOptions
from bertkit.tasks.training import with_targets
from bertkit.tensors import Array

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric

SCORE = "score"
"""The name of the target with the similarity of a pair."""

_NAMES = ("text", "text_pair", "negative")
_AT_ONCE = 1024
"""The number of texts that are compared with all others at once."""


@dataclass(frozen=True)
class SentenceEmbeddingOptions(SimilarityOptions):
    """The options of sentence embedding: all options of sentence similarity, and `vectors`."""

    vectors: bool = False  # return the similarities and the vectors


class SentenceEmbedding(SentenceSimilarity):
    """A text and one or two others -> the similarity of each of the others."""

    name = "sentence-embedding"
    takes = '{"text": ..., "text_pair": ...}, also with "negative": ...'
    options_type = SentenceEmbeddingOptions

    @property
    def recipe(self) -> Recipe:
        """How the hidden states of a text become its vector."""
        return self._features.recipe

    @staticmethod
    def texts(example: Any) -> list[str]:
        """Return the two or three texts of an example."""
        if isinstance(example, Mapping):
            found = [example[name] for name in _NAMES if name in example]
            if len(found) > 1 and "text" in example and all(isinstance(text, str) for text in found):
                return found
        raise UsageError(
            f'sentence-embedding takes {{"text": ..., "text_pair": ...}}, also with "negative", not {described(example)}.'
        )

    def decode(self, encoded: Encoded, outputs: Outputs, options: SimilarityOptions) -> Any:
        """Return the similarity of the first text to each of the others; with `vectors` also the vectors of all texts."""
        similarities = super().decode(encoded, outputs, options)
        if not (isinstance(options, SentenceEmbeddingOptions) and options.vectors):
            return similarities
        return {"similarities": similarities, "vectors": np.stack(self.vectors(encoded, outputs, options)).tolist()}

    def targets(self, examples: Sequence[Any], answers: Sequence[Any], options: SimilarityOptions) -> list[list[Row]]:
        """Return a row for each text. An answer is the similarity of the two texts, or None if they are known to be similar."""
        if options.on_long == "window":
            raise UsageError(
                "sentence-embedding is trained on one row for each text: type ", Setting("on_long", "truncate"), "."
            )

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            targets = {} if answer is None else {SCORE: Target(np.array(answer, np.float32), "group")}
            return [targets for _ in encoded.rows]

        return with_targets(self, examples, answers, options, label)

    def evaluation_options(self, truths: Sequence[Any]) -> dict[str, Any]:
        """Request the vectors for pairs without a similarity, which are searched among all texts."""
        return {"vectors": any(truth is None for truth in truths)}

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the correlations with the true similarities, or without them how often the similar text is found.

        `accuracy` is the share of first texts that are more similar to their second text than to their negative; for pairs, than
        to the second text of all other examples. `mrr` is the mean of 1 / the rank of the second text.
        """
        from bertkit.metrics.weighted import WeightedCorrelations, WeightedMeans

        refuse_average(self.name, average)
        numbers = np.arange(len(truths))
        if all(truth is not None for truth in truths):
            return WeightedCorrelations(len(truths), [answer[0] for answer in answers], list(truths), numbers)
        if not all(truth is None for truth in truths):
            raise UsageError("Some examples have a similarity and others have none: pass one for all, or for none.")
        found = [answer["similarities"] for answer in answers]
        if all(len(similarities) == 2 for similarities in found):
            return WeightedMeans(len(truths), {"accuracy": (numbers, np.array([a > b for a, b in found], np.float64))})
        ranks = _ranks(*(np.array([answer["vectors"][side] for answer in answers], np.float32) for side in (0, 1)))
        return WeightedMeans(
            len(truths), {"accuracy": (numbers, (ranks == 1).astype(np.float64)), "mrr": (numbers, 1 / ranks)}
        )

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the similarities; one number for a pair."""
        found = answer["similarities"] if isinstance(answer, dict) else answer
        if len(found) == 1:
            return Prediction(truth, found[0])
        return Prediction(truth, found, correct=found[0] > found[1])

    def save(self, folder: Path, options: SimilarityOptions) -> None:
        """Write the files with which sentence-transformers and bertkit compute the same vectors as in training."""
        if self.place is not None and MODULES in self.place.files:
            write_recipe(self.place, folder)
            return
        length = self.row_length(replace(options, pooling="auto"))
        write_mean(folder, self.config.hidden_size, length)


def _ranks(first: Array, second: Array) -> Array:
    """Return the rank of each second vector among all second vectors, by its similarity to the first vector, [n, D] -> [n].

    >>> _ranks(np.eye(2), np.array([[1.0, 1.0], [0.0, 1.0]]))
    array([1, 1])
    """
    first, second = unit(first), unit(second)
    found = []
    for at in range(0, len(first), _AT_ONCE):
        scores = first[at : at + _AT_ONCE] @ second.T
        own = scores[np.arange(len(scores)), at + np.arange(len(scores))]
        found.append(1 + (scores > own[:, None]).sum(1))
    return np.concatenate(found)
