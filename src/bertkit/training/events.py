"""Write scalars for TensorBoard, without TensorFlow.

An event file is a sequence of records: the length of the data (8 bytes), its checksum, the data, and its checksum. The data is a
protocol buffer, `Event` in TensorFlow's event.proto:

    1 wall_time (double)   2 step   3 file_version (the first event only)   5 summary   7 session_log
    summary: 1 value, repeated: 1 tag, 2 simple_value (float)
"""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bertkit.checkpoint.crc32c import masked_crc32c
from bertkit.checkpoint.protobuf import field, varint

_NUMBERS = itertools.count()  # two writers of one second and one process need two names
_START = field(1, 1)  # SessionLog with the status START


class EventWriter:
    """Writes scalars to a new event file in a folder. TensorBoard reads all event files of a folder as one run.

    A resumed run opens a new file. TensorBoard then ignores what earlier files have from the first new step on.

    >>> import tempfile
    >>> writer = EventWriter(tempfile.mkdtemp())
    >>> writer.scalars(10, {"train/loss": 0.5}, seconds=1_700_000_000.0)
    >>> writer.close()

    Args:
        folder: it is created if it does not exist.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        seconds = time.time()
        name = f"events.out.tfevents.{int(seconds):010d}.bertkit.{os.getpid()}.{next(_NUMBERS)}"
        self.path = Path(folder) / name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("xb")
        self._started = False
        self._write(seconds, field(3, b"brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float], seconds: float | None = None) -> None:
        """Write the values of a step. `seconds` is the time since 1970, by default the present."""
        seconds = time.time() if seconds is None else seconds
        if not self._started:
            self._started = True
            self._write(seconds, field(2, step) + field(7, _START))
        summary = b"".join(field(1, _value(name, value)) for name, value in values.items())
        self._write(seconds, field(2, step) + field(5, summary))

    def close(self) -> None:
        """Close the file. Further calls do nothing."""
        self._file.close()

    def _write(self, seconds: float, rest: bytes) -> None:
        """Write an event, and flush it so that TensorBoard shows it at once."""
        event = _fixed(1, struct.pack("<d", seconds)) + rest
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))
        self._file.flush()


def _value(name: str, value: float) -> bytes:
    """Encode a tag and its value. A value of zero is encoded too, as an omitted one would be no value."""
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinity
        number = np.float32(value).astype("<f4").tobytes()
    return field(1, name.encode("utf-8", "replace")) + _fixed(2, number)


def _fixed(number: int, value: bytes) -> bytes:
    """Encode a field with a double (8 bytes) or a float (4 bytes)."""
    return varint(number << 3 | (1 if len(value) == 8 else 5)) + value


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))
