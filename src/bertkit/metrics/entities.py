"""Metrics for entities. An entity is correct if its type, its first and its last token are correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertkit.errors import UsageError
from bertkit.metrics.counts import Counts, Scores, ratio
from bertkit.metrics.inputs import IGNORED, same_length
from bertkit.metrics.schemes import scheme_named, spans


class EntityScores:
    """Precision, recall and F1 of entities, and the accuracy of tags, over a stream of batches.

    >>> scores = EntityScores()
    >>> scores.update([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "O", "O"]])
    >>> {name: round(value, 4) for name, value in scores.compute().items()}
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6667, 'accuracy': 0.75}
    >>> scores.by_type()["PER"]
    Scores(precision=1.0, recall=1.0, f1=1.0, support=1)

    Args:
        scheme: the tagging scheme, see `entity_spans`. None is like the default mode of seqeval, a name like its strict mode.
        labels: the tag of each number (a list, or the `id2label` of a configuration), if tags are passed as numbers.
    """

    def __init__(self, scheme: str | None = None, labels: Sequence[str] | Mapping[int, str] | None = None) -> None:
        self._scheme = scheme_named(scheme)
        self._labels = _numbered(labels)
        self._counts = Counts()
        self._tokens = 0
        self._right_tokens = 0

    def update(self, predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]]) -> None:
        """Add a batch.

        Args:
            predictions: a tag for each token of each text: strings such as "B-PER", or numbers if `labels` was passed. Either
                lists of different lengths, or a padded array [N, T].
            references: the same; tokens with the reference -100 are ignored.
        """
        same_length(predictions, references, "texts")
        for row, (predicted, actual) in enumerate(zip(predictions, references, strict=True)):
            same_length(predicted, actual, f"tokens of text {row}")
            self._add(*self._tags(predicted, actual))

    def _add(self, predicted: list[str], actual: list[str]) -> None:
        self._tokens += len(actual)
        self._right_tokens += sum(one == other for one, other in zip(predicted, actual, strict=True))
        found, wanted = spans(predicted, self._scheme), spans(actual, self._scheme)
        self._counts.predicted.update(entity.type for entity in found)
        self._counts.actual.update(entity.type for entity in wanted)
        self._counts.right.update(entity.type for entity in set(found) & set(wanted))

    def _tags(self, predicted: Sequence[Any], actual: Sequence[Any]) -> tuple[list[str], list[str]]:
        """Return the tags of predictions and references, without ignored tokens."""
        rows = [values.tolist() if isinstance(values, np.ndarray) else values for values in (predicted, actual)]
        counted = [pair for pair in zip(*rows, strict=True) if pair[1] != IGNORED]
        return [self._tag(one) for one, _ in counted], [self._tag(other) for _, other in counted]

    def _tag(self, label: Any) -> str:
        if isinstance(label, str):
            return label
        if self._labels is None:
            raise UsageError(f"{label!r} is not a tag such as 'B-PER'. For numbers pass labels=config.id2label.")
        if label not in self._labels:
            raise UsageError(f"Unknown label {label!r}. Accepted: {_few(self._labels)}, and {IGNORED} in references.")
        return self._labels[int(label)]

    def compute(self, average: str = "micro") -> dict[str, float]:
        """Return `precision`, `recall` and `f1` of the entities, and the `accuracy` of the tags.

        Args:
            average: "micro": all types counted together, the usual score; "macro": the mean over types; "weighted": the mean
                weighted by the number of references of each type.
        """
        precision, recall, f1, _ = self._counts.average(average)
        return {"precision": precision, "recall": recall, "f1": f1, "accuracy": ratio(self._right_tokens, self._tokens)}

    def by_type(self) -> dict[str, Scores]:
        """Return precision, recall, F1 and support of each type."""
        return {str(name): scores for name, scores in self._counts.by_class().items()}


def _numbered(labels: Sequence[str] | Mapping[int, str] | None) -> dict[int, str] | None:
    if labels is None:
        return None
    pairs = labels.items() if isinstance(labels, Mapping) else enumerate(labels)
    return {int(number): tag for number, tag in pairs}  # in JSON the numbers are strings


def _few(labels: Mapping[int, str]) -> str:
    numbers = sorted(labels)
    return ", ".join(map(str, numbers)) if len(numbers) < 10 else f"{numbers[0]} to {numbers[-1]}"


def entity_scores(
    predictions: Sequence[Sequence[Any]],
    references: Sequence[Sequence[Any]],
    scheme: str | None = None,
    labels: Sequence[str] | Mapping[int, str] | None = None,
    average: str = "micro",
) -> dict[str, float]:
    """Return `precision`, `recall` and `f1` of entities, and the `accuracy` of tags: `EntityScores` in one call.

    >>> entity_scores([[1, 2, 0]], [[1, 2, -100]], labels=["O", "B-PER", "I-PER"])
    {'precision': 1.0, 'recall': 1.0, 'f1': 1.0, 'accuracy': 1.0}
    """
    scores = EntityScores(scheme, labels)
    scores.update(predictions, references)
    return scores.compute(average)
