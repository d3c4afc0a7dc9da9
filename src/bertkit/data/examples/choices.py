"""Texts with choices, one of which is right: SWAG, CODAH, CommonsenseQA and similar tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from bertkit.data.examples.collection import integer
from bertkit.data.examples.columns import Field, Fields, is_list
from bertkit.data.examples.reader import Answers, Reader, is_missing
from bertkit.errors import DataError, described, printable


class ChoiceReader(Reader):
    """Examples are `{"text", "choices"}`, answers the number of the right choice, from 0."""

    fields = Fields(
        (
            Field(
                "text", ("text", "prompt", "question", "sent1", "context", "premise", "sentence", "goal", "startphrase")
            ),
            Field(
                "choices",
                ("choices", "options", "endings", "candidates"),
                several=True,
                pattern=r"(?:ending|choice|option|answer|sol|candidate)_?(\d+|[a-z])",
            ),
            Field("start", ("sent2",), required=False, follows=True),
            Field("label", ("label", "answer", "answerkey", "correct", "target", "gold"), also=("labels",)),
        )
    )

    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the text with its choices, and the label with the choices and their marks."""
        text = self.text(record, "text")
        choices, marks = self._choices(record)
        label = record.get(self.columns["label"])
        if is_missing(label) or label == "":
            raise DataError("the label is missing.")
        answer = (label, choices, marks)
        start = self.columns.get("start")
        if start is not None and not is_missing(record.get(start)):
            before = self.text(record, "start", optional=True)
            choices = [f"{before} {choice}" if before else choice for choice in choices]
        return {"text": text, "choices": choices}, answer

    def _choices(self, record: Mapping[Any, Any]) -> tuple[list[str], Sequence[Any]]:
        """Return the texts of the choices, and the marks by which a label names them, such as "A"."""
        column = self.columns["choices"]
        if is_list(column):
            return [self.text(record, f"choice {own}", own) for own in column], ()
        value, marks = record.get(column), ()
        if isinstance(value, Mapping) and isinstance(value.get("text"), (list, tuple)):
            value, marks = value["text"], value.get("label") or ()
        elif isinstance(value, (list, tuple)) and value and all(isinstance(one, Mapping) for one in value):
            value, marks = [one.get("text") for one in value], tuple(one.get("label") for one in value)
        if not isinstance(value, (list, tuple)) or not value:
            raise DataError(f"the choices are {described(value)}, not a list of texts.")
        return [self.text({"choice": one}, f"choice {number}", "choice") for number, one in enumerate(value)], marks

    def answers(self, found: list[Any]) -> Answers:
        """Return the number of each right choice, or a DataError. If all labels can be numbers of choices, they are."""
        all_numbers = all(not marks and _is_number_of(label, choices) for label, choices, marks in found)
        from_one = all(not marks and 0 < (_by_number(label) or 0) <= len(own) for label, own, marks in found)
        if from_one and not all_numbers and not any(label in own for label, own, _ in found):
            raise DataError(
                "The labels are numbers from 1: the first choice has the number 0, so subtract 1 from each label."
            )
        values: list[Any] = []
        for label, choices, marks in found:
            try:
                values.append(int(label) if all_numbers else _index(label, choices, marks))
            except DataError as error:
                values.append(error)
        return Answers(values)


def _index(label: Any, choices: Sequence[str], marks: Sequence[Any]) -> int:
    """Return the number of the right choice, for a label that is its number, its mark, its letter or its text.

    >>> _index("1", ["a", "b"], ()), _index("B", ["a", "b"], ()), _index("b", ["a", "b"], ()), _index("1", ["a", "b"], ["1", "2"])
    (1, 1, 1, 0)
    """
    if label in marks:
        return list(marks).index(label)
    found = _by_number(label)
    by_text = [number for number, choice in enumerate(choices) if choice == label]
    if len(by_text) > 1:
        raise DataError(
            f"the label {printable(label)!r} is the text of several choices: write the number of the right one."
        )
    if by_text:
        return by_text[0]
    if found is None and isinstance(label, str) and len(label) == 1 and "A" <= label <= "Z":
        found = ord(label) - ord("A")
    if found is not None and 0 <= found < len(choices):
        return found
    raise DataError(
        f"the label {described(label)} is neither one of the choices nor a number from 0 to {len(choices) - 1}."
    )


def _is_number_of(label: Any, choices: Sequence[str]) -> bool:
    number = _by_number(label)
    return number is not None and 0 <= number < len(choices)


def _by_number(label: Any) -> int | None:
    """Return the number that a label is, or None."""
    if isinstance(label, str):
        return integer(label)
    is_number = isinstance(label, Real) and not isinstance(label, bool)
    return int(label) if is_number and int(label) == label else None
