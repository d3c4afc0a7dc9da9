"""Entities and their scores compared with seqeval, in its default and its strict mode."""

from __future__ import annotations

import numpy as np
import pytest
import seqeval.metrics
import seqeval.scheme
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit import metrics
from bertkit.errors import UsageError

LETTERS = {"IOB1": "BI", "IOB2": "BI", "IOE1": "IE", "IOE2": "IE", "IOBES": "BIES", "BILOU": "BILU"}
SCHEMES = [None, *LETTERS]
AVERAGES = ("micro", "macro", "weighted")


def tags(scheme: str | None) -> st.SearchStrategy[str]:
    words = [f"{letter}-{kind}" for letter in LETTERS.get(scheme or "IOBES", "") for kind in ("PER", "ORG-X")]
    return st.sampled_from(["O", *words, *LETTERS.get(scheme or "IOBES", "")])


def texts(scheme: str | None) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    """Generate texts whose tokens have a predicted and a true tag, which are usually equal."""
    tag = tags(scheme)
    token = st.one_of(tag.map(lambda each: (each, each)), st.tuples(tag, tag))
    return st.lists(st.lists(token, max_size=9), min_size=1, max_size=4)


def seqeval_spans(tags: list[str], scheme: str | None) -> list[tuple[str, int, int]]:
    if scheme is None:  # seqeval's end is the last token of an entity
        return [(kind, start, end + 1) for kind, start, end in seqeval.metrics.sequence_labeling.get_entities(tags)]
    found = seqeval.scheme.Tokens(tags, getattr(seqeval.scheme, scheme)).entities
    return [(each.tag, each.start, each.end) for each in found]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_entities(scheme: str | None) -> None:
    @given(st.lists(tags(scheme), max_size=12))
    @settings(max_examples=300)
    def check(tags: list[str]) -> None:
        assert [tuple(each) for each in metrics.entity_spans(tags, scheme)] == seqeval_spans(tags, scheme)

    check()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("average", AVERAGES)
def test_scores(scheme: str | None, average: str) -> None:
    @given(texts(scheme))
    @settings(max_examples=40)
    def check(texts: list[list[tuple[str, str]]]) -> None:
        predictions = [[one for one, _ in text] for text in texts]
        references = [[other for _, other in text] for text in texts]
        strict = {} if scheme is None else {"mode": "strict", "scheme": getattr(seqeval.scheme, scheme)}
        scores = (seqeval.metrics.precision_score, seqeval.metrics.recall_score, seqeval.metrics.f1_score)
        found = metrics.entity_scores(predictions, references, scheme, average=average)
        if any(metrics.entity_spans(each, scheme) for each in predictions + references):
            expected = [score(references, predictions, average=average, zero_division=0, **strict) for score in scores]
        else:  # without entities, seqeval warns and returns nan
            expected = [0, 0, 0]
        assert [found["precision"], found["recall"], found["f1"]] == pytest.approx(expected)
        if any(references):
            assert found["accuracy"] == pytest.approx(seqeval.metrics.accuracy_score(references, predictions))

    check()


def test_each_type() -> None:
    references = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O", "B-PER"]]
    predictions = [["B-PER", "I-PER", "O", "B-ORG"], ["B-LOC", "O", "O"]]
    scores = metrics.EntityScores()
    for one, other in zip(predictions, references, strict=True):
        scores.update([one], [other])
    expected = seqeval.metrics.classification_report(references, predictions, output_dict=True, zero_division=0)
    found = scores.by_type()
    assert list(found) == ["LOC", "ORG", "PER"]
    for kind, each in found.items():
        assert [*each] == pytest.approx([*expected[kind].values()])


def test_numbers_with_labels() -> None:
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    predictions, references = np.array([[0, 1, 2, 0], [1, 1, 0, 9]]), np.array([[-100, 1, 2, 0], [1, 0, 0, -100]])
    found = metrics.entity_scores(predictions, references, "IOB2", labels)
    assert found == metrics.entity_scores(
        [["B-PER", "I-PER", "O"], ["B-PER", "B-PER", "O"]], [["B-PER", "I-PER", "O"], ["B-PER", "O", "O"]], "IOB2"
    )
    assert found == metrics.entity_scores(predictions, references, "bio", {str(key): labels[key] for key in labels})  # type: ignore[misc]
    assert found["precision"] == pytest.approx(2 / 3)


def test_no_entities() -> None:
    nothing = {"precision": 0, "recall": 0, "f1": 0, "accuracy": 0}
    assert metrics.EntityScores().compute() == metrics.EntityScores().compute("macro") == nothing
    assert metrics.entity_scores([[]], [[]]) == nothing
    assert metrics.entity_scores([["O"]], [["O"]]) == {**nothing, "accuracy": 1}


@pytest.mark.parametrize(
    ("predictions", "references", "options", "match"),
    [
        ([["O"]], [["O"], ["O"]], {}, "texts: 1 predictions for 2 references"),
        ([["O"], ["O"]], [["O"], ["O", "O"]], {}, "tokens of text 1: 1 predictions for 2"),
        ([["PER"]], [["O"]], {}, "'PER' is not a tag"),
        ([["LABEL_0"]], [["O"]], {}, "'LABEL_0' is not a tag"),
        ([["U-PER"]], [["O"]], {}, "scheme="),
        ([["E-PER"]], [["O"]], {"scheme": "IOB2"}, "letters B, I and"),
        ([["O"]], [["O"]], {"scheme": "IOB3"}, "Did you mean 'IOB"),
        ([["O"]], [["O"]], {"average": "mean"}, "average='mean' is invalid"),
        ([[0]], [[0]], {}, "labels=config.id2label"),
        ([[3]], [[0]], {"labels": ["O", "B-X"]}, "Unknown label 3. Accepted: 0, 1, and -100"),
        ([[0]], [[11]], {"labels": ["O"] * 10}, "Accepted: 0 to 9"),
    ],
)
def test_invalid_arguments(predictions: object, references: object, options: dict[str, object], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        metrics.entity_scores(predictions, references, **options)  # type: ignore[arg-type]
