"""LevelDB's sorted string table: keys in bytewise order with a value each, the file format of a checkpoint's index.

    data block ... data block | meta block | index block | footer

The footer (48 bytes) says where the index block is, and the index block where each data block is. Any block is a row
of entries, in which a key is stored as the number of bytes that it shares with the key before and the bytes that
follow; then come the places of the entries that share nothing ("restarts", which a reader can jump to), how many those
are, and a trailer: one byte for the compression and a masked CRC-32C of all before.
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

# BERT-large and its optimizer have 1,200 entries, keys of up to 150 and values of up to 40 bytes. Beyond these bounds a
# small file could fill the memory: a key of one stored byte can share all of a long one.
_MAX_ENTRIES = 1 << 14
_MAX_KEY = 1 << 9
_MAX_VALUE = 1 << 12


def read_table(data: memoryview, what: str) -> Iterator[Entry]:
    """The entries of a table in order, every block's checksum compared. `what` names the file in errors."""
    last = None
    for count, (key, value) in enumerate(_data_entries(data, what)):
        if count == _MAX_ENTRIES:
            raise UnsafeFileError(f"{what} has more than {_MAX_ENTRIES:,} entries, which no BERT has: it is not read.")
        if last is not None and key <= last:
            raise FileFormatError(
                f"{what} has the key {key!r} after {last!r}, where each must be greater than the one before: it is "
                "damaged; download or copy it again."
            )
        yield key, value
        last = key


def _data_entries(data: memoryview, what: str) -> Iterator[Entry]:
    """The entries of all data blocks. Blocks follow each other in the file, so no byte is read twice."""
    behind = 0
    for _, handle in _entries(_index_block(data, what), what):
        start, size, _ = _read_handle(memoryview(handle), 0, what)
        if start < behind:
            raise FileFormatError(f"{what} has blocks that overlap: it is damaged; download or copy it again.")
        behind = start + size + _TRAILER_BYTES
        yield from _entries(_block(data, start, size, what), what)


def _index_block(data: memoryview, what: str) -> memoryview:
    """The block that the footer points to, behind the meta block's place, which holds nothing in a checkpoint."""
    footer = data[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or footer[-len(MAGIC) :] != MAGIC:
        raise FileFormatError(
            f"{what} does not end like the index of a TensorFlow checkpoint: it is cut off or something else; "
            "download or copy it again."
        )
    _, _, at = _read_handle(footer, 0, what)
    start, size, _ = _read_handle(footer, at, what)
    return _block(data, start, size, what)


def _read_handle(data: memoryview, at: int, what: str) -> tuple[int, int, int]:
    """Where a block starts and how long it is, from two varints at byte `at`; and the place behind them."""
    start, at = read_varint(data, at, what)
    size, at = read_varint(data, at, what)
    return start, size, at


def _block(data: memoryview, start: int, size: int, what: str) -> memoryview:
    """The `size` bytes of a block, without the trailer, which is checked."""
    end = start + size
    if end + _TRAILER_BYTES > len(data):
        raise FileFormatError(
            f"{what} has a block that reaches beyond its end: it is damaged; download or copy it again."
        )
    if masked_crc32c(data[start : end + 1]) != int.from_bytes(data[end + 1 : end + _TRAILER_BYTES], "little"):
        raise FileFormatError(f"{what} has a block with a wrong checksum: it is damaged; download or copy it again.")
    if data[end]:
        raise FileFormatError(
            f"{what} is compressed (method {data[end]}), which TensorFlow does not do to checkpoints: load and save "
            "it once with TensorFlow, and use that."
        )
    return data[start:end]


def _entries(block: memoryview, what: str) -> Iterator[Entry]:
    """The entries of one block."""
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if end < 0:
        raise FileFormatError(f"{what} has a block without an end: it is damaged; download or copy it again.")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at, what)
        fresh, at = read_varint(block, at, what)
        size, at = read_varint(block, at, what)
        if shared > len(key) or at + fresh + size > end:
            raise FileFormatError(f"{what} has an entry that reaches beyond its block: it is damaged; copy it again.")
        if shared + fresh > _MAX_KEY or size > _MAX_VALUE:
            raise UnsafeFileError(
                f"{what} has a key of {shared + fresh:,} and a value of {size:,} bytes, where a checkpoint of BERT "
                f"stays far below {_MAX_KEY} and {_MAX_VALUE:,}: it is not read."
            )
        key = key[:shared] + bytes(block[at : at + fresh])
        yield key, bytes(block[at + fresh : at + fresh + size])
        at += fresh + size


def write_table(file: BinaryIO, entries: Iterable[Entry]) -> None:
    """Writes a table of `entries`, which come in the order of their keys, to the start of `file`."""
    index = [(rows[-1][0], _write_block(file, rows)) for rows in _rows_of_blocks(entries)]
    footer = _write_block(file, []) + _write_block(file, index)
    file.write(footer.ljust(_FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC)


def _rows_of_blocks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """`entries`, cut into lists that make blocks of about _BLOCK_BYTES."""
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
    """Writes one block and its trailer. Returns its place and size, as two varints."""
    start, block, restarts, last = file.tell(), bytearray(), [0], b""
    for number, (key, value) in enumerate(rows):
        if number and number % _RESTART_EVERY == 0:
            restarts.append(len(block))
            last = b""
        shared = _shared(key, last)
        block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    for place in [*restarts, len(restarts)]:
        block += place.to_bytes(4, "little")
    content = bytes(block)
    file.write(content + b"\0" + masked_crc32c(content + b"\0").to_bytes(4, "little"))
    return varint(start) + varint(len(content))


def _shared(key: bytes, last: bytes) -> int:
    """The number of bytes that two keys share at their start."""
    for place, (one, other) in enumerate(zip(key, last, strict=False)):
        if one != other:
            return place
    return min(len(key), len(last))
