"""Read records from files as a stream: lines of text, JSON, JSON Lines, CSV, TSV and Parquet, also compressed.

A record is a line of text, a JSON value, or {column: value}. For an invalid record the stream yields a DataError and continues.
For an invalid file it raises an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from bertkit.data.lines import OnBytes, checked_lines, read_document, shown_name
from bertkit.data.parquet import open_parquet, read_rows
from bertkit.data.tables import OnHeader, read_table
from bertkit.errors import DataError, Setting

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
    """Return the format of a file by its name, or "", and its compression: "gz", "xz" or "".

    >>> ending("a/answers.csv.gz"), ending("notes.txt")
    (('csv', 'gz'), ('', ''))
    """
    path, compression = Path(name.lower()), ""
    if path.suffix in (".gz", ".xz"):
        path, compression = Path(path.stem), path.suffix[1:]
    return _BY_ENDING.get(path.suffix, ""), compression


def format_of(name: str, given: Format = "infer") -> str:
    """Return the given format, or with "infer" the format by the file's name, by default lines of text."""
    return given if given != "infer" else ending(name)[0] or "pipe"


def check_file(name: str) -> None:
    """Raise DataError if a file does not exist or is a folder. "-" is standard input."""
    path = Path(name)
    if name != "-" and path.is_dir():
        raise DataError(f"{name} is a folder: type a file in it, for example {path / 'texts.txt'}")
    if name != "-" and not path.exists():
        raise DataError(f"There is no file {name}.")


def read_records(
    name: str,
    format: Format = "infer",
    on_header: OnHeader = lambda names: None,
    on_note: Callable[[str], object] = lambda sentence: None,
) -> Iterator[Any]:
    """Read the records of a file. An empty line of text is also a record; an empty line of JSON is not.

    Args:
        name: the file; "-" is standard input.
        format: the format; "infer" uses the name of the file, and "pipe" is lines of text.
        on_header: called with the columns of CSV, TSV and Parquet, and may raise an error.
        on_note: called with a note if the columns of a CSV are not separated by commas.
    """
    check_file(name)
    kind = format_of(name, format)
    if kind == "pipe":
        return (text if wrong is None else DataError(wrong) for text, wrong in checked_lines(name))
    if kind == "jsonl":
        return (value for _, value in json_lines(name))
    if kind == "json":
        return iter(json_list(name))
    if kind == "parquet":
        return read_rows(name, lambda schema: on_header(_names(schema, name)))
    return read_table(name, kind, on_header, on_note)


def count_records(name: str, format: Format = "infer") -> int | None:
    """Return the approximate number of records in a file, or None if it is unknown before reading."""
    kind = format_of(name, format)
    if name == "-" or not Path(name).is_file() or kind == "json":
        return None
    if kind == "parquet":
        with open_parquet(name) as file:
            return int(file.metadata.num_rows)
    return max(sum(1 for _ in checked_lines(name)) - (kind in ("csv", "tsv")), 0)


def json_lines(name: str, on_bytes: OnBytes = lambda count: None) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) for each line that is not empty. The value of an invalid line is a DataError."""
    for number, (line, wrong) in enumerate(checked_lines(name, on_bytes), start=1):
        if wrong is not None:
            yield number, DataError(wrong)
        elif line and not line.isspace():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                where = f"Line {number} of {shown_name(name)}"
                yield number, DataError(f"{where} is not JSON ({error}): a .jsonl file needs one object in each line.")


def json_list(name: str) -> list[Any]:
    """Return the values of a JSON file with one list. Another value is a list of one."""
    try:
        found = json.loads(read_document(name))
    except (ValueError, RecursionError) as error:
        hint = Setting("format", "jsonl")
        raise DataError(
            f"{shown_name(name)} is not JSON ({error}). For one object in each line, type ", hint, "."
        ) from error
    return found if isinstance(found, list) else [found]


def _names(schema: Any, name: str) -> list[str]:
    try:
        return list(schema.names)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} has a column whose name is not UTF-8: rename the column.") from error
