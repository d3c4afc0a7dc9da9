"""Rows out of Parquet, by pyarrow, as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bertkit.data.lines import OnBytes
from bertkit.errors import DataError, MissingExtraError

_BATCH = 256  # rows


def import_pyarrow(purpose: str) -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", None, purpose) from error


@contextlib.contextmanager
def open_parquet(name: str) -> Iterator[Any]:
    """A ParquetFile; what is wrong with it, there or while it is read, is a DataError."""
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
    """The rows of a file as {column: value}; a DataError in the place of one with a text that is not UTF-8.

    Args:
        name: the file.
        check: gets the schema before the first row, and may refuse it.
        columns: which to read; None is all.
        on_bytes: gets the share of the file's bytes that each batch of rows is.
    """
    with open_parquet(name) as file:
        check(file.schema_arrow)
        rows, size, done = max(file.metadata.num_rows, 1), Path(name).stat().st_size, 0
        for batch in file.iter_batches(_BATCH, columns=columns):
            yield from _values(batch, name, done)
            on_bytes(size * (done + len(batch)) // rows - size * done // rows)
            done += len(batch)


def _values(batch: Any, name: str, before: int) -> Iterator[Any]:
    """The rows of a batch; one by one where a text in them is not UTF-8, to know which."""
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
