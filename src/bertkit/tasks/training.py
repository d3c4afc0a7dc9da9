"""Shared functions for training tasks: rows with targets, and checks of true answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from typing import Any

from bertkit.data.batches import Group, Row, Target
from bertkit.errors import BertkitError, UsageError, described
from bertkit.tasks.base import Encoded, O, Task

Label = Callable[[Encoded, Any], Sequence[Mapping[str, Target]]]
"""An encoded example and its answer -> the targets of each row, by the name of the model's label argument."""


def with_targets(
    task: Task[O], examples: Sequence[Any], answers: Sequence[Any], options: O, label: Label
) -> list[list[Row]]:
    """Return the rows of each example, with the targets that `label` computes from its answer.

    All rows of an example are one group, so that they stay in one batch.
    """
    if len(examples) != len(answers):
        raise UsageError(
            f"{len(examples)} examples and {len(answers)} answers were passed: pass one answer for each example."
        )
    found = []
    for number, (item, answer) in enumerate(zip(_encoded(task, examples, options), answers, strict=True)):
        with _naming(number):
            targets = label(item, answer)
        group = Group(len(item.rows))
        found.append([replace(row, targets=own, group=group) for row, own in zip(item.rows, targets, strict=True)])
    return found


def _encoded(task: Task[O], examples: Sequence[Any], options: O) -> list[Encoded]:
    """Encode all examples at once, or after an error one by one, to find the invalid example."""
    try:
        return task.encode(examples, options)
    except BertkitError:
        for number, example in enumerate(examples):
            with _naming(number):
                task.encode([example], options)
        raise


@contextmanager
def _naming(number: int) -> Iterator[None]:
    """Add the number of the example to errors."""
    try:
        yield
    except BertkitError as error:
        error.parts = (f"Example {number}: ", *error.parts)
        raise


def class_number(label: Any, numbers: Mapping[str, int]) -> int:
    """Return the number of a label, given by its name or its number.

    >>> class_number("GOOD", {"BAD": 0, "GOOD": 1}), class_number(0, {"BAD": 0, "GOOD": 1})
    (1, 0)
    """
    if isinstance(label, str) and label in numbers:
        return numbers[label]
    if is_number_below(label, len(numbers)):
        return int(label)
    raise UsageError(
        f"Unknown label {described(label)}: choose one of {', '.join(numbers)}, or a number from 0 to {len(numbers) - 1}."
    )


def is_number_below(value: object, count: int) -> bool:
    """Return whether a value is an integer from 0 to count - 1, and not a boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 <= int(value) < count
