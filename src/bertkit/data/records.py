"""Records out of files, as a stream: lines of text, JSON, JSON lines, CSV, TSV and Parquet, packed or not.

A record is a text (of a line), or what JSON says, or {column: value}. Where one record is wrong, an error stands in its place,
so that it does not lose the others; where the file is wrong, an error is raised.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from bertkit.data.readers import LONGEST_LINE, checked_lines, read_lines
from bertkit.errors import DataError, MissingExtraError, Setting

_MOST_UNCLOSED = 100
"""Quotes without an end, each of which may reach over much of a table."""

Format = Literal["infer", "pipe", "json", "jsonl", "csv", "tsv", "parquet"]
_BY_ENDING = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


def ending(name: str) -> tuple[str, str]:
    """The format that a file's name tells ("" for none), and how it is packed ("gz", "xz" or "").

    >>> ending("a/answers.csv.gz"), ending("notes.txt")
    (('csv', 'gz'), ('', ''))
    """
    path, packed = Path(name.lower()), ""
    if path.suffix in (".gz", ".xz"):
        path, packed = Path(path.stem), path.suffix[1:]
    return _BY_ENDING.get(path.suffix, ""), packed


def format_of(name: str, given: Format = "infer") -> str:
    """The format of a file: as given, as its name tells, or lines of text."""
    return given if given != "infer" else ending(name)[0] or "pipe"


def check_file(name: str) -> None:
    """Refuse what is no file; "-" is standard input."""
    path = Path(name)
    if name != "-" and path.is_dir():
        raise DataError(f"{name} is a directory. Name a file in it, such as {path / 'texts.txt'}")
    if name != "-" and not path.exists():
        raise DataError(f"There is no file {name}.")


OnHeader = Callable[[Sequence[str]], object]
"""Hears the columns of a table, before its first row."""


def read_records(
    name: str,
    format: Format = "infer",
    on_header: OnHeader = lambda names: None,
    say: Callable[[str], object] = lambda sentence: None,
) -> Iterator[Any]:
    """The records of a file; "-" is standard input. An empty line of text is a record too, an empty line of JSON is none.

    Args:
        name: the file.
        format: its format; "infer" goes by the name, and "pipe" is lines of text.
        on_header: hears the columns of CSV, TSV and Parquet, and may refuse them.
        say: hears a sentence about a CSV whose columns have no commas between them.
    """
    check_file(name)
    kind, shown = format_of(name, format), "standard input" if name == "-" else name
    if kind == "pipe":
        return (text if wrong is None else DataError(wrong) for text, wrong in checked_lines(name))
    if kind == "jsonl":
        return _json_lines(name, shown)
    if kind == "json":
        return _json_list(name, shown)
    return _parquet(name, on_header) if kind == "parquet" else _table(name, shown, kind, on_header, say)


def count_records(name: str, format: Format = "infer") -> int | None:
    """How many records a file has, or nearly; None where that cannot be known beforehand."""
    kind = format_of(name, format)
    if name == "-" or not Path(name).is_file() or kind == "json":
        return None
    if kind == "parquet":
        return int(_parquet_file(name).metadata.num_rows)
    return max(sum(1 for _ in checked_lines(name)) - (kind in ("csv", "tsv")), 0)


def _json_lines(name: str, shown: str) -> Iterator[Any]:
    for number, (line, wrong) in enumerate(checked_lines(name), start=1):
        if wrong is not None:
            yield DataError(wrong)
        elif line and not line.isspace():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                yield DataError(f"Line {number} of {shown} is not JSON ({error}).")


def _json_list(name: str, shown: str) -> Iterator[Any]:
    try:
        found = json.loads("\n".join(read_lines(name)))
    except (ValueError, RecursionError) as error:
        hint = Setting("format", "jsonl")
        raise DataError(f"{shown} is not JSON ({error}). For an object a line, type ", hint, ".") from error
    return iter(found if isinstance(found, list) else [found])


_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def _table(name: str, shown: str, kind: str, on_header: OnHeader, say: Callable[[str], object]) -> Iterator[Any]:
    """The rows of CSV or TSV under the names of the first row. TSV has no quotes, as the data sets of GLUE are."""
    lines = _Lines(name)
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


def _parquet(name: str, on_header: OnHeader) -> Iterator[Any]:
    file, arrow = _parquet_file(name), import_module("pyarrow")
    number = 0
    try:
        with file:
            on_header(_names(file, name))
            for batch in file.iter_batches(batch_size=256):
                yield from _rows(batch, name, number)
                number += len(batch)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{name} cannot be read as Parquet: it is damaged ({error}).") from error


def _names(file: Any, name: str) -> list[str]:
    try:
        return list(file.schema_arrow.names)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} has a column whose name is not UTF-8: write it anew with another name.") from error


def _rows(batch: Any, name: str, before: int) -> Iterator[Any]:
    """The rows of some of Parquet; one by one where a text in them is wrong, to know which."""
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        rows = [batch.slice(at, 1) for at in range(len(batch))]
    for number, row in enumerate(rows, start=before + 1):
        try:
            yield row.to_pylist()[0]
        except UnicodeDecodeError as error:
            yield DataError(f"Row {number} of {name} has a text that is not UTF-8: {error.reason}.")


def _parquet_file(name: str) -> Any:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", None, f"Reading {name}") from error
    if name == "-":
        raise DataError("Parquet cannot be read from standard input: name the file.")
    try:
        return parquet.ParquetFile(name)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{name} cannot be read as Parquet: it is damaged or of another format ({error}).") from error
