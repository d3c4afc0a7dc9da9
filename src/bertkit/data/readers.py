"""Texts out of files, as a stream: plain text, JSON lines and Parquet, as they are or within gzip or xz."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import os
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from bertkit.errors import DataError, MissingExtraError, Setting, UsageError, did_you_mean
from bertkit.logging import is_progress_bar_enabled

LONGEST_LINE = 16 * 2**20  # bytes

OnBytes = Callable[[int], object]
"""Hears how many bytes of a file were just read: for a progress bar."""

_FIRST = 8
"""Lines among which a zero byte tells that a file is no text."""

_GZIP, _XZ, _UTF16 = b"\x1f\x8b", b"\xfd7zXZ\x00", (b"\xff\xfe", b"\xfe\xff")
_TABLES = (".csv", ".tsv")


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
    if name == "-":
        return 0
    path = Path(name)
    if path.is_dir():
        raise DataError(f"{name} is a directory. Name the files in it: {path / '*'}")
    if not path.exists():
        raise DataError(f"There is no file {name}.")
    if _kind(name) in _TABLES:
        raise UsageError(
            f"{name} is a table, and which column holds the text is not known. Take plain text, .jsonl or .parquet, or - for a "
            f"column that another program prints, as in: cut -f2 {name} | bertkit ... -"
        )
    return path.stat().st_size


def _kind(name: str) -> str:
    """The ending of a name that says what a file holds, not how it is packed."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in (".gz", ".xz") else path.suffix


def _all_texts(names: Sequence[str], field: str, size: int | None, progress: bool) -> Generator[str, None, None]:
    from tqdm import tqdm

    with tqdm(
        total=size, desc="Reading", unit="B", unit_scale=True, disable=not (progress and is_progress_bar_enabled())
    ) as bar:
        for name in names:
            yield from _texts(name, field, bar.update)


def _texts(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    kind = _kind(name)
    if kind == ".parquet":
        return _parquet(name, field, on_bytes)
    lines = read_lines(name, on_bytes)
    if kind in (".jsonl", ".ndjson", ".json"):
        return _fields(lines, name, field)
    return (line for line in lines if line and not line.isspace())


def read_lines(name: str, on_bytes: OnBytes = lambda count: None) -> Iterator[str]:
    """The lines of a file of UTF-8 text, empty ones too, unpacked where it is packed; "-" is standard input."""
    for text, wrong in checked_lines(name, on_bytes):
        if wrong is not None:
            raise DataError(wrong)
        yield text


def checked_lines(name: str, on_bytes: OnBytes = lambda count: None) -> Iterator[tuple[str, str | None]]:
    """The lines of a file, each with None or with what is wrong with it; of a wrong one what can be read.

    A file whose first lines tell that it is no text is an error as a whole.
    """
    shown = "standard input" if name == "-" else name
    with _open(name, on_bytes) as file, _sound(shown):
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            wrong = None
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                text, wrong = line.decode(errors="replace"), _no_text(line, f"Line {number} of {shown}", error)
            if len(line) > LONGEST_LINE or "\0" in text:
                text, wrong = text.replace("\0", "\ufffd"), _no_text(line, f"Line {number} of {shown}")
            if wrong is not None and _is_binary(line, number):
                raise DataError(wrong)
            yield text.rstrip("\r\n").removeprefix("\ufeff" if number == 1 else ""), wrong
            while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE + 1)


def _is_binary(line: bytes, number: int) -> bool:
    """Whether a line that is wrong tells that the file is no text."""
    return number <= _FIRST and (b"\0" in line or len(line) > LONGEST_LINE or line.startswith(_UTF16))


@contextlib.contextmanager
def _open(name: str, on_bytes: OnBytes) -> Iterator[BinaryIO]:
    """A file, unpacked when it begins as a packed one does."""
    try:
        raw = _Watched(0 if name == "-" else name, on_bytes)
    except OSError as error:
        raise DataError(f"{name} cannot be opened: {error.strerror}.") from error
    with raw, io.BufferedReader(raw, 2**18) as file:
        start = file.peek(len(_XZ))
        if start.startswith(_GZIP):
            yield cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=file), 2**18))
        elif start.startswith(_XZ):
            yield cast(BinaryIO, io.BufferedReader(lzma.LZMAFile(file), 2**18))  # noqa: SIM115
        else:
            yield file


class _Watched(io.FileIO):
    """A file that tells how many bytes were read."""

    def __init__(self, file: str | int, on_bytes: OnBytes) -> None:
        super().__init__(file, "rb", closefd=isinstance(file, str))
        self._on_bytes = on_bytes

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        count = super().readinto(buffer)
        self._on_bytes(count or 0)
        return count


@contextlib.contextmanager
def _sound(name: str) -> Iterator[None]:
    """Tell of a damaged packed file in our words."""
    try:
        yield
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{name} cannot be unpacked: it is damaged or cut off ({error}).") from error


def _no_text(line: bytes, where: str, error: UnicodeDecodeError | None = None) -> str:
    """What is wrong with a line."""
    if len(line) > LONGEST_LINE:
        megabytes = LONGEST_LINE // 2**20
        return f"{where} is longer than {megabytes} MB. A line is one text: break the file into lines."
    if line.startswith(_UTF16):
        return f"{where} is UTF-16. Write the file as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW"
    if error is None or b"\0" in line:
        return f"{where} holds a zero byte, so that it is neither text nor packed with gzip or xz."
    return (
        f"{where} is not UTF-8: byte {error.start + 1} of it is 0x{line[error.start]:02x}. If the file is text, write it "
        "anew with: iconv -f ITS-ENCODING -t UTF-8 FILE > NEW"
    )


def _fields(lines: Iterator[str], name: str, field: str) -> Iterator[str]:
    """The text of each JSON line."""
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        where = f"Line {number} of {name}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not JSON ({error}). A .jsonl has one object a line.") from error
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


def _parquet(name: str, field: str, on_bytes: OnBytes) -> Iterator[str]:
    """The texts of a column of a Parquet file."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", None, f"Reading {name}") from error
    try:
        with parquet.ParquetFile(name) as file:
            _check_column(file.schema_arrow, name, field, arrow.types)
            rows, size, done = max(file.metadata.num_rows, 1), Path(name).stat().st_size, 0
            for batch in file.iter_batches(batch_size=256, columns=[field]):
                yield from filter(None, batch.column(0).to_pylist())
                on_bytes(size * (done + len(batch)) // rows - size * done // rows)
                done += len(batch)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} cannot be read as Parquet: it is damaged or of another format ({error}).") from error


def _check_column(schema: Any, name: str, field: str, types: Any) -> None:
    if field not in schema.names:
        raise DataError(f"{name} has no column {field!r}.", *_choice(field, schema.names))
    kind = schema.field(field).type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if not (types.is_string(kind) or types.is_large_string(kind)):
        raise DataError(f"The column {field!r} of {name} holds {kind}, where texts belong.")
