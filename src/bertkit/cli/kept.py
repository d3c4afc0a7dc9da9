"""Columns of the input that stand beside the answers: `--keep id,text`.

Records are read some hundred before they are answered. What is kept of them waits here, in their order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bertkit.errors import DataError, UsageError, did_you_mean, printable

_OURS = ("result", "error", "row")


class Kept:
    """The values of some columns, for records whose answers are not yet written.

    >>> kept = Kept("id")
    >>> list(kept.watched([{"id": 7, "text": "a"}, {"id": 8, "text": "b"}]))[1]["text"], kept.of(2)
    ('b', {'id': 8})
    """

    def __init__(self, given: str | None) -> None:
        self.names = [name.strip() for name in (given or "").split(",") if name.strip()]
        if given is not None and not self.names:
            raise UsageError(f"--keep {given!r} names no column: type --keep id,text, say.")
        for name in self.names:
            if name in _OURS:
                raise UsageError(f"--keep {name} is not possible, as results have their own {name}: rename the column.")
        self._waiting: deque[dict[str, Any]] = deque()
        self._first = 1  # the number of the record that has waited longest

    def check(self, names: Sequence[str]) -> None:
        """Refuse a table that lacks a column."""
        for name in self.names:
            if name not in names:
                there = printable(", ".join(map(str, names)), 1000) or "none"
                raise DataError(
                    f"--keep {name}: there is no such column; there are {there}.{did_you_mean(name, names)}"
                )

    def watched(self, records: Iterable[Any]) -> Iterator[Any]:
        """The records as they are. The first one must have the columns."""
        known = not self.names
        for record in records:
            if not known and not isinstance(record, DataError):
                if not isinstance(record, Mapping):
                    raise UsageError(
                        "--keep takes columns, and the input is lines of text: leave it out, or pass a table."
                    )
                self.check(list(map(str, record)))
                known = True
            if self.names:
                values = record if isinstance(record, Mapping) else {}
                self._waiting.append({name: _plain(values.get(name)) for name in self.names})
            yield record

    def at(self, row: int) -> dict[str, Any]:
        """What is kept of a record that still waits, the first of which is number 1."""
        return self._waiting[row - self._first] if self.names else {}

    def of(self, row: int) -> dict[str, Any]:
        """The same. The records before it are forgotten."""
        while self.names and self._first < row:
            self._waiting.popleft()
            self._first += 1
        return self.at(row)


def _plain(value: Any) -> Any:
    """A value as JSON holds it; dates and the like as texts."""
    return (
        value if value is None or isinstance(value, (str, int, float)) else json.loads(json.dumps(value, default=str))
    )
