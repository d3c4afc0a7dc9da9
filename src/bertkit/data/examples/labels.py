"""Values of a label column -> one label, several labels or a number for each example."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

from bertkit.data.examples.collection import in_order, integer, listed
from bertkit.data.examples.reader import PROBLEMS, Answers, Options, is_valid
from bertkit.errors import DataError, Setting, UsageError, described, printable, received

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_SEPARATORS = "|;,"
_LARGEST = 3e38  # of float32
_MANY = 20  # numbers that are so many are probably not classes


def answers_of(found: list[Any], options: Options, names: Sequence[str] | None, plural: bool) -> Answers:
    """Return the answers for the values of a label column.

    Args:
        found: the value of each example.
        options: the options of the reader.
        names: the names of the labels, if the values are their numbers.
        plural: whether the column is called "labels", so that a cell may have several.
    """
    names = options.label_names if names is None else names
    separator = options.separator
    notes = []
    if (
        separator is None
        and (plural or options.problem_type == PROBLEMS[1])
        and options.problem_type in (None, PROBLEMS[1])
    ):
        separator = _usual_separator(found)
        if separator is not None:
            notes = [f"A cell has several labels with {separator!r} between them."]
    if separator is not None:
        found = [_split(value, separator) for value in found]
    problem = options.problem_type or _problem_of(found, named=names is not None)
    if problem == "regression":
        for name, option in (("separator", separator), ("label_names", options.label_names)):
            if option is not None:
                raise UsageError(received(name, option), " has no effect for regression: leave it out.")
        answers = Answers(_each(found, _number_of))
        notes.append(_range_note(answers.values))
    else:
        convert = _labels_of if problem == PROBLEMS[1] else _label_of
        answers = Answers(_each(found, partial(convert, names=names)))
        used = _used(answers.values)
        answers.labels = in_order(used) if names is None else list(names)
        notes += _label_notes(answers, len(used), problem)
    answers.problem_type, answers.notes = problem, notes
    return answers


def name_of(value: object, names: Sequence[str] | None) -> str:
    """Return the name of a label. Raise DataError for a value that is not a label.

    >>> name_of(1, None), name_of(" good ", None), name_of("1", ["bad", "good"]), name_of(True, None)
    ('1', 'good', 'good', 'true')
    """
    if isinstance(value, str):
        name = value.strip()
    elif isinstance(value, bool):
        name = str(value).lower()
    elif isinstance(value, Integral):
        name = str(value)
    elif isinstance(value, Real) and math.isfinite(number := float(value)):
        name = str(int(number) if names and number.is_integer() else number)
    else:
        raise DataError(f"the label is {described(value)}, not a name or a number.")
    if not name:
        raise DataError("the label is empty.")
    if not is_valid(name):
        raise DataError("the label has half of a surrogate pair, which is not a valid character.")
    if names is None or name in names:
        return name
    number_of_name = integer(name)
    if number_of_name is not None and number_of_name < len(names):
        return names[number_of_name]
    raise DataError(
        f"the label {printable(name)!r} is neither a number from 0 to {len(names) - 1} nor one of {listed(names)}."
    )


def _each(found: list[Any], convert: Callable[[Any], Any]) -> list[Any]:
    """Convert each value, equal ones once. The result for an invalid value is a DataError."""
    known: dict[Any, Any] = {}
    values = []
    for value in found:
        key = (type(value), tuple(value) if isinstance(value, (list, tuple)) else value)
        try:
            if key not in known:
                known[key] = _result(convert, value)
            values.append(known[key])
        except TypeError:  # not hashable
            values.append(_result(convert, value))
    return values


def _result(convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except DataError as error:
        return error


def _problem_of(found: list[Any], named: bool) -> str:
    """Return the problem type of the values."""
    if any(isinstance(value, (list, tuple)) for value in found):
        return "multi_label_classification"
    numbers = [value for value in found if _is_number(value)]
    fractions = any(_is_fraction(value) for value in numbers)
    return "regression" if fractions and not named and 2 * len(numbers) > len(found) else "single_label_classification"


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_fraction(value: object) -> bool:
    return not isinstance(value, Integral) if not isinstance(value, str) else not value.strip().lstrip("+-").isdecimal()


def _number_of(value: object) -> float | list[float]:
    if isinstance(value, (list, tuple)):
        return [number_of(one) for one in value]
    return number_of(value)


def number_of(value: Any, what: str = "label") -> float:
    """Return a value as a number. Raise DataError if it is not one."""
    try:
        if _is_number(value) and abs(number := float(value)) <= _LARGEST:
            return number
    except OverflowError:
        pass
    raise DataError(f"the {what} is {described(value)}, not a number.")


def _label_of(value: object, names: Sequence[str] | None) -> str:
    if isinstance(value, (list, tuple)):
        if len(value) == 1:
            return name_of(value[0], names)
        advice = Setting("problem_type", "multi_label_classification")
        raise DataError(
            f"the label is {described(value)}, not one label. For several labels per text, type ", advice, "."
        )
    return name_of(value, names)


def _labels_of(value: object, names: Sequence[str] | None) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(one, float) for one in values) and names is None:
        advice = Setting("problem_type", "regression")
        raise DataError(
            f"the labels are numbers with a fraction: {described(value)}. To predict numbers, type ", advice, "."
        )
    found = [name_of(one, names) for one in values]
    for name in found:
        if found.count(name) > 1:
            raise DataError(
                f"the list of labels has {printable(name)!r} twice: {described(value)}. Write each label of a text once."
            )
    return found


def _usual_separator(found: list[Any]) -> str | None:
    """Return the usual separator between the labels of a cell, if a cell has one."""
    texts = [value for value in found if isinstance(value, str)]
    return next((mark for mark in _SEPARATORS if any(mark in text for text in texts)), None)


def _split(value: object, separator: str) -> object:
    """Split a cell with several labels. An empty cell has none."""
    return [one for part in value.split(separator) if (one := part.strip())] if isinstance(value, str) else value


def _used(values: list[Any]) -> set[str]:
    used: set[str] = set()
    for value in values:
        if isinstance(value, str):
            used.add(value)
        elif isinstance(value, list):
            used.update(value)
    return used


def _range_note(values: list[Any]) -> str:
    numbers = [value for value in values if isinstance(value, float)]
    between = f" from {min(numbers):g} to {max(numbers):g}" if numbers else ""
    return f'Regression (problem_type="regression"): the labels are numbers{between}.'


def _label_notes(answers: Answers, used: int, problem: str) -> list[str]:
    """Return sentences about the labels, and warnings about unusual ones."""
    labels, count = answers.labels, len(answers.values)
    kind = "Several labels per text" if problem == PROBLEMS[1] else "One label per text"
    notes = [f'{kind} (problem_type="{problem}"), {len(labels)} in all: {listed(labels)}.']
    if used == 1:
        notes.append(f"All {count} examples have the same label: a model learns nothing from one class.")
    if len(labels) > _MANY and all(label.isdecimal() for label in labels):
        notes.append(
            'The labels are whole numbers, one class each: to predict a number, type problem_type="regression".'
        )
    elif used > _MANY and 2 * used > count:
        notes.append(f"There are {used} different labels in {count} examples: check that it is the right column.")
    return notes
