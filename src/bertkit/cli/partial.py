"""The results of a run that may be interrupted, as lines of JSON beside the file that they become.

    answers.csv.part    {"bertkit": ..., "task": "fill-mask", ...}     of which run they are
                        [{"score": ...}, ...]                          one line a row, whole chunks at a time
                        [{"score": ...}, ...]

Lines are written at once, so that not even kill -9 takes what was written; it may tear the last line, which is cut off when the
run goes on. When all rows are done, the output is made of the lines, and appears whole.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bertkit.cli.results import Failed, check_output, is_error, write_results
from bertkit.errors import DataError, UsageError


class Partial:
    """The results that are written so far."""

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
        self.kept = kept  # columns of the input in each line
        self.done = 0
        self.failed = Failed()
        self._file: BinaryIO | None = None
        check_output(output)
        _check_apart(source, output)
        _check_apart(source, str(self.path))
        left = self.path.exists()
        if Path(output).exists() and not (left and resume) and not overwrite:
            whole = " and complete, so that there is nothing to resume" if resume else ""
            raise UsageError(f"{output} is there already{whole}: type --overwrite to replace it.")
        if left and resume:
            self._read()
        elif left and not overwrite:
            raise UsageError(
                f"{self.path} has results of a run that was interrupted: type --resume to go on with it, or --overwrite to begin "
                "anew."
            )

    def _read(self) -> None:
        """What an interrupted run has left, without a torn last line."""
        with open(self.path, "rb+") as file:
            header = file.readline()
            if not header.endswith(b"\n"):
                file.truncate(0)
                return
            self._check(header)
            end = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                self.done += 1
                if is_error(line):
                    self.failed.add(self.done, json.loads(line)["error"])
            file.truncate(end)

    def _check(self, header: bytes) -> None:
        try:
            before = json.loads(header)
        except ValueError:
            before = None
        if not isinstance(before, dict):
            raise DataError(f"{self.path} is not what an interrupted run leaves: move it away, or type --overwrite.")
        for name in {**before, **self.about}:
            old, new = before.get(name), self.about.get(name)
            if old != new:
                raise UsageError(
                    f"{self.path} is of another run, with {name} {json.dumps(old)}, and now it is {json.dumps(new)}: type "
                    "the same as then to go on with it, or --overwrite to begin anew."
                )

    def __enter__(self) -> Partial:
        self._file = open(self.path, "ab" if self.done else "wb", buffering=0)
        if not self.done:
            self._write(json.dumps(self.about, ensure_ascii=False).encode() + b"\n")
        return self

    def __exit__(self, *error: object) -> None:
        assert self._file is not None
        self._file.close()
        if not self.done:
            self.path.unlink(missing_ok=True)

    def add(self, lines: Sequence[bytes]) -> None:
        """Write further lines, now."""
        self._write(b"".join(lines))
        self.done += len(lines)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> None:
        """Make the output of the lines."""
        write_results(self._lines, self.output, self.kept)
        self.path.unlink()
        self.done = 0

    def _lines(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            file.readline()
            yield from file


def _check_apart(source: str, output: str) -> None:
    """Refuse a file that is input and output, under any name: writing it would destroy what is still to be read."""
    with contextlib.suppress(OSError):  # one of them is not there, or standard input is closed
        read = os.fstat(0) if source == "-" else Path(source).stat()
        if os.path.samestat(read, Path(output).stat()):
            raise UsageError(f"{output} is the input too: choose another --output.")
