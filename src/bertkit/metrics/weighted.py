"""Metrics of examples with weights, for bootstrap intervals.

A resample draws examples with replacement. It is a weight for each example: how often it was drawn. The classes here keep a few
numbers per example, so that the scores of a resample are a few sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertkit.errors import one_of
from bertkit.metrics.counts import AVERAGES
from bertkit.metrics.inputs import Numbers, number_array, same_length
from bertkit.metrics.schemes import LENIENT, Scheme, spans

Ints = NDArray[np.int64]
UNDEFINED = float("nan")


class WeightedMetric(ABC):
    """The scores of examples with weights."""

    def __init__(self, size: int, extra: Mapping[str, float] | None = None) -> None:
        self.size = size  # number of examples
        self.extra = dict(extra or {})  # scores without an interval, such as counts

    @abstractmethod
    def scores(self, weights: Numbers) -> dict[str, float]:
        """Return the scores. A score that is undefined for these weights is nan.

        Args:
            weights: [N], how often each example counts.
        """

    def compute(self) -> dict[str, float]:
        """Return the scores if each example counts once."""
        return {**self.scores(np.ones(self.size)), **self.extra}


class WeightedMeans(WeightedMetric):
    """Means of values, for example the accuracy as the mean of zeros and ones.

    >>> metric = WeightedMeans(3, {"accuracy": (np.arange(3), np.array([1.0, 0.0, 1.0]))})
    >>> metric.compute(), metric.scores(np.array([0.0, 1.0, 1.0]))
    ({'accuracy': 0.6666666666666666}, {'accuracy': 0.5})

    Args:
        size: the number of examples.
        values: name of the score -> the example of each value, and the values.
        extra: scores without an interval.
    """

    def __init__(
        self, size: int, values: Mapping[str, tuple[Ints, Numbers]], extra: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(size, extra)
        self._sums = {  # name -> the sum and the number of values of each example
            name: (np.bincount(examples, own, size), np.bincount(examples, minlength=size).astype(np.float64))
            for name, (examples, own) in values.items()
        }

    def scores(self, weights: Numbers) -> dict[str, float]:
        """Return the weighted means. A mean without values is 0, a mean of values without weight is nan."""
        found = {}
        for name, (sums, counts) in self._sums.items():
            total = float(weights @ counts)
            found[name] = float(weights @ sums) / total if total else UNDEFINED if counts.any() else 0.0
        return found


class Events(NamedTuple):
    """Occurrences of classes in examples."""

    examples: Ints  # [E]
    classes: Ints  # [E]

    def counts(self, weights: Numbers, classes: int) -> Numbers:
        """Return how often each class occurs."""
        found: Numbers = np.bincount(self.classes, weights[self.examples], classes).astype(np.float64)
        return found


class WeightedCounts(WeightedMetric):
    """Accuracy, precision, recall and F1 of classes, from the occurrences of each class.

    Args:
        size: the number of examples.
        classes: the number of classes.
        events: the correct predictions, all predictions and the references.
        accuracy: the example of each decision, and 1 if it is correct.
        average: "macro", "weighted", "micro", or "binary" for the class 1.
        every_class: whether classes without predictions and references count in the mean over classes.
        also: further scores: "matthews_correlation", "f1_micro", "f1_macro".
    """

    def __init__(
        self,
        size: int,
        classes: int,
        events: tuple[Events, Events, Events],
        accuracy: tuple[Ints, Numbers],
        average: str,
        *,
        every_class: bool = False,
        also: Sequence[str] = (),
    ) -> None:
        super().__init__(size)
        one_of("average", average, ("binary", *AVERAGES))
        self._classes, self._events, self._average, self._every_class = classes, events, average, every_class
        self._accuracy, self._also = WeightedMeans(size, {"accuracy": accuracy}), also

    def scores(self, weights: Numbers) -> dict[str, float]:
        """Return `accuracy`, `precision`, `recall`, `f1`, and the further scores."""
        right, predicted, actual = (events.counts(weights, self._classes) for events in self._events)
        found = self._accuracy.scores(weights)
        triple = self._averaged(right, predicted, actual, self._average)
        found |= zip(("precision", "recall", "f1"), triple, strict=True)
        for name in self._also:
            if name == "matthews_correlation":
                found[name] = _matthews(right, predicted, actual)
            else:
                found[name] = self._averaged(right, predicted, actual, name.removeprefix("f1_"))[2]
        return found

    def _averaged(self, right: Numbers, predicted: Numbers, actual: Numbers, kind: str) -> tuple[float, float, float]:
        if kind == "micro":
            right, predicted, actual = (counts.sum(keepdims=True) for counts in (right, predicted, actual))
        rows = _ratios(right, predicted), _ratios(right, actual), _ratios(2 * right, predicted + actual)
        if kind in ("micro", "binary"):
            at = 0 if kind == "micro" else 1
            return float(rows[0][at]), float(rows[1][at]), float(rows[2][at])
        if kind == "weighted":
            shares = actual
        else:
            shares = np.ones(len(actual)) if self._every_class else ((predicted + actual) > 0).astype(float)
        total = float(shares.sum()) or 1.0
        return float(rows[0] @ shares) / total, float(rows[1] @ shares) / total, float(rows[2] @ shares) / total


class WeightedNumbers(WeightedMetric):
    """The correlations of Pearson and Spearman, and the mean errors, as `Regression` computes them.

    Args:
        size: the number of examples.
        predictions: numbers.
        references: numbers.
        examples: the example of each number.
    """

    def __init__(self, size: int, predictions: ArrayLike, references: ArrayLike, examples: Ints) -> None:
        super().__init__(size)
        self._first, self._second = number_array(predictions, "predictions"), number_array(references, "references")
        same_length(self._first, self._second, "numbers")
        self._examples = examples
        self._ranks = [np.unique(values, return_inverse=True)[1] for values in (self._first, self._second)]
        both = np.array([self._first, self._second])
        self._is_finite, self._is_ordered = bool(np.isfinite(both).all()), not bool(np.isnan(both).any())
        with np.errstate(over="ignore", invalid="ignore"):  # infinities lead to infinities or nan, without warnings
            self._squares, self._distances = (self._first - self._second) ** 2, abs(self._first - self._second)

    @np.errstate(over="ignore", invalid="ignore")
    def scores(self, weights: Numbers) -> dict[str, float]:
        """Return `pearson`, `spearmanr`, `mse` and `mae`."""
        own = weights[self._examples]
        total = float(own.sum())
        used = own > 0
        ranks = [_weighted_ranks(which, own) for which in self._ranks]
        return {
            "pearson": _pearson(self._first, self._second, own, used) if self._is_finite else UNDEFINED,
            "spearmanr": _pearson(ranks[0], ranks[1], own, used) if self._is_ordered else UNDEFINED,
            "mse": float(own[used] @ self._squares[used]) / total if total else UNDEFINED,
            "mae": float(own[used] @ self._distances[used]) / total if total else UNDEFINED,
        }


class WeightedCorrelations(WeightedNumbers):
    """The correlations only, of numbers with another scale than the references.

    >>> numbers = WeightedCorrelations(3, [0.1, 0.2, 0.4], [1, 2, 5], np.arange(3))
    >>> {name: round(value, 3) for name, value in numbers.compute().items()}
    {'spearmanr': 1.0, 'pearson': 0.996}
    """

    def scores(self, weights: Numbers) -> dict[str, float]:
        """Return `spearmanr` and `pearson`."""
        found = super().scores(weights)
        return {name: found[name] for name in ("spearmanr", "pearson")}


# Metrics from predictions and references.


def label_metric(predictions: Sequence[int], references: Sequence[int], classes: int, average: str) -> WeightedCounts:
    """Return the metric of one label per example.

    >>> metric = label_metric([0, 1, 1, 0], [0, 1, 0, 0], 2, "binary")
    >>> {name: round(value, 3) for name, value in metric.compute().items()}
    {'accuracy': 0.75, 'precision': 0.5, 'recall': 1.0, 'f1': 0.667, 'matthews_correlation': 0.577}
    """
    first, second = [[one] for one in predictions], [[one] for one in references]
    return _of_labels(first, second, classes, average, ("matthews_correlation",))


def tag_metric(
    predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]], classes: int, average: str
) -> WeightedCounts:
    """Return the metric of one label per token. A prediction of -1 means that the token has none, which is wrong."""
    for row, (predicted, actual) in enumerate(zip(predictions, references, strict=True)):
        same_length(predicted, actual, f"tokens of text {row}")
    return _of_labels(predictions, references, classes, average, ())


def _of_labels(
    predictions: Sequence[Sequence[int]],
    references: Sequence[Sequence[int]],
    classes: int,
    average: str,
    also: Sequence[str],
) -> WeightedCounts:
    examples = _owners(references)
    first = np.array(list(chain.from_iterable(predictions)), np.int64)
    second = np.array(list(chain.from_iterable(references)), np.int64)
    right, known = first == second, first >= 0
    events = (
        Events(examples[right], second[right]),
        Events(examples[known], first[known]),
        Events(examples, second),
    )
    return WeightedCounts(len(references), classes, events, (examples, right.astype(np.float64)), average, also=also)


def multi_label_metric(predictions: ArrayLike, references: ArrayLike, average: str) -> WeightedCounts:
    """Return the metric of any number of labels per example, from zeros and ones [N, C].

    `accuracy` is the share of examples whose labels are all correct.
    """
    first, second = np.asarray(predictions, bool), np.asarray(references, bool)
    events = Events(*np.nonzero(first & second)), Events(*np.nonzero(first)), Events(*np.nonzero(second))
    right = (first == second).all(axis=1).astype(np.float64)
    return WeightedCounts(
        len(first),
        first.shape[1],
        events,
        (np.arange(len(first)), right),
        average,
        every_class=True,
        also=("f1_micro", "f1_macro"),
    )


def entity_metric(
    predictions: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    average: str = "micro",
    scheme: Scheme = LENIENT,
) -> WeightedCounts:
    """Return the metric of entities, from a tag for each token of each text. `accuracy` is that of the tags.

    >>> entity_metric([["B-PER", "I-PER", "O"]], [["B-PER", "I-PER", "B-LOC"]]).compute()["precision"]
    1.0
    """
    right: list[tuple[int, str]] = []  # the text and the type of each entity
    predicted: list[tuple[int, str]] = []
    actual: list[tuple[int, str]] = []
    for row, (ours, theirs) in enumerate(zip(predictions, references, strict=True)):
        same_length(ours, theirs, f"tokens of text {row}")
        found, wanted = spans(ours, scheme), spans(theirs, scheme)
        right += [(row, entity.type) for entity in set(found) & set(wanted)]
        predicted += [(row, entity.type) for entity in found]
        actual += [(row, entity.type) for entity in wanted]
    types = {name: number for number, name in enumerate(sorted({name for _, name in predicted + actual}))}

    def events(pairs: list[tuple[int, str]]) -> Events:
        rows, names = np.array([row for row, _ in pairs], np.int64), [types[name] for _, name in pairs]
        return Events(rows, np.array(names, np.int64))

    tags = zip(predictions, references, strict=True)
    accuracy = shares([[one == other for one, other in zip(*rows, strict=True)] for rows in tags])
    counts = events(right), events(predicted), events(actual)
    return WeightedCounts(len(references), len(types), counts, accuracy, average)


def accuracy_metric(right: Sequence[Sequence[bool]]) -> WeightedMeans:
    """Return the metric of decisions that are correct or wrong, one or several for each example.

    >>> accuracy_metric([[True], [False], [True, True]]).compute()
    {'accuracy': 0.75}
    """
    return WeightedMeans(len(right), {"accuracy": shares(right)})


def number_metric(predictions: Sequence[Sequence[float]], references: Sequence[Sequence[float]]) -> WeightedNumbers:
    """Return the metric of numbers, one or several for each example.

    >>> number_metric([[1.0], [2.0, 4.0]], [[1.0], [2.0, 5.0]]).compute()["mae"]
    0.3333333333333333
    """
    for row, (predicted, actual) in enumerate(zip(predictions, references, strict=True)):
        same_length(predicted, actual, f"numbers of example {row}")
    first, second = (np.array(list(chain.from_iterable(rows)), np.float64) for rows in (predictions, references))
    return WeightedNumbers(len(references), first, second, _owners(references))


def shares(right: Sequence[Sequence[float]]) -> tuple[Ints, Numbers]:
    """Return the example of each value, and the values, for `WeightedMeans`."""
    return _owners(right), np.array(list(chain.from_iterable(right)), np.float64)


def _owners(rows: Sequence[Sequence[Any]]) -> Ints:
    """Return the number of the row of each item."""
    return np.repeat(np.arange(len(rows)), np.array([len(row) for row in rows], np.int64))


# Sums.


def _ratios(part: Numbers, whole: Numbers) -> Numbers:
    """Return part / whole, or 0 where the whole is 0."""
    found: Any = np.zeros(len(part))
    np.divide(part, whole, out=found, where=whole > 0)
    return found  # type: ignore[no-any-return]


def _matthews(right: Numbers, predicted: Numbers, actual: Numbers) -> float:
    """Return the Matthews correlation, as `metrics.classification` computes it."""
    total = float(actual.sum())
    both = float(right.sum()) * total - float(predicted @ actual)
    spread = (total**2 - float(predicted @ predicted)) * (total**2 - float(actual @ actual))
    return both / float(np.sqrt(spread)) if spread > 0 else 0.0


def _weighted_ranks(which: Ints, weights: Numbers) -> Numbers:
    """Return the rank of each value if it occurs as often as its weight. Equal values get their mean rank."""
    times = np.bincount(which, weights)
    ranks: Numbers = (np.cumsum(times) - (times - 1) / 2)[which]
    return ranks


def _pearson(first: Numbers, second: Numbers, weights: Numbers, used: NDArray[np.bool_]) -> float:
    first, second, weights = first[used], second[used], weights[used]
    if not len(first) or (first == first[0]).all() or (second == second[0]).all():
        return UNDEFINED
    first, second = _centred(first, weights), _centred(second, weights)
    spread = float(weights @ first**2) * float(weights @ second**2)
    return float(np.clip(float((weights * first) @ second) / np.sqrt(spread), -1, 1))


def _centred(values: Numbers, weights: Numbers) -> Numbers:
    """Shift to mean 0 and scale to maximum 1, so that no square overflows or underflows."""
    centred = values - float(weights @ values) / float(weights.sum())
    scaled: Numbers = centred / abs(centred).max()
    return scaled
