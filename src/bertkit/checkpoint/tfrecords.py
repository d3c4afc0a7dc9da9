"""Read the records of TensorFlow's TFRecord files, and the tf.train.Example in each, without TensorFlow.

A record is the length of its data (8 bytes, little-endian), the masked CRC-32C of these 8 bytes, the data, and the masked CRC-32C
of the data. An Example maps names to lists of integers, floats or bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bertkit.checkpoint.crc32c import masked_crc32c
from bertkit.checkpoint.protobuf import nested, parse
from bertkit.errors import FileFormatError

_LARGEST = 2**20  # bytes of a record; an example of 512 tokens has up to 20 kB
_FLOATS, _INTEGERS = 2, 3  # fields of a Feature


def read_examples(path: str | os.PathLike[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the lists of integers and floats of each Example in a file. Lists of bytes are left out."""
    for number, data in enumerate(read_records(path), start=1):
        yield parse_example(memoryview(data), f"Record {number} of {path}")


def read_records(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield the data of each record in a file. Raises FileFormatError if a checksum differs."""
    with _opened(path) as file:
        number = 0
        while head := file.read(12):
            number += 1
            size = int.from_bytes(head[:8], "little")
            if len(head) < 12 or _crc(head[8:]) != masked_crc32c(head[:8]) or size > _LARGEST:
                raise _damaged(path, number)
            body = file.read(size + 4)
            if len(body) < size + 4 or _crc(body[size:]) != masked_crc32c(body[:size]):
                raise _damaged(path, number)
            yield body[:size]


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}.") from error


def parse_example(data: memoryview, what: str) -> dict[str, NDArray[Any]]:
    """Return the lists of integers and floats of a tf.train.Example, by their names."""
    found: dict[str, NDArray[Any]] = {}
    for features in nested(parse(data, what), 1, what):
        for entry in nested(parse(features, what), 1, what):
            pair = parse(entry, what)
            name = b"".join(bytes(part) for part in nested(pair, 1, what)[-1:]).decode("utf-8", "replace")
            for feature in nested(pair, 2, what):
                kinds = parse(feature, what)
                if _INTEGERS in kinds:
                    found[name] = _joined([_integers(part, what) for part in nested(kinds, _INTEGERS, what)], np.int64)
                elif _FLOATS in kinds:
                    found[name] = _joined([_floats(part, what) for part in nested(kinds, _FLOATS, what)], np.float32)
    return found


def _integers(data: memoryview, what: str) -> NDArray[np.int64]:
    """Return the values of an Int64List, packed or one by one."""
    parts = []
    for value in parse(data, what).get(1, []):
        if isinstance(value, int):
            parts.append(np.array([value], np.uint64))
        else:
            parts.append(_varints(np.frombuffer(value, np.uint8), what))
    return _joined(parts, np.uint64).view(np.int64)


def _varints(octets: NDArray[np.uint8], what: str) -> NDArray[np.uint64]:
    """Return the numbers in packed varints."""
    ends = np.flatnonzero(octets < 0x80)
    if len(octets) and (not len(ends) or ends[-1] != len(octets) - 1):
        raise FileFormatError(f"{what} ends within a number: it is damaged; download or copy it again.")
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    sizes = ends - starts + 1
    if len(sizes) and sizes.max() > 10:
        raise FileFormatError(f"{what} has a number of more than 64 bits: it is damaged; download or copy it again.")
    if not len(sizes):
        return np.empty(0, np.uint64)
    shifts = (7 * (np.arange(len(octets)) - np.repeat(starts, sizes))).astype(np.uint64)
    return np.bitwise_or.reduceat((octets & 0x7F).astype(np.uint64) << shifts, starts)


def _floats(data: memoryview, what: str) -> NDArray[np.float32]:
    """Return the values of a FloatList, packed or one by one."""
    parts = []
    for value in parse(data, what).get(1, []):
        if isinstance(value, int) and value >= 2**32:
            raise FileFormatError(f"{what} has a float of more than 4 bytes: it is damaged; download or copy it again.")
        octets = value.to_bytes(4, "little") if isinstance(value, int) else bytes(value)
        if len(octets) % 4:
            raise FileFormatError(f"{what} ends within a number: it is damaged; download or copy it again.")
        parts.append(np.frombuffer(octets, "<f4"))
    return _joined(parts, np.float32)


def _joined(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _crc(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _damaged(path: str | os.PathLike[str], number: int) -> FileFormatError:
    return FileFormatError(
        f"Record {number} of {path} is damaged, or the file is not a TFRecord file without compression: copy it again."
    )
