"""Records out of files, as a stream: lines of text, JSON, JSON lines, CSV, TSV and Parquet, packed or not.

A record is a text (of a line), or what JSON says, or {column: value}. Where one record is wrong, an error stands in its place,
so that it does not lose the others; where the file is wrong, an error is raised.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from bertkit.data.readers import LONGEST_LINE, checked_lines, read_lines
from bertkit.errors import DataError, MissingExtraError, Setting

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
    csv.field_size_limit(LONGEST_LINE)
    wrong: list[str] = []  # lines of the row that is being read
    lines = _marked(name, wrong)
    if kind == "csv":
        first = next(lines, "")
        delimiter = _delimiter(first)
        if delimiter != ",":
            say(f"{shown} has {_DELIMITERS[delimiter]} between its columns.")
        rows = csv.reader(chain([first], lines) if first else lines, delimiter=delimiter)
    else:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        header = next(rows, None)
        if wrong:
            raise DataError(wrong[0])
        if header is None:
            return
        if len(set(header)) != len(header):
            raise DataError(f"{shown} has two columns of one name in its first row: {', '.join(header)}.")
        on_header(header)
        for number, row in enumerate((row for row in rows if row), start=1):
            if wrong:
                yield DataError(wrong[0])
                wrong.clear()
            elif len(row) == len(header):
                yield dict(zip(header, row, strict=True))
            else:
                yield DataError(f"Row {number} of {shown} has {len(row)} cells, and the first row {len(header)}.")
    except csv.Error as error:
        raise DataError(f"{shown} cannot be read as {kind.upper()}, at line {rows.line_num}: {error}.") from error


def _delimiter(header: str) -> str:
    """What is between the columns of a CSV, by its first line: the commonest outside of quotes, a comma where there is none.

    >>> _delimiter("id;text"), _delimiter('id,"a;b;c"'), _delimiter("text")
    (';', ',', ',')
    """
    bare = re.sub('"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def _marked(name: str, wrong: list[str]) -> Iterator[str]:
    """The lines of a table, as far as they can be read; what is wrong with them goes into a list."""
    for line, sentence in checked_lines(name):
        if sentence is not None:
            wrong.append(sentence)
        yield line + "\n"


def _parquet(name: str, on_header: OnHeader) -> Iterator[Any]:
    file, arrow = _parquet_file(name), import_module("pyarrow")
    try:
        with file:
            on_header(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{name} cannot be read as Parquet: it is damaged ({error}).") from error


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
