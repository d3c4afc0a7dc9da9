"""Questions with their answers in a text: SQuAD 1.1 and 2.0, and tables with the same columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bertkit.data.examples.columns import Field, Fields
from bertkit.data.examples.reader import Answers, Reader, is_missing
from bertkit.errors import DataError, described, printable

_NEAR = 32
"""The number of characters around `answer_start` where an answer is searched whose place is wrong."""


def is_squad(document: Any) -> bool:
    """Return whether a JSON value has the form of SQuAD."""
    parts = document.get("data") if isinstance(document, Mapping) else None
    return isinstance(parts, list) and all(isinstance(part, Mapping) and "paragraphs" in part for part in parts)


def squad_questions(document: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (id, {"question", "context", "answers", "is_impossible"}) for each question of a SQuAD document."""
    for number, part in enumerate(document["data"]):
        for count, paragraph in enumerate(
            part["paragraphs"] if isinstance(part["paragraphs"], list) else [part["paragraphs"]]
        ):
            where = f"data[{number}].paragraphs[{count}]"
            if not isinstance(paragraph, Mapping) or not isinstance(paragraph.get("qas"), list):
                yield where, DataError(f"{where} of {name} has no list of questions, which SQuAD has as 'qas'.")
                continue
            for index, question in enumerate(paragraph["qas"]):
                place = f"{where}.qas[{index}]"
                if isinstance(question, Mapping):
                    yield (
                        str(question.get("id", place)),
                        {"context": paragraph.get("context"), "is_impossible": False, **question},
                    )
                else:
                    yield place, DataError(f"{place} of {name} is {described(question)}, not an object.")


class QuestionReader(Reader):
    """Examples are `{"question", "context"}`, answers `{"answer_start", "text"}` or None, references all right answers."""

    fields = Fields(
        (
            Field("question", ("question", "query", "question_text")),
            Field("context", ("context", "passage", "paragraph", "text", "document", "context_text")),
            Field("answers", ("answers", "answer", "answer_text"), also=("answer",)),
            Field("answer_start", ("answer_start", "start", "answer_start_char"), required=False),
            Field("is_impossible", ("is_impossible",), required=False),
        )
    )

    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the question with its text, and the answer, the right answers and whether the answer's place was wrong."""
        example = {name: self.text(record, name) for name in ("question", "context")}
        start = record.get(self.columns["answer_start"]) if "answer_start" in self.columns else None
        right = _right_answers(record.get(self.columns["answers"]), start)
        impossible = "is_impossible" in self.columns and record.get(self.columns["is_impossible"]) in (
            True,
            "true",
            "True",
            1,
            "1",
        )
        if right and impossible:
            raise DataError(f"is_impossible is true, but there is the answer {printable(right[0][0])!r}.")
        if not right:
            return example, (None, [], False)
        answer = _placed(*right[0], example["context"])
        return example, (
            answer,
            [text for text, _ in right],
            answer != {"answer_start": right[0][1], "text": right[0][0]},
        )

    def answers(self, found: list[Any]) -> Answers:
        """Return the first answer of each question, and as references the texts of all answers."""
        notes = []
        if without := sum(answer is None for answer, _, _ in found):
            notes.append(f"{without} of {len(found)} questions have no answer in their text, as in SQuAD 2.0.")
        if moved := sum(changed for _, _, changed in found):
            notes.append(f"Answers whose text is not exactly at answer_start: {moved}. Their place nearby is used.")
        return Answers([answer for answer, _, _ in found], notes=notes, references=[right for _, right, _ in found])


def _right_answers(value: Any, start: Any) -> list[tuple[str, Any]]:
    """Return (text, place) of each right answer. Answers are objects, lists of texts and places, or a text."""
    if is_missing(value) or value == "":
        return []
    if isinstance(value, str):
        return [(value, _integer(start))]
    if isinstance(value, Mapping) and isinstance(value.get("text"), (list, tuple)):
        texts, starts = list(value["text"]), list(value.get("answer_start") or [None] * len(value["text"]))
        if len(texts) != len(starts):
            raise DataError(f"there are {len(texts)} answers, but {len(starts)} places.")
        value = [{"text": text, "answer_start": at} for text, at in zip(texts, starts, strict=True)]
    answers = [value] if isinstance(value, Mapping) else value
    found = []
    for answer in answers if isinstance(answers, (list, tuple)) else [answers]:
        text = answer.get("text") if isinstance(answer, Mapping) else answer
        if not isinstance(text, str):
            raise DataError(f'an answer is {described(answer)}, not {{"text": ..., "answer_start": ...}}.')
        found.append((text, _integer(answer.get("answer_start") if isinstance(answer, Mapping) else start)))
    return [] if all(not text.strip() for text, _ in found) else found


def _integer(value: Any) -> int | None:
    if is_missing(value) or value == "":
        return None
    try:
        if not isinstance(value, bool) and int(value) == float(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f"the place of an answer is {described(value)}, not a number of characters.")


def _placed(text: str, start: int | None, context: str) -> dict[str, Any]:
    """Return an answer with its place, and with its text as it is in the context.

    An answer is searched only near its place, as another occurrence may have another meaning. There, whitespace may differ.
    """
    if start is not None and text.strip() and start >= 0 and context.startswith(text, start):
        return {"answer_start": start, "text": text}
    pattern = re.compile(r"\s+".join(map(re.escape, text.split())) or "(?!)")
    first, last = (0, len(context)) if start is None else (max(start - _NEAR, 0), start + len(text) + 2 * _NEAR)
    matches = [
        match
        for match in pattern.finditer(context, first, last)
        if start is None or 0 <= start <= match.start() + _NEAR <= start + 2 * _NEAR
    ]
    if len(matches) == 1:
        return {"answer_start": matches[0].start(), "text": matches[0].group()}
    shown = printable(text, 80)
    if start is None:
        raise DataError(f"the answer {shown!r} occurs {len(matches)} times in the text: write its answer_start.")
    at = context[start : start + len(text)] if start >= 0 else ""
    raise DataError(
        f"the answer {shown!r} is not at answer_start={start}, where the text has {printable(at, 80)!r}, and "
        + ("not near it." if not matches else f"it occurs {len(matches)} times near it.")
    )
