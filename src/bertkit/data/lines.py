"""Read lines of text from files as a stream. Files in gzip or xz are decompressed."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from bertkit.errors import DataError

LONGEST_LINE = 16 * 2**20  # bytes
LARGEST_DOCUMENT = 2**30  # bytes of a file that is read as a whole

OnBytes = Callable[[int], object]
"""Called with the number of bytes of each read from a file, for progress bars."""

_FIRST = 8
"""A zero byte in these first lines means that the file is not text."""

_GZIP, _XZ, _UTF16 = b"\x1f\x8b", b"\xfd7zXZ\x00", (b"\xff\xfe", b"\xfe\xff")


def read_lines(name: str, on_bytes: OnBytes = lambda count: None) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, including empty lines, decompressed if needed. "-" is standard input."""
    for text, wrong in checked_lines(name, on_bytes):
        if wrong is not None:
            raise DataError(wrong)
        yield text


def checked_lines(
    name: str, on_bytes: OnBytes = lambda count: None, encoding: str = "utf-8"
) -> Iterator[tuple[str, str | None]]:
    """Yield each line of a file with None or an error text. Invalid bytes in a line are replaced.

    Raises DataError if the first lines show that the file is not text.
    """
    shown = shown_name(name)
    with _open(name, on_bytes) as file, _decompression_errors(shown):
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            wrong = None
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                text, wrong = line.decode(encoding, "replace"), _no_text(line, f"Line {number} of {shown}", error)
            if len(line) > LONGEST_LINE or "\0" in text:
                text, wrong = text.replace("\0", "\ufffd"), _no_text(line, f"Line {number} of {shown}")
            if wrong is not None and _is_binary(line, number):
                raise DataError(wrong)
            yield text.rstrip("\r\n").removeprefix("\ufeff" if number == 1 else ""), wrong
            while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE + 1)


def read_document(name: str, encoding: str = "utf-8") -> str:
    """Return the whole text of a file, decompressed if needed, for formats that are not read by lines."""
    shown = shown_name(name)
    with _open(name, lambda count: None) as file, _decompression_errors(shown):
        data = file.read(LARGEST_DOCUMENT + 1)
    if len(data) > LARGEST_DOCUMENT:
        raise DataError(f"{shown} is larger than {LARGEST_DOCUMENT // 2**30} GB: split it into several files.")
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        for number, line in enumerate(data.split(b"\n"), start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                raise DataError(_no_text(line, f"Line {number} of {shown}", error)) from error
        raise


def shown_name(name: str) -> str:
    """Return the name of a file for messages."""
    return "standard input" if name == "-" else name


def _is_binary(line: bytes, number: int) -> bool:
    """Return whether an invalid line shows that the whole file is not text."""
    return number <= _FIRST and (b"\0" in line or len(line) > LONGEST_LINE or line.startswith(_UTF16))


@contextlib.contextmanager
def _open(name: str, on_bytes: OnBytes) -> Iterator[BinaryIO]:
    """Open a file, and decompress it if it starts like gzip or xz."""
    try:
        raw = _CountedFile(0 if name == "-" else name, on_bytes)
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


class _CountedFile(io.FileIO):
    """A file that calls a function with the number of bytes of each read."""

    def __init__(self, file: str | int, on_bytes: OnBytes) -> None:
        super().__init__(file, "rb", closefd=isinstance(file, str))
        self._on_bytes = on_bytes

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        count = super().readinto(buffer)
        self._on_bytes(count or 0)
        return count


@contextlib.contextmanager
def _decompression_errors(name: str) -> Iterator[None]:
    """Convert errors of gzip and xz to DataError."""
    try:
        yield
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{name} cannot be decompressed: it is damaged or incomplete ({error}).") from error


def _no_text(line: bytes, where: str, error: UnicodeDecodeError | None = None) -> str:
    """Return the error text for an invalid line."""
    if len(line) > LONGEST_LINE:
        megabytes = LONGEST_LINE // 2**20
        return f"{where} is longer than {megabytes} MB. Each line is one text: split the file into lines."
    if line.startswith(_UTF16):
        return f"{where} is UTF-16. Write the file as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW"
    if error is None or b"\0" in line:
        return f"{where} has a zero byte, so the file is not text, gzip or xz."
    return (
        f"{where} is not {error.encoding.upper()}: its byte {error.start + 1} is 0x{line[error.start]:02x}. If the file is "
        "text, convert it with: iconv -f ITS-ENCODING -t UTF-8 FILE > NEW"
    )
