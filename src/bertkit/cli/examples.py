"""Records of a file -> examples of a task. Each task has fields, which are columns of a table or parts of a line:

fill-mask             text                      a line is the text
text-classification   text, text_pair           a line with a tab is a pair
multiple-choice       text, choices, ...        the last field takes all remaining columns
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from bertkit.errors import BertkitError, DataError, UsageError, did_you_mean, printable
from bertkit.tasks import task_class

_PAIR = ("text", "text_pair")
_FIELDS = {
    "text-classification": _PAIR,
    "next-sentence-prediction": _PAIR,
    "question-answering": ("question", "context"),
    "multiple-choice": ("text", "choices"),
    "sentence-similarity": ("source_sentence", "sentences"),
    "sentence-embedding": _PAIR,
}
_LISTS = ("choices", "sentences")
_ALSO = {
    "token-classification": ("words", "tokens"),
    "multiple-choice": ("prompt", "question", "context"),
}
"""Other names that a record may have for the first field."""


class AbsentColumnError(DataError):
    """A record without a required column."""


class Columns:
    r"""The columns of a record that become the fields of an example.

    >>> Columns("question-answering", "q,c").example({"id": 7, "q": "Who?", "c": "I."})
    {'question': 'Who?', 'context': 'I.'}
    >>> Columns("multiple-choice").example("Who?\tI.\tYou.")
    {'text': 'Who?', 'choices': ['I.', 'You.']}
    >>> Columns("ner", '"text=a=b, c"').example({"a=b, c": "Who?"})
    {'text': 'Who?'}
    """

    def __init__(self, task: str, given: str | None = None, fields: Sequence[str] | None = None) -> None:
        self.task = task_class(task).name
        self.fields = tuple(fields) if fields else _FIELDS.get(self.task, ("text",))
        self.chosen = None if given is None else self._chosen(given)

    def _chosen(self, given: str) -> list[tuple[str, str]]:
        """The value of `--column` -> (field, column) pairs. It has columns in the order of the fields, or field=column."""
        if given != given.encode(errors="ignore").decode():
            raise UsageError(f"--column {given!r} is not UTF-8: type the name of a column, such as {self.fields[0]}")
        try:
            parts = next(csv.reader([given], skipinitialspace=True), [])
        except csv.Error as error:
            raise UsageError(
                f"--column {given!r} is not valid CSV ({error}): put a name with a comma in double quotes."
            ) from error
        names = [name.strip() for name in parts if name.strip()]
        if not names:
            raise UsageError(f"--column {given!r} names no column: type --column {','.join(self.fields)}")
        if all(name in self.fields for name in names):
            return [(name, name) for name in names]
        found = []
        for number, name in enumerate(names):
            field, equals, column = name.partition("=")
            if not equals:
                field, column = self._field(number, given), name
            elif field not in self.fields:
                raise UsageError(
                    f"{self.task} has no field {field!r}: choose {', '.join(self.fields)}.{did_you_mean(field, self.fields)} "
                    f"For a column with = in its name, type --column {self.fields[0]}={name}"
                )
            found.append((field, column))
        return found

    def _field(self, number: int, given: str) -> str:
        if number < len(self.fields):
            return self.fields[number]
        if self.fields[-1] in _LISTS:
            return self.fields[-1]
        raise UsageError(
            f"--column {given} has more columns than {self.task} has fields: choose one for each of {', '.join(self.fields)}."
        )

    def check(self, names: Sequence[str]) -> None:
        """Raises AbsentColumnError if a table lacks a column."""
        self._of_columns(dict.fromkeys(names))

    def example(self, record: Any) -> Any:
        """The example in a record, or an error if the record is invalid."""
        if isinstance(record, BertkitError):
            return record
        try:
            if isinstance(record, Mapping):
                return self._of_columns(record)
            return self._of_parts(record) if isinstance(record, (str, list, tuple)) else record
        except DataError as error:
            return error

    def _of_columns(self, record: Mapping[str, Any]) -> Any:
        if self.chosen is None:
            if not any(name in record for name in (*self.fields, *_ALSO.get(self.task, ()))):
                raise AbsentColumnError(self._absent(self.fields[0], record))
            if self.task == "token-classification" and "text" not in record:
                return record.get("words", record.get("tokens"))
            return self._lists(dict(record))
        found: dict[str, Any] = {}
        for field, column in self.chosen:
            if column not in record:
                raise AbsentColumnError(self._absent(column, record))
            self._put(found, field, record[column])
        return self._lists(found)

    def _absent(self, column: str, record: Mapping[str, Any]) -> str:
        return (
            f"There is no column {column!r}. The columns are {printable(', '.join(map(str, record)), 1000) or '(none)'}: "
            f"choose with --column.{did_you_mean(column, map(str, record))}"
        )

    def _of_parts(self, record: str | Sequence[Any]) -> Any:
        """The example in a list or in a line. A line has tabs between its columns if the task takes several."""
        fields = [field for field, _ in self.chosen] if self.chosen else list(self.fields)
        if len(fields) == 1 and (isinstance(record, str) or self.task == "token-classification"):
            return record  # for token classification also a list of words
        parts = record.split("\t") if isinstance(record, str) else list(record)
        if self.fields[-1] in _LISTS:
            fields += [self.fields[-1]] * (len(parts) - len(fields))
        if len(parts) > len(fields):
            raise DataError(f"The row has {len(parts)} columns, but {self.task} takes only {', '.join(fields)}.")
        found: dict[str, Any] = {}
        for field, part in zip(fields, parts, strict=False):
            self._put(found, field, part)
        return self._lists(found)

    @staticmethod
    def _put(found: dict[str, Any], field: str, value: Any) -> None:
        """Set a field. A field that is a list collects the values of several columns."""
        if field in _LISTS and field in found:
            found[field] = [*(found[field] if isinstance(found[field], list) else [found[field]]), value]
        else:
            found[field] = value

    @staticmethod
    def _lists(example: dict[str, Any]) -> dict[str, Any]:
        return {
            name: [value] if name in _LISTS and isinstance(value, str) else value for name, value in example.items()
        }
