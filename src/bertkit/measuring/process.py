"""The process of a contestant, seen from the one that asks: requests and answers, and the last lines of its errors."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

from bertkit.data.json_line import line_of
from bertkit.errors import BertkitError


class RefusedError(BertkitError, RuntimeError):
    """The model cannot run in a setting: the engine is not installed, lacks the precision, or its process ended."""


class Process:
    """A contestant that is started, and asked until `close`."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bertkit.measuring.contestant"],  # -P: no module of the current folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Return the answer to a request. Raises RefusedError if there is none."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(line_of({"do": do, **request}))
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code, error = self._process.wait(), self._last_error()
            raise RefusedError(f"The process that runs the model ended with code {code}: {error}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise RefusedError(found["error"])
        return found

    @property
    def ended(self) -> bool:
        """Whether the process has ended by itself."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote no error. Perhaps the memory was full."
