"""The results of a run that may be interrupted, in a file beside the one that they become.

    answers.csv.part    {"bertkit": "unfinished results", "process": "4711      ", "since": "..."}    who has it, or had it last
                        {"task": "fill-mask", ..., "files": {...}}     of which run they are
                        [{"score": ...}, ...]                          one line of JSON a row, and after each chunk how many
                        [{"score": ...}, ...]                          rows there are, a digest of their lines, and one of
                        # 512 9f86d0... 2c26b4...                      the inputs that they answer

The process that has the file holds a lock on it, which ends with the process. A chunk is written at once, so that kill -9 loses
no other than the one that is being written, which is cut off when the run goes on. When all rows are done, the output is made of
the lines, and appears whole.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from bertkit.cli.results import Failed, check_output, is_error, write_results
from bertkit.errors import DataError, UsageError
from bertkit.hub.disk import is_at, lock, open_own, remove_unfinished

Example = TypeVar("Example")

_FIRST = b'{"bertkit": "unfinished results", '
_MARK = re.compile(rb"# ([0-9]{1,15}) ([0-9a-f]{32}) ([0-9a-f]{32})\n")
_TRIES = 100

_logger = logging.getLogger("bertkit")


class _Found(NamedTuple):
    """What an interrupted run has left."""

    about: Mapping[str, Any]
    end: int = 0  # of the last whole chunk
    inputs: str = ""  # the digest of what was answered


class Partial:
    """The results that are written so far. The file is this process's own within `with`."""

    def __init__(
        self,
        output: str,
        source: str,
        about: Mapping[str, Any],
        *,
        kept: Sequence[str] = (),
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.output, self.path, self.about = output, Path(f"{output}.part"), dict(about)
        self.resume, self.overwrite = resume, overwrite
        self.kept = kept  # columns of the input in each line
        self.done = 0
        self.failed = Failed()
        self._found: _Found | None = None
        self._ours = False  # whether nothing in the file is an earlier run's, so that it goes where nothing is answered
        self._lines_so_far, self._inputs = blake2b(digest_size=16), blake2b(digest_size=16)
        _check_apart(source, output)
        _check_apart(source, str(self.path))
        check_output(output)

    # The file, and whose it is.

    def __enter__(self) -> Partial:
        self._file = self._locked()
        try:
            self._settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours and not self.done:
            self._remove()
        self._file.close()

    def _locked(self) -> BinaryIO:
        """The file, locked. A run that ends meanwhile removes it, and then there is a new one."""
        for _ in range(_TRIES):
            try:
                file = open_own(self.path, create=True)
            except OSError as error:
                raise DataError(
                    f"{self.path} cannot hold results: {error.strerror}. Move it away, or change --output."
                ) from error
            if not lock(file, self.path):
                sentence = f"{self.output} is being written by another run{_holder(file)}: wait for its end, or change --output."
                file.close()
                raise UsageError(sentence)
            if is_at(file, self.path):
                return file
            file.close()
        raise DataError(f"{self.path} is removed again and again by another program: change --output.")

    def _settle(self) -> None:
        """Refuse what must not be lost or mixed, and take the file over."""
        content = self._content()
        first, header = content.readline(1000), content.readline()
        ours = first.startswith(_FIRST) and len(first) == len(_first_line())
        begun = ours and header.endswith(b"\n")
        there = os.path.lexists(self.output)
        self._ours = not first
        if there and not (begun and self.resume) and not self.overwrite:
            whole = " and complete, so that there is nothing to resume" if self.resume else ""
            raise UsageError(f"{self.output} is there already{whole}: type --overwrite to replace it.")
        if first and not ours and not self.overwrite:
            raise DataError(f"{self.path} is not what an interrupted run leaves: move it away, or type --overwrite.")
        if begun and not self.resume and not self.overwrite:
            raise UsageError(
                f"{self.path} has results of a run that was interrupted: type --resume to go on with it, or --overwrite to begin "
                "anew."
            )
        if begun and self.resume:
            self._found = self._read(content, self._header(header))
            self._check(self._found.about, self.about)
        if ours or not first:
            self._file.seek(0)
            self._write(_first_line())

    def _content(self) -> BinaryIO:
        """The file to be read from its start."""
        self._file.seek(0)
        return open(self._file.fileno(), "rb", closefd=False)

    def _remove(self) -> None:
        """Remove the file, unless it is that of another run already."""
        if is_at(self._file, self.path):
            with contextlib.suppress(PermissionError):  # Windows keeps open files
                self.path.unlink(missing_ok=True)

    # What an interrupted run has left.

    def _header(self, line: bytes) -> dict[str, Any]:
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
        raise DataError(f"{self.path} is damaged in its second line: move it away, or type --overwrite.")

    def _read(self, content: BinaryIO, about: Mapping[str, Any]) -> _Found:
        """Count the rows up to the last chunk that is whole, and find those of them that failed."""
        found = _Found(about, content.tell())
        digest, rows, errors = blake2b(digest_size=16), 0, Failed()
        for line in content:
            if mark := _MARK.fullmatch(line):
                if (int(mark[1]), mark[2].decode()) != (rows, digest.hexdigest()):
                    break
                found = _Found(about, content.tell(), mark[3].decode())
                self.done, self._lines_so_far = rows, digest.copy()
                self.failed = Failed(errors.count, list(errors.first))
                continue
            rows += 1
            digest.update(line)
            if is_error(line):
                errors.add(rows, _sentence(line))
        else:
            return found
        _logger.warning(
            "%s is damaged after row %s: the rows from there on are answered again.", self.path, f"{self.done:,}"
        )
        return found

    def _check(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in {**before, **now}:
            old, new = before.get(name), now.get(name)
            if old != new and name != "files":
                raise UsageError(
                    f"{self.path} is of another run, with {name} {_short(old)}, and now it is {_short(new)}: type "
                    "the same as then to go on with it, or --overwrite to begin anew."
                )

    def _check_files(self, before: Any, now: Mapping[str, str]) -> None:
        before = before if isinstance(before, dict) else {}
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            raise UsageError(
                f"{self.path} is of another run: {', '.join(changed[:4])} changed since. Put back the files of then to go on "
                "with it, or type --overwrite to begin anew."
            )

    # Rows.

    def start(self, files: Mapping[str, str]) -> None:
        """Begin, or go on, with the files of a model: each with what tells its contents."""
        if self._found and self.done:
            self._check_files(self._found.about.get("files"), files)
        remove_unfinished(self.output)
        self._ours = True
        self._file.seek(0)
        if self._found and self.done:
            self._file.truncate(self._found.end)
            self._file.seek(0, os.SEEK_END)
        else:
            self._file.truncate()
            self._write(_first_line() + json.dumps({**self.about, "files": files}).encode() + b"\n")

    def watched(
        self, examples: Iterable[Example], beside: Callable[[int], Any] = lambda row: None
    ) -> Iterator[Example]:
        """The examples, of which those that were answered before have to be the same, and so what is kept `beside` them."""
        seen = 0
        for example in examples:
            seen += 1
            self._inputs.update(repr(example).encode("utf-8", "backslashreplace") + b"\n")
            if values := beside(seen):
                self._inputs.update(repr(values).encode("utf-8", "backslashreplace") + b"\n")
            if seen == self.done and self._found and self._inputs.hexdigest() != self._found.inputs:
                raise UsageError(
                    f"{self.path} has results of other inputs: the first {self.done:,} rows changed since. Type the same "
                    "--input as then to go on with it, or --overwrite to begin anew."
                )
            yield example
        if seen < self.done:
            raise DataError(
                f"{self.path} has {self.done:,} results, and the input {seen:,} rows: it is of another one."
            )

    def add(self, lines: Sequence[bytes]) -> None:
        """Write the results of all examples that were watched and have none yet, now."""
        text = b"".join(lines)
        self._lines_so_far.update(text)
        rows = self.done + len(lines)
        data = text + f"# {rows} {self._lines_so_far.hexdigest()} {self._inputs.hexdigest()}\n".encode()
        size = os.fstat(self._file.fileno()).st_size + len(data)
        try:
            self._write(data)
        finally:  # Ctrl-C may fall between the last byte and this line
            if os.fstat(self._file.fileno()).st_size == size:
                self.done = rows

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> None:
        """Make the output of the lines."""
        write_results(self._lines, self.output, self.kept)
        self._remove()
        self.done = 0

    def _lines(self) -> Iterator[bytes]:
        """The rows, which have to be as many as were written."""
        content = self._content()
        content.readline()
        content.readline()
        rows = 0
        for line in content:
            if not _MARK.fullmatch(line):
                rows += 1
                yield line
        if rows != self.done:
            raise DataError(
                f"{self.path} has {rows:,} rows, and {self.done:,} were written: another program changed it. Type --resume "
                "to go on with what is whole, or --overwrite to begin anew."
            )


def _first_line() -> bytes:
    """Who has the file, always as long."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return _FIRST + f'"process": "{os.getpid():<10}", "since": "{since}"}}\n'.encode()


def _holder(file: BinaryIO) -> str:
    """Who has a file, as far as that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads(file.read(1000).split(b"\n")[0])
        process, since = str(found["process"]).strip(), str(found["since"])
        if process.isdecimal() and re.fullmatch(r"[-0-9: UTC]{10,30}", since):
            return f", process {process:.10} since {since}"
    return ""


def _sentence(line: bytes) -> str:
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
        return str(json.loads(line)["error"])
    return "an error that cannot be read"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _check_apart(source: str, output: str) -> None:
    """Refuse a file that is input and output, under any name: writing it would destroy what is still to be read."""
    with contextlib.suppress(OSError):  # one of them is not there, or standard input is closed
        read = os.fstat(0) if source == "-" else Path(source).stat()
        if os.path.samestat(read, Path(output).stat()):
            raise UsageError(f"{output} is the input too: choose another --output.")
