"""Records out of files, as a stream: lines of text, JSON, JSON lines, CSV, TSV and Parquet, packed or not.

A record is a text (of a line), or what JSON says, or {column: value}. Where one record is wrong, an error stands in its place,
so that it does not lose the others; where the file is wrong, an error is raised.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from bertkit.data.lines import OnBytes, checked_lines, read_lines, shown_name
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
    kind = format_of(name, format)
    if kind == "pipe":
        return (text if wrong is None else DataError(wrong) for text, wrong in checked_lines(name))
    if kind == "jsonl":
        return (value for _, value in json_lines(name))
    if kind == "json":
        return _json_list(name)
    if kind == "parquet":
        return read_rows(name, lambda schema: on_header(_names(schema, name)))
    return read_table(name, kind, on_header, say)


def count_records(name: str, format: Format = "infer") -> int | None:
    """How many records a file has, or nearly; None where that cannot be known beforehand."""
    kind = format_of(name, format)
    if name == "-" or not Path(name).is_file() or kind == "json":
        return None
    if kind == "parquet":
        with open_parquet(name) as file:
            return int(file.metadata.num_rows)
    return max(sum(1 for _ in checked_lines(name)) - (kind in ("csv", "tsv")), 0)


def json_lines(name: str, on_bytes: OnBytes = lambda count: None) -> Iterator[tuple[str, Any]]:
    """(where it is, value) of each line that is not blank; a DataError in the place of a value that cannot be read."""
    for number, (line, wrong) in enumerate(checked_lines(name, on_bytes), start=1):
        where = f"Line {number} of {shown_name(name)}"
        if wrong is not None:
            yield where, DataError(wrong)
        elif line and not line.isspace():
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, DataError(f"{where} is not JSON ({error}). A .jsonl has one object a line.")


def _json_list(name: str) -> Iterator[Any]:
    try:
        found = json.loads("\n".join(read_lines(name)))
    except (ValueError, RecursionError) as error:
        hint = Setting("format", "jsonl")
        raise DataError(f"{shown_name(name)} is not JSON ({error}). For an object a line, type ", hint, ".") from error
    return iter(found if isinstance(found, list) else [found])


def _names(schema: Any, name: str) -> list[str]:
    try:
        return list(schema.names)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} has a column whose name is not UTF-8: write it anew with another name.") from error
