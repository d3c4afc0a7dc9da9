"""The worst mistakes of the model, with their texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bertkit.training.record import Prediction, Record, is_finite, is_number
from bertkit.training.report.drawings import shortened
from bertkit.training.report.markup import Section, element, escaped, number, paragraph, text
from bertkit.training.report.pictures import Pictures
from bertkit.training.report.results import texts

_MOST = 25
_ORDER = {
    "numbers": "largest error first",
    "tags": "most wrong words first. The true tag, then the tag of the model, are after each wrong word",
}


def mistakes(record: Record, pictures: Pictures) -> Iterator[Section]:
    """The examples with the worst answers: those that were wrong with the highest confidence, or by most."""
    if not any(_is_judged(record, one) for one in record.predictions):
        return
    ranked = worst_first(record)
    if not ranked:
        yield Section("mistakes", "Worst mistakes", paragraph("The model made no mistake on the evaluation examples."))
        return
    order = _ORDER.get(record.kind, "highest confidence first")
    noun = "inexact answers" if record.kind == "numbers" else "mistakes"
    counted = f"{min(len(ranked), _MOST)} of {len(ranked):,} {noun}, {order}."
    items = "".join(f"<li>{_item(record, one)}</li>" for one in ranked[:_MOST])
    yield Section("mistakes", "Worst mistakes", paragraph(counted, "muted") + f'<ol class="mistakes">{items}</ol>')


def worst_first(record: Record) -> list[Prediction]:
    """Return the examples with a wrong answer, the worst first."""
    ranked = sorted(
        ((badness, place) for place, one in enumerate(record.predictions) if (badness := _badness(record, one)) > 0),
        key=lambda each: (-each[0], each[1]),
    )
    return [record.predictions[place] for _, place in ranked]


def _is_judged(record: Record, one: Prediction) -> bool:
    """Return whether an answer can be compared with the truth."""
    if record.kind == "numbers":
        return is_finite(one.truth) and is_finite(one.answer)
    return one.correct is not None and record.kind != "texts"


def _badness(record: Record, one: Prediction) -> float:
    """Return how bad an answer is: 0 for a correct one."""
    if record.kind == "numbers":
        return abs(one.truth - one.answer) if is_finite(one.truth) and is_finite(one.answer) else 0.0
    if record.kind == "tags":
        return float(sum(truth != answer for truth, answer in _tag_pairs(one)))
    if one.correct is not False:
        return 0.0
    return 1 + (one.score or 0.0) if record.kind != "labels" else 1 + max(_label_errors(one), default=0.0)


def _label_errors(one: Prediction) -> Iterator[float]:
    """Yield the probability of each wrong label, and the distance of each missing label from 1."""
    truths, answers = (set(map(str, side)) if isinstance(side, list) else set() for side in (one.truth, one.answer))
    for name, share in one.scores.items():
        if name in truths ^ answers:
            yield share if name in answers else 1 - share


def _tag_pairs(one: Prediction) -> list[tuple[Any, Any]]:
    return (
        list(zip(one.truth, one.answer, strict=False))
        if isinstance(one.truth, list) and isinstance(one.answer, list)
        else []
    )


def _item(record: Record, one: Prediction) -> str:
    score = f", with confidence {number(one.score)}" if one.score is not None else ""
    head = element("div", escaped(one.where) + score, "muted")
    if record.kind == "tags" and isinstance(one.input, list) and len(one.input) == len(_tag_pairs(one)):
        return head + _words(one)
    rows = [
        *inputs(one.input),
        ("truth", answer_in_words(record, one, one.truth), "good"),
        ("answer", answer_in_words(record, one, one.answer), "bad"),
    ]
    body = "".join(element("dt", escaped(name)) + element("dd", text(value), kind) for name, value, kind in rows)
    return f"{head}<dl>{body}</dl>"


def inputs(value: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the parts of an input: their name and their text."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield str(name).replace("_", " "), _text(part), ""
    elif isinstance(value, list) and all(isinstance(word, str) for word in value):
        yield "text", " ".join(value), ""
    else:
        yield "text", _text(value), ""


def _text(value: object) -> str:
    """Return a value of JSON as text. The choices of a list are numbered."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(f"{place}. {one}" for place, one in enumerate(value, 1))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def answer_in_words(record: Record, one: Prediction, value: object) -> str:
    """Return a truth or an answer in words."""
    if record.kind == "answers":
        return " / ".join(dict.fromkeys(texts(value))) or "(no answer)"
    if record.kind == "choices" and isinstance(value, int):
        choices = one.input.get("choices") if isinstance(one.input, Mapping) else None
        named = isinstance(choices, list) and 0 <= value < len(choices)
        return f"{value + 1}. {choices[value]}" if named else f"choice {value + 1}"  # type: ignore[index]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "(no label)"
    return number(value) if is_number(value) else str(value)


def _words(one: Prediction) -> str:
    """Return the words of a text, with truth and answer after each word whose tag is wrong."""
    parts = []
    for word, (truth, answer) in zip(one.input, _tag_pairs(one), strict=True):
        shown = escaped(shortened(str(word), 60))
        if truth != answer:
            tags = element("sub", escaped(truth), "good") + element("sub", escaped(answer), "bad")
            shown = element("span", shown + tags, "wrong")
        parts.append(shown)
    return f'<p class="text" dir="auto">{" ".join(parts[:400])}{" …" if len(parts) > 400 else ""}</p>'
