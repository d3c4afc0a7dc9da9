"""Rows out of CSV and TSV, as a stream, with an error in the place of each row that cannot be read."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from bertkit.data.lines import LONGEST_LINE, checked_lines, shown_name
from bertkit.errors import DataError

_MOST_UNCLOSED = 100
"""Quotes without an end, each of which may reach over much of a table."""

OnHeader = Callable[[Sequence[str]], object]
"""Hears the columns of a table, before its first row."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_table(name: str, kind: str, on_header: OnHeader, say: Callable[[str], object]) -> Iterator[Any]:
    """The rows of CSV or TSV under the names of the first row. TSV has no quotes, as the data sets of GLUE are."""
    lines, shown = _Lines(name), shown_name(name)
    delimiter = "\t" if kind == "tsv" else _delimiter(lines.peek())
    if kind == "csv" and delimiter != ",":
        say(f"{shown} has {_DELIMITERS[delimiter]} between its columns.")
    rows = _cells(lines, shown, kind, delimiter)
    header = next(rows, None)
    if header is None:
        return
    if isinstance(header, DataError):
        raise header
    if len(set(header)) != len(header):
        raise DataError(f"{shown} has two columns of one name in its first row: {', '.join(header)}.")
    on_header(header)
    for number, row in enumerate((row for row in rows if row), start=1):
        if isinstance(row, DataError):
            yield row
        elif len(row) == len(header):
            yield dict(zip(header, row, strict=True))
        else:
            yield DataError(f"Row {number} of {shown} has {len(row)} cells, and the first row {len(header)}.")


class _Lines:
    """The lines of a table, as far as they can be read: with what is wrong with them, and with their numbers.

    Those of one row are `taken`. What a quote that is not closed has taken can be given back.
    """

    def __init__(self, name: str) -> None:
        self._source = enumerate(checked_lines(name), start=1)
        self._waiting: deque[tuple[int, tuple[str, str | None]]] = deque()
        self.taken: list[tuple[int, tuple[str, str | None]]] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.taken.append(self._waiting.popleft() if self._waiting else next(self._source))
        return self.taken[-1][1][0] + "\n"

    def peek(self) -> str:
        """The next line, which is not taken; empty at the end."""
        if not self._waiting:
            self._waiting.extend(islice(self._source, 1))
        return self._waiting[0][1][0] if self._waiting else ""

    def wrong(self) -> str | None:
        """What is wrong with the first of those that are taken."""
        return next((sentence for _, (_, sentence) in self.taken if sentence is not None), None)

    def give_back(self) -> int:
        """All that are taken but the first. Returns its number."""
        (first, _), *rest = self.taken
        self._waiting.extendleft(reversed(rest))
        return first


def _cells(lines: _Lines, shown: str, kind: str, delimiter: str) -> Iterator[list[str] | DataError]:
    """The cells of each row, or what is wrong with it. A quote that is not closed does not take the rows after it along."""
    csv.field_size_limit(LONGEST_LINE)
    options: dict[str, Any] = {} if kind == "csv" else {"quoting": csv.QUOTE_NONE}
    read = partial(csv.reader, delimiter=delimiter, **options)
    rows, unclosed = read(lines), 0
    while True:
        lines.taken.clear()
        try:
            row = next(rows, None)
            closed = row is None or _closed(lines, read)
        except csv.Error as error:
            if len(lines.taken) < 2 or unclosed > _MOST_UNCLOSED:
                at = lines.taken[-1][0]
                raise DataError(f"{shown} cannot be read as {kind.upper()}, at line {at}: {error}.") from error
            closed, rows = False, read(lines)
        if row is None and closed:
            return
        if not closed:
            unclosed += 1
            yield DataError(f"Line {lines.give_back()} of {shown} has a quote that is not closed.")
        else:
            wrong = lines.wrong()
            yield row or [] if wrong is None else DataError(wrong)


def _delimiter(header: str) -> str:
    """What is between the columns of a CSV, by its first line: the commonest outside of quotes, a comma where there is none.

    >>> _delimiter("id;text"), _delimiter('id,"a;b;c"'), _delimiter("text")
    (';', ',', ',')
    """
    bare = re.sub('"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def _closed(lines: _Lines, read: Callable[..., Any]) -> bool:
    """Whether the quotes in a row are closed where they have to be."""
    texts = [text for _, (text, _) in lines.taken]
    if len(texts) == 1 and texts[0].count('"') % 2 == 0:
        return True
    try:
        return len(list(read([f"{text}\n" for text in texts], strict=True))) == 1
    except csv.Error:
        return False
