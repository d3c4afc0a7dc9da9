"""Read texts from files as a stream: plain text, JSON Lines and Parquet, also compressed with gzip or xz."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bertkit.data.lines import OnBytes, read_lines, shown_name
from bertkit.data.parquet import import_pyarrow, read_rows
from bertkit.data.records import check_file, format_of, json_lines
from bertkit.errors import DataError, Setting, UsageError, did_you_mean, received
from bertkit.logging import is_progress_bar_enabled

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file, or several."""


def read_texts(paths: Files, *, field: str = "text", progress: bool = False) -> Generator[str, None, None]:
    """Yield the texts of several files, one line in memory at a time.

    A text is a line of a plain file (UTF-8), the value of `field` in a line of a `.jsonl`, or a value of the column `field` of a
    `.parquet`. Empty texts and nulls are left out. Files in gzip or xz are decompressed. Some errors are raised before the first
    text, for example for a missing file. To stop early, close the generator, for example with `contextlib.closing`; this also
    removes the progress bar.

    Args:
        paths: the file, or files; "-" is standard input with plain text.
        field: the key of the text in JSON Lines, or the column in Parquet.
        progress: whether to show a progress bar in bytes.
    """
    names = names_of(paths)
    size = sum(map(size_of, names))
    check_field(names, field)
    return _all_texts(names, field, size if "-" not in names else None, progress)


def names_of(files: Files) -> list[str]:
    """Return the names of a file, or of several.

    >>> names_of("a.txt"), names_of(["a.txt", "b.txt"])
    (['a.txt'], ['a.txt', 'b.txt'])
    """
    return [os.fspath(file) for file in ([files] if isinstance(files, (str, os.PathLike)) else files)]


def check_field(names: Sequence[str], field: str) -> None:
    """Raise UsageError for the name of a field if all files are plain text, which has none."""
    if field != "text" and all(format_of(name) == "pipe" for name in names):
        reason = " has no effect on plain text, which has no fields: leave it out, or pass .jsonl or .parquet files."
        raise UsageError(received("field", field), reason)


def size_of(name: str) -> int:
    """Return the size of a file in bytes. Raise an error if it cannot be read as texts."""
    check_file(name)
    if format_of(name) in ("csv", "tsv"):
        raise UsageError(
            f"{name} is a table, and the column of its texts is unknown: use plain text, .jsonl or .parquet, or pipe one column "
            f"of it to standard input, for example: cut {'-d, ' if format_of(name) == 'csv' else ''}-f2 {name} | bertkit ... -"
        )
    return 0 if name == "-" else Path(name).stat().st_size


def _all_texts(names: Sequence[str], field: str, size: int | None, progress: bool) -> Generator[str, None, None]:
    from tqdm import tqdm

    with tqdm(
        total=size, desc="Reading", unit="B", unit_scale=True, disable=not (progress and is_progress_bar_enabled())
    ) as bar:
        for name in names:
            yield from texts_of(name, field, bar.update)


def texts_of(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    """Yield the texts of one file, as `read_texts` does."""
    kind = format_of(name)
    if kind == "parquet":
        return _of_column(name, field, on_bytes)
    if kind in ("json", "jsonl"):
        return _of_field(name, field, on_bytes)
    return (line for line in read_lines(name, on_bytes) if line and not line.isspace())


def _of_field(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    """Yield the text in each JSON line."""
    for number, value in json_lines(name, on_bytes):
        where = f"Line {number} of {shown_name(name)}"
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
            raise DataError(f"{where} has {type(text).__name__} in its field {field!r}, which must be a string.")


def _whole(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} has half of a surrogate pair ({text[error.start]!r}), which is not a valid character."
        ) from error
    return text


def _choice(field: str, known: Iterable[str]) -> list[object]:
    """Return what to type instead of an unknown field, as parts of a message."""
    names = list(known)
    if not names:
        return [" It has no fields."]
    listed = ", ".join(map(repr, names))
    return [f" It has {listed}: type for example ", Setting("field", names[0]), f".{did_you_mean(field, names)}"]


def _of_column(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    """Yield the texts in a column of a Parquet file."""
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
        raise DataError(f"The column {field!r} of {name} has the type {kind}, but must have strings.")
