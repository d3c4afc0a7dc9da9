"""Raise the error for a bad row, or count it."""

from __future__ import annotations

from bertkit.data.examples.collection import Place
from bertkit.data.examples.sources import Source
from bertkit.errors import DataError, Setting

_SHOWN = 3
"""The number of bad rows that a note names."""


class BadRows:
    """The bad rows of a source."""

    def __init__(self, source: Source, on_bad: str) -> None:
        self.source, self._raises = source, on_bad == "raise"
        self.count = 0
        self._first: list[str] = []

    def add(self, place: Place, error: DataError) -> None:
        """Count a bad row, for a reason without its place."""
        self.add_placed(DataError(f"{self.source.unit.capitalize()} {place} of {self.source.name}: ", *error.parts))

    def add_placed(self, error: DataError) -> None:
        """Count a bad row, for an error that names its place."""
        if self._raises:
            raise DataError(*error.parts, " To leave out bad rows, type ", Setting("on_bad", "skip"), ".") from error
        self.count += 1
        if len(self._first) < _SHOWN:
            self._first.append(str(error))

    def notes(self) -> list[str]:
        """Return a sentence about the bad rows that were left out."""
        rows = "bad row was" if self.count == 1 else "bad rows were"
        return [f"{self.count} {rows} left out: {' '.join(self._first)}"] if self.count else []
