"""Read rows from Parquet as a stream, with pyarrow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bertkit.data.lines import OnBytes
from bertkit.errors import DataError, MissingExtraError

_BATCH = 16  # rows, as a row may be a book


def import_pyarrow(purpose: str) -> tuple[Any, Any]:
    """Import and return pyarrow and pyarrow.parquet."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", None, purpose) from error


@contextlib.contextmanager
def open_parquet(name: str) -> Iterator[Any]:
    """Open a ParquetFile. Errors while opening or reading it become DataError."""
    pyarrow, parquet = import_pyarrow(f"Reading {name}")
    if name == "-":
        raise DataError("Parquet cannot be read from standard input: name the file.")
    try:
        with parquet.ParquetFile(name) as file:
            yield file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} cannot be read as Parquet: it is damaged or of another format ({error}).") from error


def read_rows(
    name: str,
    check: Callable[[Any], object],
    columns: Sequence[str] | None = None,
    on_bytes: OnBytes = lambda count: None,
) -> Iterator[Any]:
    """Yield the rows of a file as {column: value}, or a DataError for a row with a text that is not UTF-8.

    Args:
        name: the file.
        check: called with the schema before the first row, and may raise an error.
        columns: the columns to read; None: all.
        on_bytes: called with an estimate of the bytes of each batch of rows.
    """
    with open_parquet(name) as file:
        check(file.schema_arrow)
        rows, size, done = max(file.metadata.num_rows, 1), Path(name).stat().st_size, 0
        for batch in file.iter_batches(_BATCH, columns=columns):
            yield from _values(batch, name, done)
            on_bytes(size * (done + len(batch)) // rows - size * done // rows)
            done += len(batch)


def _values(batch: Any, name: str, before: int) -> Iterator[Any]:
    """Yield the rows of a batch. If one is not UTF-8, read them one by one to find it."""
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
