"""The sections that depend on the task: what the model answered, compared with the truth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bertkit.metrics import Calibration, Classification, EntityScores, MultiLabelClassification, Scores
from bertkit.metrics.schemes import LENIENT, SCHEMES, scheme_of
from bertkit.metrics.squad import word_f1_or_both_empty
from bertkit.training.record import Kind, Prediction, Record, is_finite, is_number
from bertkit.training.report import drawings
from bertkit.training.report.markup import Section, element, folded, number, paragraph, table, text
from bertkit.training.report.pictures import Pictures

_MOST_CELLS = 12  # labels of a matrix that can be read
_MOST_ROWS = 100
_MOST_BARS = 40
_MOST_PAIRS = 20
_MOST_SAMPLES = 20
_MOST_CLASSES = 1_000  # a smaller confidence is left out of the calibration


def results(record: Record, pictures: Pictures) -> Iterator[Section]:
    """The answers of the model by label, entity, number or length."""
    if record.predictions:
        yield from _RESULTS[record.kind](record, pictures)


def _classes(record: Record, pictures: Pictures) -> Iterator[Section]:
    pairs = [(str(one.truth), str(one.answer)) for one in record.predictions if one.truth is not None]
    yield from _confusions(pairs, record.labels, pictures)


def _choices(record: Record, pictures: Pictures) -> Iterator[Section]:
    found = [one for one in record.predictions if is_number(one.truth) and is_number(one.answer)]
    pairs = [(f"choice {one.truth + 1}", f"choice {one.answer + 1}") for one in found]
    yield from _confusions(pairs, sorted({name for pair in pairs for name in pair}, key=_natural), pictures)


def _natural(name: str) -> tuple[int, str]:
    return len(name), name


def _confusions(pairs: Sequence[tuple[str, str]], labels: Sequence[str], pictures: Pictures) -> Iterator[Section]:
    """A matrix for a few labels, otherwise the most confused pairs; then the scores of each label."""
    if not pairs:
        return
    seen = {name for pair in pairs for name in pair}
    names = [*labels, *sorted(seen - set(labels))]
    counted = Counter(pairs)
    if len(names) <= _MOST_CELLS:
        counts = np.array([[counted[truth, answer] for answer in names] for truth in names])
        size = 2.2 + 0.42 * max(len(names), 3)
        paint = partial(drawings.confusion, counts=counts, labels=names)
        picture = pictures.draw("confusion", "Examples by truth and answer", paint, (size + 0.9, size))
        rows = [[name, *row] for name, row in zip(names, counts.tolist(), strict=True)]
        numbers = table(["truth \\ answer", *names], rows, "The number of examples by truth and answer.")
        yield Section("confusion", "Confusion matrix", picture + folded("Numbers", numbers, not picture))
    else:
        yield Section("confusion", "Most confused labels", _most_confused(counted))
    metric = Classification()
    metric.update([answer for _, answer in pairs], [truth for truth, _ in pairs])
    yield Section("labels", "Scores by label", _by_label(_named(metric.by_class()), pictures))


def _most_confused(counted: Mapping[tuple[str, str], int]) -> str:
    wrong = Counter({pair: count for pair, count in counted.items() if pair[0] != pair[1]})
    if not wrong:
        return paragraph("No label was confused with another.")
    totals = Counter[str]()
    for (truth, _), count in counted.items():
        totals[truth] += count
    rows = [[*pair, count, count / totals[pair[0]]] for pair, count in wrong.most_common(_MOST_PAIRS)]
    return table(["truth", "answer", "examples", "share of the truth"], rows)


def _named(scores: Mapping[Any, Scores]) -> dict[str, Scores]:
    return {str(name): row for name, row in scores.items()}


def _by_label(scores: Mapping[str, Scores], pictures: Pictures, thresholds: Mapping[str, Any] | None = None) -> str:
    """A table of the scores of each label, the most frequent first, and a picture of their F1."""
    order = sorted(scores, key=lambda name: (-scores[name].support, name))[:_MOST_ROWS]
    head = ["label", "F1", "precision", "recall", *(["threshold"] if thresholds else []), "examples"]
    rows = [_label_row(name, scores[name], thresholds) for name in order]
    left = len(scores) - len(order)
    note = paragraph(f"{left:,} rarer labels are not shown.", "muted") if left else ""
    picture = ""
    if len(scores) > 2:
        best_first = dict(sorted(((name, scores[name].f1) for name in order[:_MOST_BARS]), key=lambda each: -each[1]))
        picture = pictures.draw(
            "labels",
            "F1 by label",
            partial(drawings.bars, values=best_first, x="F1"),
            (4.4, 0.8 + 0.2 * len(best_first)),
        )
    return f'<div class="figures"><div>{table(head, rows)}{note}</div>{picture}</div>'


def _label_row(name: str, scores: Scores, thresholds: Mapping[str, Any] | None) -> list[object]:
    threshold = [thresholds.get(name)] if thresholds else []
    return [name, scores.f1, scores.precision, scores.recall, *threshold, scores.support]


def _several_labels(record: Record, pictures: Pictures) -> Iterator[Section]:
    pairs = [(_names(one.truth), _names(one.answer)) for one in record.predictions]
    seen = {name for pair in pairs for names in pair for name in names}
    labels = [*record.labels, *sorted(seen - set(record.labels))]
    metric = MultiLabelClassification()
    metric.update(*([[name in pair[side] for name in labels] for pair in pairs] for side in (1, 0)))
    scores = {labels[int(str(place))]: row for place, row in metric.by_class().items()}
    yield Section("labels", "Scores by label", _by_label(scores, pictures, record.thresholds))
    missed = Counter(
        (truth, answer) for truths, answers in pairs for truth in truths - answers for answer in answers - truths
    )
    if missed:
        rows = [[*pair, count] for pair, count in missed.most_common(_MOST_PAIRS)]
        yield Section("confusion", "Most confused labels", table(["missing label", "wrong label", "examples"], rows))
    sizes = Counter((len(truths), len(answers)) for truths, answers in pairs)
    rows = [[truth, answer, count] for (truth, answer), count in sorted(sizes.items())]
    counts = table(["true labels", "labels in the answer", "examples"], rows)
    yield Section("counts", "Number of labels", folded("Numbers", counts, len(rows) < 12))


def _names(value: object) -> set[str]:
    return {str(name) for name in value} if isinstance(value, list) else set() if value is None else {str(value)}


def _numbers(record: Record, pictures: Pictures) -> Iterator[Section]:
    both = ((one.truth, one.answer) for one in record.predictions)
    pairs = np.array([(truth, answer) for truth, answer in both if is_finite(truth) and is_finite(answer)])
    if not len(pairs):
        return
    shown = pairs[:: -(-len(pairs) // 2_000)]
    paint = partial(drawings.scatter, truths=shown[:, 0], answers=shown[:, 1])
    picture = pictures.draw("scatter", "Truth and answer of each example; equal on the dashed line", paint, (4.4, 3.6))
    errors = pairs[:, 1] - pairs[:, 0]
    rows = [
        [f"{place}%", *(float(np.percentile(values, place)) for values in (*pairs.T, errors))]
        for place in (0, 5, 25, 50, 75, 95, 100)
    ]
    numbers = table(["quantile", "truth", "answer", "error"], rows)
    yield Section("scatter", "Truth and answer", picture + folded("Quantiles", numbers, not picture))


def _tags(record: Record, pictures: Pictures) -> Iterator[Section]:
    pairs = [
        ([str(tag) for tag in one.truth], [str(tag) for tag in one.answer])
        for one in record.predictions
        if isinstance(one.truth, list) and isinstance(one.answer, list) and len(one.truth) == len(one.answer)
    ]
    if not pairs:
        return
    tags = {tag for pair in pairs for side in pair for tag in side}
    scheme = "BILOU" if scheme_of(tags) == SCHEMES["BILOU"] else None
    if scheme or all(LENIENT.tag(tag) for tag in tags):
        metric = EntityScores(scheme)
        metric.update([answer for _, answer in pairs], [truth for truth, _ in pairs])
        title, scores = "Scores by entity", metric.by_type()
    else:
        classes = Classification()
        flat = [[tag for pair in pairs for tag in pair[side]] for side in (0, 1)]
        classes.update(flat[1], flat[0])
        title, scores = "Scores by tag", _named(classes.by_class())
    if scores:
        yield Section("labels", title, _by_label(scores, pictures))
    confused = Counter(words for truth, answer in pairs for words in zip(truth, answer, strict=True))
    yield Section("confusion", "Most confused tags", _most_confused(confused))


def _texts(record: Record, pictures: Pictures) -> Iterator[Section]:
    """What the model wrote for some examples, beside the references: the best, the middle and the worst scores."""
    ranked = sorted(
        (one for one in record.predictions if one.score is not None), key=lambda one: -float(one.score or 0)
    )
    if not ranked:
        return
    places = sorted(set(np.linspace(0, len(ranked) - 1, _MOST_SAMPLES).round().astype(int).tolist()))
    items = []
    for one in (ranked[place] for place in places):
        source = one.input.get("text") if isinstance(one.input, Mapping) else one.input
        parts = [
            ("model", str(one.answer)),
            *(("reference", truth) for truth in texts(one.truth)),
            ("text", str(source)),
        ]
        shown = "".join(element("p", f"{element('b', name)} {text(value)}") for name, value in parts)
        items.append(element("li", paragraph(f"ROUGE-L {number(one.score)}, {one.where}", "muted") + shown))
    note = paragraph(f"{len(items)} of {len(ranked):,} examples, from the highest ROUGE-L to the lowest.", "muted")
    yield Section("samples", "Summaries and references", note + element("ol", "".join(items)))


def texts(truth: object) -> list[str]:
    """Return the correct answers of a question. A question without an answer has none.

    >>> texts({"answer_start": 3, "text": "Paris"}), texts(["Paris", "in Paris"]), texts(None)
    (['Paris'], ['Paris', 'in Paris'], [])
    """
    if isinstance(truth, dict):
        truth = truth.get("text")
    each = truth if isinstance(truth, list) else [truth]
    return [str(one) for one in each if one]


_WORDS = ((1, 1), (2, 2), (3, 5), (6, 10), (11, math.inf))


def _answers(record: Record, pictures: Pictures) -> Iterator[Section]:
    groups: dict[str, list[Prediction]] = {name: [] for name in ("no answer", *(_range(*each) for each in _WORDS))}
    for one in record.predictions:
        groups[_group(texts(one.truth))].append(one)
    rows = [[name, *_answer_scores(each)] for name, each in groups.items() if each]
    body = table(["true answer", "questions", "exact", "F1", "no answer given"], rows)
    if groups["no answer"]:
        counted = Counter((bool(texts(one.truth)), bool(one.answer)) for one in record.predictions)
        sides = {True: "has an answer", False: "has no answer"}
        rows = [[sides[truth], counted[truth, True], counted[truth, False]] for truth in (True, False)]
        body += table(["question", "answer given", "no answer given"], rows)
        body += "".join(paragraph(f"{name}: {number(value)}.", "muted") for name, value in record.thresholds.items())
    yield Section("answers", "Answers by length", body)


def _range(low: float, high: float) -> str:
    unit = "word" if high == 1 else "words"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}" if high < math.inf else f"{low} {unit} or more"


def _group(answers: Sequence[str]) -> str:
    if not answers:
        return "no answer"
    words = max(min(len(answer.split()) for answer in answers), 1)
    return next(_range(low, high) for low, high in _WORDS if low <= words <= high)


def _answer_scores(group: Sequence[Prediction]) -> list[float]:
    best = [
        max(word_f1_or_both_empty(str(one.answer or ""), answer) for answer in texts(one.truth) or [""])
        for one in group
    ]
    exact = [one.correct is True for one in group]
    return [len(group), sum(exact) / len(group), sum(best) / len(group), sum(not one.answer for one in group)]


_RESULTS: Mapping[Kind, Callable[[Record, Pictures], Iterator[Section]]] = {
    "classes": _classes,
    "labels": _several_labels,
    "numbers": _numbers,
    "tags": _tags,
    "answers": _answers,
    "choices": _choices,
    "texts": _texts,
}


def calibration(record: Record, pictures: Pictures) -> Iterator[Section]:
    """Whether the confidence of the answers equals their accuracy."""
    found = _confidences(record)
    if not found:
        return
    metric = _calibration(found)
    bins, scores = metric.bins(), metric.compute()
    picture = pictures.draw(
        "calibration", "Accuracy by confidence", partial(drawings.reliability, bins=bins), (4.4, 3.4)
    )
    means = f"The mean confidence is {scores['confidence']:.3f}, and the accuracy {scores['accuracy']:.3f}."
    body = paragraph(f"Expected calibration error: {scores['ece']:.4f}. {means}") + picture
    rows = [
        [f"{each.low:.2f} to {each.high:.2f}", each.size, each.confidence, each.accuracy] for each in bins if each.size
    ]
    numbers = table(["confidence", "answers", "mean confidence", "accuracy"], rows)
    yield Section("calibration", "Calibration", body + folded("Numbers", numbers, not picture))


def _confidences(record: Record) -> list[tuple[float, bool]]:
    """Return the confidence of each answer, and whether it is correct. Each of several labels is an answer: yes or no."""
    if record.kind in ("numbers", "tags"):
        return []
    if record.kind == "labels":
        return [
            (max(share, 1 - share), (share > 0.5) == (name in _names(one.truth)))
            for one in record.predictions
            for name, share in one.scores.items()
            if 0 <= share <= 1
        ]
    return [
        (one.score, one.correct)
        for one in record.predictions
        if one.correct is not None and one.score is not None and 1 / _MOST_CLASSES <= one.score <= 1
    ]


def _calibration(found: Sequence[tuple[float, bool]]) -> Calibration:
    """Count confidences. Only the largest probability matters: the rest is spread over enough other classes to be smaller."""
    metric = Calibration(bins=10)
    others = math.ceil(1 / min(confidence for confidence, _ in found))
    for start in range(0, len(found), 1_000):
        confidence, correct = (np.array(side) for side in zip(*found[start : start + 1_000], strict=True))
        rest = np.repeat((1 - confidence)[:, None] / others, others, axis=1)
        metric.update(np.hstack([confidence[:, None], rest]), np.where(correct, 0, 1))
    return metric
