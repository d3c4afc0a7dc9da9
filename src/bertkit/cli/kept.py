"""Columns of the input to copy to the results: `--keep id,text`.

Several hundred records are read before they are answered. Their kept values are stored here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bertkit.errors import DataError, UsageError, did_you_mean, printable

_RESERVED = ("result", "error", "row")


class Kept:
    """The kept columns of the records whose answers are not written yet.

    >>> kept = Kept("id")
    >>> list(kept.stored([{"id": 7, "text": "a"}, {"id": 8, "text": "b"}]))[1]["text"], kept.of(2)
    ('b', {'id': 8})
    """

    def __init__(self, given: str | None) -> None:
        self.names = list(dict.fromkeys(name.strip() for name in (given or "").split(",") if name.strip()))
        if given is not None and not self.names:
            raise UsageError(f"--keep {given!r} names no column: type for example --keep id,text.")
        for name in self.names:
            if name != name.encode(errors="ignore").decode():
                raise UsageError(f"--keep {name!r} is not UTF-8: type the name of a column, such as id.")
            if name in _RESERVED:
                raise UsageError(f"--keep {name} is invalid, as results have their own {name}: rename the column.")
        self._waiting: dict[int, dict[str, Any]] = {}  # number of a record -> its values; a thread may add them

    def check(self, names: Sequence[str]) -> None:
        """Raises DataError if a table lacks a kept column."""
        for name in self.names:
            if name not in names:
                known = printable(", ".join(map(str, names)), 1000) or "missing"
                raise DataError(f"--keep {name}: unknown column. The columns are {known}.{did_you_mean(name, names)}")

    def stored(self, records: Iterable[Any]) -> Iterator[Any]:
        """Yield the records unchanged, and store their kept columns. Raises an error if the first record lacks one."""
        known = not self.names
        for number, record in enumerate(records, start=1):
            if not known and not isinstance(record, DataError):
                if not isinstance(record, Mapping):
                    raise UsageError(
                        "--keep needs columns, but the input is lines of text: leave --keep out, or pass a table."
                    )
                self.check(list(map(str, record)))
                known = True
            if self.names:
                values = record if isinstance(record, Mapping) else {}
                self._waiting[number] = {name: _plain(values.get(name)) for name in self.names}
            yield record

    def at(self, row: int) -> dict[str, Any]:
        """The kept columns of a record, by its number. The first record is number 1."""
        return self._waiting[row] if self.names else {}

    def of(self, row: int) -> dict[str, Any]:
        """The kept columns of a record, which are then discarded."""
        return self._waiting.pop(row) if self.names else {}


def _plain(value: Any) -> Any:
    """A value as JSON can hold it. Dates and similar types become strings."""
    return (
        value if value is None or isinstance(value, (str, int, float)) else json.loads(json.dumps(value, default=str))
    )
