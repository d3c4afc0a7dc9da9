"""The results of a run that may be interrupted, in a file beside its output.

    answers.csv.part    {"bertkit": "unfinished results", "process": "4711      ", "since": "..."}    the process that writes it
                        {"task": "fill-mask", ..., "files": {...}}     the settings of the run
                        [{"score": ...}, ...]                          one line of JSON for each row; after each chunk the
                        [{"score": ...}, ...]                          number of rows so far, a digest of their lines, one of
                        # 512 9f86d0... 2c26b4... 3 70 9000 9100       their inputs, and the other counts of a Report

The process that writes the file holds a lock on it, which ends with the process. Each chunk is written in one step, so that
kill -9 loses only the chunk that is being written; a resumed run removes its remains. After the last row, the output is made
from the lines, and appears complete.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from bertkit.errors import DataError, UsageError
from bertkit.hub.disk import is_at, lock, open_own, remove_unfinished
from bertkit.pipelines.bulk.about import About, check_same
from bertkit.pipelines.bulk.advice import OR_START_AGAIN, OVERWRITE, RESUME
from bertkit.pipelines.bulk.results import Failed, Layout, check_output, is_error, write_results
from bertkit.pipelines.run import Report

Example = TypeVar("Example")

_FIRST = b'{"bertkit": "unfinished results", '
_MARK = re.compile(rb"# ([0-9]{1,15}) ([0-9a-f]{32}) ([0-9a-f]{32})((?: [0-9]{1,18}){4})\n")
_TRIES = 100

_logger = logging.getLogger("bertkit")


class _Found(NamedTuple):
    """What an interrupted run left in the file."""

    about: Mapping[str, Any]  # the settings of the run
    end: int = 0  # offset of the end of the last complete chunk
    inputs: str = ""  # digest of the inputs that were answered


class Partial:
    """The file of the results so far. Within `with`, no other process can write it."""

    def __init__(
        self,
        output: str,
        source: str,
        layout: Layout,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.output, self.path = output, Path(f"{output}.part")
        self.resume, self.overwrite = resume, overwrite
        self.layout = layout
        self.done = 0
        self.failed = Failed()
        self.report = Report()  # the counts of the chunks that are in the file, without that of the rows
        self._found: _Found | None = None
        self._removable = (
            False  # whether to remove the file if no row is answered, as it has no results of an earlier run
        )
        self._lines_so_far, self._inputs = blake2b(digest_size=16), blake2b(digest_size=16)
        self._digests: deque[str] = deque()  # of the inputs up to each row that is read, but not written yet
        _check_apart(source, output)
        _check_apart(source, str(self.path))
        check_output(output, layout)

    # The file and its lock.

    def __enter__(self) -> Partial:
        self._file = self._locked()
        try:
            self._take_over()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._removable and not self.done:
            self._remove()
        self._file.close()

    def _locked(self) -> BinaryIO:
        """Open and lock the file. If another run ends and removes it meanwhile, try again with a new file."""
        for _ in range(_TRIES):
            try:
                file = open_own(self.path, create=True)
            except OSError as error:
                raise DataError(
                    f"{self.path} cannot be opened for results: {error.strerror}. Move it away, or choose another output."
                ) from error
            if not lock(file, self.path):
                sentence = f"{self.output} is being written by another run{_holder(file)}: wait for it, or choose another output."
                file.close()
                raise UsageError(sentence)
            if is_at(file, self.path):
                return file
            file.close()
        raise DataError(f"{self.path} is removed again and again by another program: choose another output.")

    def _take_over(self) -> None:
        """Become the writer of the file. Raises an error if that would lose or mix results."""
        content = self._content()
        first, header = content.readline(1000), content.readline()
        valid = first.startswith(_FIRST) and len(first) == len(_first_line())
        begun = valid and header.endswith(b"\n")
        self._removable = not first
        if os.path.lexists(self.output) and not (begun and self.resume) and not self.overwrite:
            complete = " and is complete, so that there is nothing to resume" if self.resume else ""
            raise UsageError(f"{self.output} exists{complete}: type ", OVERWRITE, " to replace it.")
        if first and not valid and not self.overwrite:
            raise DataError(
                f"{self.path} was not written by an interrupted run: move it away, or type ", OVERWRITE, "."
            )
        if begun and not self.resume and not self.overwrite:
            raise UsageError(
                f"{self.path} has results of an interrupted run: type ", RESUME, " to continue it", *OR_START_AGAIN
            )
        if begun and self.resume:
            self._found = self._read(content, self._header(header))
        if valid or not first:
            self._file.seek(0)
            self._write(_first_line())

    def _content(self) -> BinaryIO:
        """The file, opened to be read from its start."""
        self._file.seek(0)
        return open(self._file.fileno(), "rb", closefd=False)

    def _remove(self) -> None:
        """Remove the file, unless its path is already the file of another run."""
        if is_at(self._file, self.path):
            with contextlib.suppress(PermissionError):  # Windows cannot remove an open file
                self.path.unlink(missing_ok=True)

    # What an interrupted run left.

    def _header(self, line: bytes) -> dict[str, Any]:
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
        raise DataError(f"{self.path} is damaged in its second line: move it away, or type ", OVERWRITE, ".")

    def _read(self, content: BinaryIO, about: Mapping[str, Any]) -> _Found:
        """Count the rows up to the last complete chunk, and list those that failed."""
        found = _Found(about, content.tell())
        digest, rows, errors = blake2b(digest_size=16), 0, Failed()
        for line in content:
            if mark := _MARK.fullmatch(line):
                if (int(mark[1]), mark[2].decode()) != (rows, digest.hexdigest()):
                    break
                found = _Found(about, content.tell(), mark[3].decode())
                self.done, self._lines_so_far = rows, digest.copy()
                self.failed = Failed(errors.count, list(errors.first))
                self.report = Report(0, *map(int, mark[4].split()))
                continue
            rows += 1
            digest.update(line)
            if is_error(line):
                errors.add(rows, _error_in(line))
        else:
            return found
        _logger.warning(
            "%s is damaged after row %s: the rows after it are answered again.", self.path, f"{self.done:,}"
        )
        return found

    # Rows.

    def start(self, about: About) -> None:
        """Start the file, or continue it. Raises UsageError if `about` differs from that of the earlier run."""
        if self._found and self.done:
            check_same(self._found.about, about, self.path)
        remove_unfinished(self.output)
        self._removable = True
        self._file.seek(0)
        if self._found and self.done:
            self._file.truncate(self._found.end)
            self._file.seek(0, os.SEEK_END)
        else:
            self._file.truncate()
            self._write(_first_line() + json.dumps(about).encode() + b"\n")

    def checked(
        self, examples: Iterable[Example], kept_of: Callable[[int], Any] = lambda row: None
    ) -> Iterator[Example]:
        """Yield the examples. Raises an error if those that were answered before, or their kept columns, have changed."""
        seen, done = 0, self.done
        for example in examples:
            seen += 1
            self._inputs.update(repr(example).encode("utf-8", "backslashreplace") + b"\n")
            if values := kept_of(seen):
                self._inputs.update(repr(values).encode("utf-8", "backslashreplace") + b"\n")
            if seen > done:
                self._digests.append(self._inputs.hexdigest())
            if seen == done and self._found and self._inputs.hexdigest() != self._found.inputs:
                raise UsageError(
                    f"{self.path} has results of other inputs: the first {done:,} rows changed since. Pass the earlier "
                    "inputs to continue that run",
                    *OR_START_AGAIN,
                )
            yield example
        if seen < done:
            raise DataError(
                f"{self.path} has {done:,} results, but the input has only {seen:,} rows: pass the earlier inputs",
                *OR_START_AGAIN,
            )

    def add(self, lines: Sequence[bytes], report: Report) -> None:
        """Write the results of a chunk, one for each example that `checked` yielded next, and the counts up to its end."""
        text = b"".join(lines)
        self._lines_so_far.update(text)
        rows = self.done + len(lines)
        inputs = [self._digests.popleft() for _ in lines][-1]
        counts = f"{report.cut} {report.left_out} {report.tokens} {report.cells}"
        data = text + f"# {rows} {self._lines_so_far.hexdigest()} {inputs} {counts}\n".encode()
        size = os.fstat(self._file.fileno()).st_size + len(data)
        try:
            self._write(data)
        finally:  # Ctrl-C may interrupt _write after its last byte
            if os.fstat(self._file.fileno()).st_size == size:
                self.done = rows

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> None:
        """Make the output from the lines, and remove the file."""
        write_results(self._lines, self.output, self.layout)
        self._remove()
        self.done = 0

    def _lines(self) -> Iterator[bytes]:
        """The rows. Raises DataError if their number differs from the number written."""
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
                f"{self.path} has {rows:,} rows, but {self.done:,} were written: another program changed it. Type ",
                RESUME,
                " to continue after the undamaged rows",
                *OR_START_AGAIN,
            )


def _first_line() -> bytes:
    """The line that names the process that writes the file. Its length is constant, so that it can be overwritten."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return _FIRST + f'"process": "{os.getpid():<10}", "since": "{since}"}}\n'.encode()


def _holder(file: BinaryIO) -> str:
    """The process that writes a file, for a message; an empty string if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads(file.read(1000).split(b"\n")[0])
        process, since = str(found["process"]).strip(), str(found["since"])
        if process.isdecimal() and re.fullmatch(r"[-0-9: UTC]{10,30}", since):
            return f", process {process:.10} since {since}"
    return ""


def _error_in(line: bytes) -> str:
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
        return str(json.loads(line)["error"])
    return "an error message that cannot be read"


def _check_apart(source: str, output: str) -> None:
    """Raises UsageError if input and output are the same file, under any name: writing would destroy unread input."""
    with contextlib.suppress(OSError):  # one of them does not exist, or stdin is closed
        read = os.fstat(0) if source == "-" else Path(source).stat()
        if os.path.samestat(read, Path(output).stat()):
            raise UsageError(f"{output} is also the input: choose another output.")
