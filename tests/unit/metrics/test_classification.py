"""Accuracy, precision, recall, F1 and the Matthews correlation compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from bertkit import metrics
from bertkit.errors import UsageError

AVERAGES = ("micro", "macro", "weighted")
PAIRS = st.integers(1, 5).flatmap(
    lambda classes: st.lists(st.tuples(st.integers(0, classes), st.integers(0, classes)), min_size=1, max_size=30)
)


def sklearn_scores(predictions: list[int], references: list[int], average: str) -> list[float]:
    scores = sklearn.metrics.precision_recall_fscore_support(references, predictions, average=average, zero_division=0)
    return [float(score) for score in scores[:3]]


def our_scores(predictions: list[int], references: list[int], average: str) -> list[float]:
    functions = (metrics.precision, metrics.recall, metrics.f1)
    return [function(predictions, references, average) for function in functions]


@given(PAIRS, st.sampled_from(AVERAGES))
def test_any_number_of_classes(pairs: list[tuple[int, int]], average: str) -> None:
    predictions, references = map(list, zip(*pairs, strict=True))
    assert our_scores(predictions, references, average) == pytest.approx(
        sklearn_scores(predictions, references, average)
    )
    assert metrics.accuracy(predictions, references) == pytest.approx(
        sklearn.metrics.accuracy_score(references, predictions)
    )


@given(PAIRS)
def test_matthews(pairs: list[tuple[int, int]]) -> None:
    predictions, references = map(list, zip(*pairs, strict=True))
    if len({*predictions, *references}) == 1:  # scikit-learn warns and returns 0
        assert metrics.matthews_correlation(predictions, references) == 0
    else:
        assert metrics.matthews_correlation(predictions, references) == pytest.approx(
            sklearn.metrics.matthews_corrcoef(references, predictions)
        )


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_two_classes(pairs: list[tuple[int, int]]) -> None:
    predictions, references = map(list, zip(*pairs, strict=True))
    assert our_scores(predictions, references, "binary") == pytest.approx(
        sklearn_scores(predictions, references, "binary")
    )


@given(PAIRS, st.integers(1, 7))
def test_batches_and_one_call_are_equal(pairs: list[tuple[int, int]], size: int) -> None:
    whole, stream = metrics.Classification(), metrics.Classification()
    predictions, references = np.array(pairs).T
    whole.update(predictions, references)
    for start in range(0, len(pairs), size):
        stream.update(predictions[start : start + size], references[start : start + size])
    assert stream.compute() == whole.compute()
    assert stream.by_class() == whole.by_class()


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(st.booleans(), min_size=2 * width, max_size=2 * width), min_size=1, max_size=12)
    ),
    st.sampled_from(AVERAGES),
)
def test_many_labels(rows: list[list[bool]], average: str) -> None:
    width = len(rows[0]) // 2
    predictions, references = np.array(rows)[:, :width].astype(int), np.array(rows)[:, width:].astype(int)
    scores = metrics.MultiLabelClassification(average)
    for row in range(len(rows)):
        scores.update(predictions[row : row + 1], references[row : row + 1])
    if width == 1:  # scikit-learn treats one column as binary labels
        predictions, references = np.pad(predictions, ((0, 0), (0, 1))), np.pad(references, ((0, 0), (0, 1)))
        average = "weighted" if average == "macro" else average
    expected = sklearn_scores(predictions, references, average)  # type: ignore[arg-type]
    found = scores.compute()
    if not (width == 1 and average == "weighted"):
        assert [found["precision"], found["recall"], found["f1"]] == pytest.approx(expected)
    assert found["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(references, predictions))


def test_strings_and_shapes() -> None:
    assert metrics.f1(["yes", "no"], ["yes", "yes"], positive="yes") == pytest.approx(2 / 3)
    assert metrics.accuracy(np.zeros((2, 3), np.uint8), [[0, 1, -100], [-100, 0, 0]]) == 0.75


def test_no_examples() -> None:
    expected = dict.fromkeys(["accuracy", "precision", "recall", "f1", "matthews_correlation"], 0.0)
    for average in ("binary", *AVERAGES):
        assert metrics.Classification(average).compute() == expected
    assert metrics.accuracy([], []) == 0
    assert metrics.accuracy([3], [-100]) == 0
    assert metrics.MultiLabelClassification().compute() == {"accuracy": 0, "precision": 0, "recall": 0, "f1": 0}


def test_counts_are_exact_for_long_streams() -> None:
    """The squares of the counts exceed 2**63."""
    scores = metrics.Classification()
    for _ in range(3):
        scores.update([0, 1], [0, 1])
    for counter in (scores._counts.right, scores._counts.predicted, scores._counts.actual):
        for name in counter:
            counter[name] *= 10**12
    assert scores.compute()["matthews_correlation"] == 1


@pytest.mark.parametrize(
    ("predictions", "references", "match"),
    [
        ([[0.1, 0.9]], [1], "argmax"),
        ([[1, 0]], [1], "argmax"),
        ([1, 0], [1], "Pass one prediction for each reference"),
        ([[1], [1, 2]], [[1], [1, 2]], "different lengths"),
        ([1], ["yes"], "same kind"),
        (1, 1, "an array or a list"),
        ([0, 1, 2], [0, 1, 2], "two classes"),
    ],
)
def test_invalid_arguments(predictions: object, references: object, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        metrics.f1(predictions, references)  # type: ignore[arg-type]


def test_invalid_options() -> None:
    with pytest.raises(UsageError, match="Did you mean 'macro'"):
        metrics.f1([1], [1], average="makro")
    with pytest.raises(UsageError, match="scores > 0.5"):
        metrics.MultiLabelClassification().update([[0.2, 0.7]], [[0, 1]])
