"""What the readers of all tasks share: the base class, and checks of the values in a record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from bertkit.data.examples.columns import Fields
from bertkit.errors import DataError, Setting, UsageError, described, one_of, received

PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


@dataclass(frozen=True)
class Options:
    """The options of `read_examples` that not every task has."""

    problem_type: str | None = None
    separator: str | None = None
    label_names: Sequence[str] | None = None
    scheme: str | None = None
    repair: bool = False
    plural: bool = False  # whether the option `columns` names the field "labels"

    def __post_init__(self) -> None:
        if self.problem_type is not None:
            one_of("problem_type", self.problem_type, PROBLEMS)
        if self.separator is not None and (not isinstance(self.separator, str) or not self.separator):
            advice = Setting("separator", ",")
            raise UsageError(received("separator", self.separator), " is not a text: type for example ", advice, ".")
        if type(self.repair) is not bool:
            raise UsageError(received("repair", self.repair), " is not a boolean: type ", Setting("repair", True), ".")

    def check(self, task: str, own: Sequence[str]) -> None:
        """Raise UsageError for an option that the task does not have."""
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in own and value != option.default:
                raise UsageError(received(option.name, value), f" has no effect for {task}: leave it out.")


@dataclass
class Answers:
    """The answers of all examples. A value that is a DataError is a bad row."""

    values: list[Any]
    labels: list[str] = field(default_factory=list)
    problem_type: str | None = None
    notes: list[str] = field(default_factory=list)
    references: list[Any] | None = None  # None: the same as the values


class Reader(ABC):
    """Records of a file -> examples of a task."""

    fields: ClassVar[Fields]
    options: ClassVar[tuple[str, ...]] = ()  # the names of its options

    def __init__(self, options: Options, columns: Mapping[str, Any], names: Mapping[Any, Sequence[str]]) -> None:
        self.given, self.columns = options, columns
        self.names = names  # of a column with numbers of labels -> the names of the labels

    @abstractmethod
    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the input and the answer as it is in the record. Raise DataError with the reason if it is a bad row."""

    @abstractmethod
    def answers(self, found: list[Any]) -> Answers:
        """Return the answers of all examples as the task takes them."""

    def text(self, record: Mapping[Any, Any], name: str, column: Any = None, optional: bool = False) -> str:
        """Return the text in a field. Raise DataError if it is missing, empty or not a text."""
        value = record.get(self.columns[name] if column is None else column)
        if isinstance(value, str):
            if value.isascii() or is_valid(value):
                if optional or (value and not value.isspace()):
                    return value
                raise DataError(f"the {name} is empty.")
            raise DataError(f"the {name} has half of a surrogate pair, which is not a valid character.")
        if is_missing(value):
            raise DataError(f"the {name} is missing.")
        raise DataError(f"the {name} is {described(value)}, not a text.")


def is_missing(value: object) -> bool:
    """Return whether a value is null or NaN."""
    return value is None or (isinstance(value, float) and value != value)


def is_valid(text: str) -> bool:
    """Return whether UTF-8 can encode a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
