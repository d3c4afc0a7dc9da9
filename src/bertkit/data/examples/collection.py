"""The examples of a file with their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Place = int | str


@dataclass(frozen=True)
class Examples:
    """Inputs with their answers, in the order of the file.

    >>> examples = Examples("text-classification", ["Good.", "Bad."], ["pos", "neg"], ["pos", "neg"], labels=["neg", "pos"])
    >>> len(examples), list(examples)
    (2, [('Good.', 'pos'), ('Bad.', 'neg')])
    >>> examples.take([1]).inputs, examples[:1].answers
    (['Bad.'], ['pos'])
    """

    task: str
    inputs: list[Any]  # as the task's pipeline takes them
    answers: list[Any]  # as `Task.targets` takes them
    references: list[Any]  # as `Task.score` takes them
    labels: list[str] = field(default_factory=list)  # in the order of the model's classes; [] without classes
    problem_type: str | None = None  # of a text classification
    notes: list[str] = field(default_factory=list)  # sentences about what was inferred
    skipped: int = 0  # number of bad rows that were left out
    places: list[Place] = field(default_factory=list)  # of each example in the file
    unit: str = "example"  # what a place is the number or the name of, for example "line"
    name: str = "the list"  # of the file

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return zip(self.inputs, self.answers, strict=True)

    def __getitem__(self, part: slice) -> Examples:
        return self.take(range(len(self))[part])

    def take(self, indices: Iterable[int]) -> Examples:
        """Return the examples with these indices, in this order, with the labels of all."""
        chosen = list(indices)
        lists = (self.inputs, self.answers, self.references, self.places)
        inputs, answers, references, places = ([own[index] for index in chosen] if own else [] for own in lists)
        return replace(self, inputs=inputs, answers=answers, references=references, places=places)

    def where(self, index: int) -> str:
        """Return where an example is, for example "line 7 of train.tsv"."""
        place: Place = self.places[index] if self.places else index
        return f"{self.unit} {place} of {self.name}"


def in_order(labels: Iterable[str]) -> list[str]:
    """Return each label once: numbers by their value, then names by the alphabet.

    >>> in_order(["10", "9", "10"]), in_order(["good", "bad"])
    (['9', '10'], ['bad', 'good'])
    """
    numbers = {label: integer(label) for label in labels}
    return sorted(numbers, key=lambda label: (numbers[label] is None, numbers[label] or 0, label))


def integer(text: str) -> int | None:
    """Return the integer from 0 that a text is, or None. A text of more than 18 digits is not a number of a label."""
    text = text.strip()
    return int(text) if len(text) <= 18 and text.isdecimal() else None


def listed(names: Sequence[Any], most: int = 12) -> str:
    """Return names in quotes with commas, the first of many."""
    return ", ".join(map(repr, names[:most])) + (", ..." if len(names) > most else "")
