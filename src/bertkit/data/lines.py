"""Lines of text out of files, as a stream; files packed with gzip or xz are unpacked on the way."""

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

OnBytes = Callable[[int], object]
"""Hears how many bytes of a file were just read: for a progress bar."""

_FIRST = 8
"""Lines among which a zero byte tells that a file is no text."""

_GZIP, _XZ, _UTF16 = b"\x1f\x8b", b"\xfd7zXZ\x00", (b"\xff\xfe", b"\xfe\xff")


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
    shown = shown_name(name)
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


def shown_name(name: str) -> str:
    """The name of a file in messages."""
    return "standard input" if name == "-" else name


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
