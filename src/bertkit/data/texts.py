"""Texts out of files, as a stream: plain text, JSON lines and Parquet, as they are or within gzip or xz."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bertkit.data.lines import OnBytes, read_lines
from bertkit.data.parquet import import_pyarrow, read_rows
from bertkit.data.records import check_file, format_of, json_lines
from bertkit.errors import DataError, Setting, UsageError, did_you_mean
from bertkit.logging import is_progress_bar_enabled


def read_texts(
    paths: Sequence[str | os.PathLike[str]], *, field: str = "text", progress: bool = False
) -> Generator[str, None, None]:
    """The texts of files, one after the other, in the memory of one line.

    A text is a line of a plain file (UTF-8), the value of `field` in a line of a `.jsonl`, or a value of the column `field` of a
    `.parquet`. Empty texts and nulls are left out. gzip and xz are unpacked on the way; "-" is standard input as plain text.
    What can be seen beforehand, such as a missing file, is an error before the first text. Whoever leaves the texts before
    their end closes them, as `contextlib.closing` does; that ends the bar.

    Args:
        paths: the files.
        field: what holds the text of a JSON line, or the column of Parquet.
        progress: draw a bar of the bytes read.
    """
    names = [os.fspath(path) for path in paths]
    size = sum(map(_size, names))
    return _all_texts(names, field, size if "-" not in names else None, progress)


def _size(name: str) -> int:
    """The bytes of a file that can be read."""
    check_file(name)
    if format_of(name) in ("csv", "tsv"):
        raise UsageError(
            f"{name} is a table, and which column holds the text is not known. Take plain text, .jsonl or .parquet, or - for a "
            f"column that another program prints, as in: cut -f2 {name} | bertkit ... -"
        )
    return 0 if name == "-" else Path(name).stat().st_size


def _all_texts(names: Sequence[str], field: str, size: int | None, progress: bool) -> Generator[str, None, None]:
    from tqdm import tqdm

    with tqdm(
        total=size, desc="Reading", unit="B", unit_scale=True, disable=not (progress and is_progress_bar_enabled())
    ) as bar:
        for name in names:
            yield from _texts(name, field, bar.update)


def _texts(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    kind = format_of(name)
    if kind == "parquet":
        return _of_column(name, field, on_bytes)
    if kind in ("json", "jsonl"):
        return _of_field(name, field, on_bytes)
    return (line for line in read_lines(name, on_bytes) if line and not line.isspace())


def _of_field(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    """The text in each JSON line."""
    for where, value in json_lines(name, on_bytes):
        if isinstance(value, DataError):
            raise value
        if not isinstance(value, dict):
            raise DataError(f'{where} is {type(value).__name__}, not an object such as {{"{field}": "..."}}.')
        if field not in value:
            raise DataError(f"{where} has no field {field!r}.", *_choice(field, value))
        text = value[field]
        if isinstance(text, str):
            yield _whole(text, where)
        elif text is not None:
            raise DataError(f"{where} has {type(text).__name__} in its field {field!r}, where a text belongs.")


def _whole(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} holds half of a surrogate pair ({text[error.start]!r}), which is no character."
        ) from error
    return text


def _choice(field: str, known: Iterable[str]) -> list[object]:
    """What to type instead of a field that is not there."""
    names = list(known)
    if not names:
        return [" It has none."]
    listed = ", ".join(map(repr, names))
    return [f" It has {listed}: type ", Setting("field", names[0]), f", for example.{did_you_mean(field, names)}"]


def _of_column(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    """The texts of a column of Parquet."""
    for row in read_rows(name, lambda schema: _check_column(schema, name, field), [field], on_bytes):
        if isinstance(row, DataError):
            raise row
        if row[field]:
            yield row[field]


def _check_column(schema: Any, name: str, field: str) -> None:
    types = import_pyarrow(f"Reading {name}")[0].types
    if field not in schema.names:
        raise DataError(f"{name} has no column {field!r}.", *_choice(field, schema.names))
    kind = schema.field(field).type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if not (types.is_string(kind) or types.is_large_string(kind)):
        raise DataError(f"The column {field!r} of {name} holds {kind}, where texts belong.")
