"""Read rows from CSV and TSV as a stream. For an invalid row the stream yields a DataError and continues."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

from bertkit.data.lines import LONGEST_LINE, checked_lines, shown_name
from bertkit.errors import DataError

_MOST_UNCLOSED = 100
"""The maximum number of unclosed quotes in a table, as each may cause a search through much of the file."""

OnHeader = Callable[[Sequence[str]], object]
"""Called with the columns of a table before its first row."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_table(name: str, kind: str, on_header: OnHeader, on_note: Callable[[str], object]) -> Iterator[Any]:
    """Yield the rows of CSV or TSV as {column: value}. TSV has no quotes, as in the data sets of GLUE."""
    return (row for _, row in numbered_rows(name, kind, on_note, on_header=on_header))


def numbered_rows(
    name: str,
    kind: str,
    on_note: Callable[[str], object],
    *,
    has_header: bool = True,
    encoding: str = "utf-8",
    on_header: OnHeader = lambda names: None,
) -> Iterator[tuple[int, Any]]:
    """Yield (number of the first line, row) for each row of CSV or TSV, which is {column: value} or a DataError.

    Without a header the columns are numbers from 0.
    """
    lines, shown = _Lines(name, encoding), shown_name(name)
    delimiter = "\t" if kind == "tsv" else _delimiter(lines.peek())
    if kind == "csv" and delimiter != ",":
        on_note(f"{shown} has {_DELIMITERS[delimiter]} between its columns.")
    rows = _cells(lines, shown, kind, delimiter)
    first = next(rows, None)
    if first is None:
        return
    if isinstance(first[1], DataError):
        raise first[1]
    header: Sequence[Any] = first[1] if has_header else range(len(first[1]))
    if len(set(header)) != len(header):
        raise DataError(f"{shown} has two columns with the same name in its first row: {', '.join(header)}.")
    on_header(header)
    for line, row in rows if has_header else chain([first], rows):
        if isinstance(row, DataError):
            yield line, row
        elif len(row) == len(header):
            yield line, dict(zip(header, row, strict=True))
        elif row:
            wrong = f"Line {line} of {shown} has {len(row)} cells, but the first row has {len(header)}."
            yield line, DataError(wrong)


class _Lines:
    """The lines of a table with their numbers and errors.

    `taken` has the lines of the current row. Lines that an unclosed quote has taken can be returned to the stream.
    """

    def __init__(self, name: str, encoding: str) -> None:
        self._source = enumerate(checked_lines(name, encoding=encoding), start=1)
        self._waiting: deque[tuple[int, tuple[str, str | None]]] = deque()
        self.taken: list[tuple[int, tuple[str, str | None]]] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.taken.append(self._waiting.popleft() if self._waiting else next(self._source))
        return self.taken[-1][1][0] + "\n"

    def peek(self) -> str:
        """Return the next line without taking it, or an empty string at the end."""
        if not self._waiting:
            self._waiting.extend(islice(self._source, 1))
        return self._waiting[0][1][0] if self._waiting else ""

    def error(self) -> str | None:
        """Return the error text of the first invalid line of the row, or None."""
        return next((sentence for _, (_, sentence) in self.taken if sentence is not None), None)

    def give_back(self) -> int:
        """Return all lines of the row except the first to the stream, and return the number of the first."""
        (first, _), *rest = self.taken
        self._waiting.extendleft(reversed(rest))
        return first


def _cells(lines: _Lines, shown: str, kind: str, delimiter: str) -> Iterator[tuple[int, list[str] | DataError]]:
    """Yield the first line of each row, and its cells or an error. After an unclosed quote, continue with the next line."""
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
            line = lines.give_back()
            yield line, DataError(f"Line {line} of {shown} has a quote that is not closed.")
        else:
            error_text = lines.error()
            yield lines.taken[0][0], row or [] if error_text is None else DataError(error_text)


def _delimiter(header: str) -> str:
    """Return the separator of a CSV: the most frequent one outside quotes in its first line, by default a comma.

    >>> _delimiter("id;text"), _delimiter('id,"a;b;c"'), _delimiter("text")
    (';', ',', ',')
    """
    bare = re.sub('"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def _closed(lines: _Lines, read: Callable[..., Any]) -> bool:
    """Return whether all quotes in a row are closed."""
    texts = [text for _, (text, _) in lines.taken]
    if len(texts) == 1 and texts[0].count('"') % 2 == 0:
        return True
    try:
        return len(list(read([f"{text}\n" for text in texts], strict=True))) == 1
    except csv.Error:
        return False
