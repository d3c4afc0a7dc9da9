"""LevelDB's sorted string table: keys in bytewise order with their values, the format of the index of a checkpoint.

    data block ... data block | meta block | index block | footer

The footer (48 bytes) has the position of the index block, which has the positions of the data blocks. A block is a
sequence of entries. Each stores its key as the number of bytes that it shares with the previous key and the bytes that
follow. After the entries are the positions of those that share nothing ("restarts", to which a reader can jump), their
number, and a trailer: one byte for the compression and a masked CRC-32C of all bytes before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from bertkit.checkpoint.crc32c import masked_crc32c
from bertkit.checkpoint.protobuf import read_varint, varint
from bertkit.errors import FileFormatError, UnsafeFileError

Entry = tuple[bytes, bytes]

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
_BLOCK_BYTES = 1 << 16
_RESTART_EVERY = 16

# BERT-large and its optimizer have 1,200 entries, keys of up to 150 and values of up to 40 bytes. Without these bounds a
# small file could fill the memory: a key that stores one byte can share all bytes of a long key.
_MAX_ENTRIES = 1 << 14
_MAX_KEY = 1 << 9
_MAX_VALUE = 1 << 12


def read_table(data: memoryview, what: str) -> Iterator[Entry]:
    """Yield the entries of a table in order. All checksums are verified. `what` names the file in errors."""
    last = None
    for count, (key, value) in enumerate(_data_entries(data, what)):
        if count == _MAX_ENTRIES:
            raise UnsafeFileError(f"{what} has more than {_MAX_ENTRIES:,} entries, more than any BERT: it is not read.")
        if last is not None and key <= last:
            raise FileFormatError(
                f"{what} has the key {key!r} after {last!r}, but keys must be in ascending order: it is damaged; "
                "download or copy it again."
            )
        yield key, value
        last = key


def _data_entries(data: memoryview, what: str) -> Iterator[Entry]:
    """Yield the entries of all data blocks. Blocks must not overlap, so no byte is read twice."""
    end = 0
    for _, handle in _entries(_index_block(data, what), what):
        start, size, _ = _read_handle(memoryview(handle), 0, what)
        if start < end:
            raise FileFormatError(f"{what} has blocks that overlap: it is damaged; download or copy it again.")
        end = start + size + _TRAILER_BYTES
        yield from _entries(_block(data, start, size, what), what)


def _index_block(data: memoryview, what: str) -> memoryview:
    """Return the index block. The footer has its position after that of the meta block, which is empty in a checkpoint."""
    footer = data[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or footer[-len(MAGIC) :] != MAGIC:
        raise FileFormatError(
            f"{what} does not end like the index of a TensorFlow checkpoint: it is cut off or another kind of file; "
            "download or copy it again."
        )
    _, _, at = _read_handle(footer, 0, what)
    start, size, _ = _read_handle(footer, at, what)
    return _block(data, start, size, what)


def _read_handle(data: memoryview, at: int, what: str) -> tuple[int, int, int]:
    """Return the start and size of a block, two varints at byte `at`, and the position after them."""
    start, at = read_varint(data, at, what)
    size, at = read_varint(data, at, what)
    return start, size, at


def _block(data: memoryview, start: int, size: int, what: str) -> memoryview:
    """Return the `size` bytes of a block, without its trailer, which is verified."""
    end = start + size
    if end + _TRAILER_BYTES > len(data):
        raise FileFormatError(
            f"{what} has a block that extends past the end of the file: it is damaged; download or copy it again."
        )
    if masked_crc32c(data[start : end + 1]) != int.from_bytes(data[end + 1 : end + _TRAILER_BYTES], "little"):
        raise FileFormatError(f"{what} has a block with a wrong checksum: it is damaged; download or copy it again.")
    if data[end]:
        raise FileFormatError(
            f"{what} is compressed (method {data[end]}), unlike TensorFlow's own checkpoints: load it with TensorFlow "
            "and save it again."
        )
    return data[start:end]


def _entries(block: memoryview, what: str) -> Iterator[Entry]:
    """Yield the entries of one block."""
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if end < 0:
        raise FileFormatError(f"{what} has a block with too many restarts: it is damaged; download or copy it again.")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at, what)
        fresh, at = read_varint(block, at, what)
        size, at = read_varint(block, at, what)
        if shared > len(key) or at + fresh + size > end:
            raise FileFormatError(f"{what} has an entry that extends past its block: it is damaged; copy it again.")
        if shared + fresh > _MAX_KEY or size > _MAX_VALUE:
            raise UnsafeFileError(
                f"{what} has a key of {shared + fresh:,} and a value of {size:,} bytes; at most {_MAX_KEY} and "
                f"{_MAX_VALUE:,} are accepted, far more than BERT needs: it is not read."
            )
        key = key[:shared] + bytes(block[at : at + fresh])
        yield key, bytes(block[at + fresh : at + fresh + size])
        at += fresh + size


def write_table(file: BinaryIO, entries: Iterable[Entry]) -> None:
    """Write `entries`, which are in the order of their keys, as a table to the start of `file`."""
    index = [(rows[-1][0], _write_block(file, rows)) for rows in _rows_of_blocks(entries)]
    footer = _write_block(file, []) + _write_block(file, index)
    file.write(footer.ljust(_FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC)


def _rows_of_blocks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Split `entries` into lists that make blocks of about _BLOCK_BYTES."""
    rows: list[Entry] = []
    size = 0
    for key, value in entries:
        rows.append((key, value))
        size += len(key) + len(value)
        if size >= _BLOCK_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _write_block(file: BinaryIO, rows: list[Entry]) -> bytes:
    """Write one block and its trailer. Return its position and size, as two varints."""
    start, block, restarts, last = file.tell(), bytearray(), [0], b""
    for number, (key, value) in enumerate(rows):
        if number and number % _RESTART_EVERY == 0:
            restarts.append(len(block))
            last = b""
        shared = _shared(key, last)
        block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    for number in [*restarts, len(restarts)]:
        block += number.to_bytes(4, "little")
    content = bytes(block)
    file.write(content + b"\0" + masked_crc32c(content + b"\0").to_bytes(4, "little"))
    return varint(start) + varint(len(content))


def _shared(key: bytes, last: bytes) -> int:
    """The number of bytes that two keys share at their start."""
    for position, (one, other) in enumerate(zip(key, last, strict=False)):
        if one != other:
            return position
    return min(len(key), len(last))
