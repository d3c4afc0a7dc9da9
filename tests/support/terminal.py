"""Run commands in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "bertkit.cli", *words]


def seen(words: list[str], typed: Sequence[str] = (), **environment: str) -> str:
    """Return the output of a command in a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    own = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment}
    with subprocess.Popen(command(words), stdin=slave, stdout=slave, stderr=slave, env=own) as process:
        os.close(slave)
        parts = []
        for text in typed:
            os.write(master, text.encode())
        try:
            while data := os.read(master, 2**16):
                parts.append(data)
        except OSError:  # the command has closed the terminal
            pass
    os.close(master)
    assert process.returncode in (0, 1, 2)
    return b"".join(parts).decode().replace("\r\n", "\n")
