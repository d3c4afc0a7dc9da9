"""Find the columns of an example's fields: those of the option `columns`, and otherwise by their usual names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bertkit.data.examples.collection import listed
from bertkit.errors import DataError, Setting, UsageError, described, did_you_mean

Column = str | int
"""The name of a column, or its number from 0 in a file without a header. Negative numbers count from the last column."""

Columns = Mapping[str, Column | Sequence[Column]]
"""Field -> its column, or several columns."""


@dataclass(frozen=True)
class Field:
    """A part of an example."""

    name: str
    usual: Sequence[str] = ()  # usual names of its column, in the order of their preference
    required: bool = True
    also: Sequence[str] = ()  # other names of the field in `columns`
    several: bool = False  # whether it may have several columns
    pattern: str = "(?!)"  # of the usual names of several columns, with their number or letter as a group
    follows: bool = False  # whether its column is found by name only if the column of the first field is


@dataclass(frozen=True)
class Fields:
    """The fields of a task."""

    fields: Sequence[Field]
    together: Sequence[Sequence[str]] = ()  # usual names of the first columns, if all of them are there

    def named(self, name: str) -> Field:
        """Return the field with this name. Raise UsageError for an unknown name."""
        for field in self.fields:
            if name in (field.name, *field.also):
                return field
        known = [field.name for field in self.fields]
        raise UsageError(
            f"The option columns has the unknown field {name!r}: choose one of {', '.join(known)}."
            f"{did_you_mean(name, known)}"
        )

    def check(self, columns: Any) -> dict[str, Any]:
        """Return the option `columns` with the main name of each field. Raise UsageError for invalid columns."""
        if not isinstance(columns, Mapping):
            example = Setting("columns", {self.fields[0].name: "..."})
            raise UsageError(f"columns={described(columns)} is not a dictionary: type for example ", example, ".")
        found: dict[str, Any] = {}
        for name, column in columns.items():
            field = self.named(name)
            if field.name in found:
                raise UsageError(f"The option columns has the field {field.name!r} twice: leave one of them out.")
            if not all(type(one) in (str, int) for one in flat(column)) or (is_list(column) and not field.several):
                raise UsageError(
                    f"The column of the field {name!r} is {described(column)}, but must be the name of a column, or its number "
                    "from 0 in a file without a header."
                )
            found[field.name] = column
        return found

    def find(self, columns: Mapping[str, Any], known: Sequence[Column], name: str) -> tuple[dict[str, Any], list[str]]:
        """Return the column of each field, and a note about those that were found by their usual names.

        Args:
            columns: the checked option.
            known: the columns of the file.
            name: the file, for errors.
        """
        found = {
            field: [_known(own, known, field, name) for own in column]
            if is_list(column)
            else _known(column, known, field, name)
            for field, column in columns.items()
        }
        guessed = self._guessed(found, known)
        for field in self.fields:
            if field.required and field.name not in found and field.name not in guessed:
                used = set(flat([*found.values(), *guessed.values()]))
                raise DataError(*_absent(field, known, [column for column in known if column not in used], name))
        return {**found, **guessed}, [_note(guessed, found, known)] if guessed else []

    def _guessed(self, found: Mapping[str, Any], known: Sequence[Column]) -> dict[str, Any]:
        """Return the columns of further fields by their usual names."""
        spelt = {column.casefold(): column for column in reversed(known) if isinstance(column, str)}
        first = self.fields[0].name
        guessed: dict[str, Any] = {}
        for names in self.together if first not in found else ():
            if all(name in spelt for name in names) and not any(
                spelt[name] in flat(list(found.values())) for name in names
            ):
                own = (field.name for field in self.fields)
                guessed = {field: spelt[name] for field, name in zip(own, names, strict=False) if field not in found}
                break
        for field in self.fields:
            if field.name in found or field.name in guessed or (first in found and field.follows):
                continue
            used = set(flat([*found.values(), *guessed.values()]))
            several = _several(field, spelt)
            single = next((spelt[name] for name in field.usual if name in spelt and spelt[name] not in used), None)
            if several or single is not None:
                guessed[field.name] = several or single
        return guessed


def _several(field: Field, spelt: Mapping[str, str]) -> list[str]:
    """Return the columns whose names match the pattern of a field, in the order of their numbers."""
    matches = [(re.fullmatch(field.pattern, name), column) for name, column in spelt.items()]
    own = [(match[1], column) for match, column in matches if match]
    return [column for _, column in sorted(own, key=lambda one: (len(one[0]), one[0]))] if len(own) > 1 else []


def is_list(column: object) -> bool:
    """Return whether an option has several columns."""
    return isinstance(column, (list, tuple))


def flat(column: Any) -> Iterator[Any]:
    """Yield one column or several."""
    if is_list(column):
        for own in column:
            yield from flat(own)
    else:
        yield column


def _known(column: Column, known: Sequence[Column], field: str, name: str) -> Column:
    """Return a column that the file has. Raise DataError for an unknown column."""
    if isinstance(column, int) and known and isinstance(known[0], int):
        if -len(known) <= column < len(known):
            return known[column]
        raise DataError(f"{name} has no column {column} for the {field}: it has the columns 0 to {len(known) - 1}.")
    if column in known:
        return column
    near = did_you_mean(str(column), [own for own in known if isinstance(own, str)])
    advice = Setting("columns", {field: known[0]}) if known else "other columns"
    raise DataError(
        f"{name} has no column {column!r}. It has {listed(known, 40)}: type for example ", advice, f".{near}"
    )


def _absent(field: Field, known: Sequence[Column], unused: Sequence[Column], name: str) -> list[object]:
    """Return the parts of the error for a required field without a column."""
    example: Any = field.name if not unused else unused[-1 if field.name == "label" else 0]
    parts: list[object] = [
        f"{name} has no column with a usual name for the {field.name}. Its columns are {listed(known, 40)}: type for example ",
        Setting("columns", {field.name: example}),
        ".",
    ]
    if known and isinstance(known[0], str):
        parts += [
            " If the first row is not a header, type numbers from 0, for example ",
            Setting("columns", {field.name: 0}),
            ".",
        ]
    return parts


def _note(guessed: Mapping[str, Any], found: Mapping[str, Any], known: Sequence[Column]) -> str:
    """Return the sentence about the columns that were found by their usual names."""
    names = {"text_pair": "second text", "words": "words", "tags": "tags", "choices": "choices", "answers": "answers"}
    parts = []
    for number, (field, column) in enumerate(guessed.items()):
        several = is_list(column)
        what = f"the {names.get(field, field)}"
        verb = ("are " if several or what.endswith("s") else "is ") if number == 0 else ""
        parts.append(f"{listed(list(flat(column)))} {verb}{what}")
    used = set(flat([*guessed.values(), *found.values()]))
    unused = [column for column in known if column not in used]
    return f"Column {', '.join(parts)}." + (f" Not used: {listed(unused)}." if unused else "")
