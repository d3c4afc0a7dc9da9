"""Object headers: the lists of messages that describe groups and datasets."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from bertkit.checkpoint.hdf5 import layout
from bertkit.checkpoint.hdf5.layout import Message
from bertkit.checkpoint.untrusted import Untrusted
from bertkit.errors import FileFormatError, UnsafeFileError


class Part(NamedTuple):
    """A message of an object header: its type, its flags, and the start and size of its content."""

    kind: int
    flags: int
    start: int
    size: int


class _Form(NamedTuple):
    """The form of a header, which depends on its version."""

    message: Struct
    start: int
    size: int
    frame: int  # the bytes before and after the messages in a continuation


def messages(file: Untrusted, header: int) -> list[Part]:
    """Return the messages of the object header at this address, with those in its continuations."""
    form = _newer(file, header) if bytes(file.take(header, 4)) == b"OHDR" else _older(file, header)
    found: list[Part] = []
    blocks = [(form.start, form.size)]
    for start, size in blocks:  # the list grows during the loop
        for part in _block(file, form.message, start, size):
            if part.kind == Message.CONTINUATION:
                address, length = fields(file, part, layout.BLOCK)
                blocks.append((address + form.frame, length - 2 * form.frame))
            else:
                found.append(part)
    return found


def fields(file: Untrusted, part: Part, record: Struct, offset: int = 0) -> tuple[int, ...]:
    """Return the fields of the record at `offset` in the content of a message."""
    if part.flags & layout.SHARED_MESSAGE:
        raise unsupported(file, "shares types between its datasets")
    if offset + record.size > part.size:
        raise file.damaged(f"the message at byte {part.start}, of type {part.kind}, has only {part.size} bytes")
    return file.unpack(record, part.start + offset)


def unsupported(file: Untrusted, what: str) -> FileFormatError:
    """Return the error for a file that may be valid, but has a feature of HDF5 that Keras does not use."""
    return FileFormatError(
        f"{file.path} {what}: Keras does not write such HDF5 files, and they are not supported. Save the weights again "
        "from Keras or transformers, best as safetensors, or type: h5repack -l CONTI -f NONE old.h5 new.h5"
    )


def elsewhere(file: Untrusted, name: str) -> UnsafeFileError:
    """Return the error for a file that refers to another file."""
    return UnsafeFileError(
        f"{file.path} has {name!r} in another file, which is not opened because this file names it. If you trust both, "
        "merge them: type h5repack --merge -l CONTI -f NONE old.h5 new.h5"
    )


def _older(file: Untrusted, header: int) -> _Form:
    """The form of a header of version 1."""
    version, _, _, size = file.unpack(layout.HEADER_1, header)
    if version != 1:
        raise file.damaged(f"no object header begins at byte {header}")
    return _Form(layout.MESSAGE_1, header + layout.HEADER_1.size, size, frame=0)


def _newer(file: Untrusted, header: int) -> _Form:
    """The form of a header of version 2, an OHDR.

    The bits of its flags: 0-1 the width of the size (1, 2, 4 or 8 bytes), 2 its messages are numbered, 4 it has limits
    (4 bytes), 5 it has times (16 bytes). A continuation is OCHK, messages, checksum.
    """
    _, version, flags = file.unpack(layout.HEADER_2, header)
    if version != 2:
        raise file.damaged(f"the object header at byte {header} has version {version}")
    start = header + layout.HEADER_2.size + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 0x03)
    size = int.from_bytes(file.take(start, width), "little")
    return _Form(layout.MESSAGE_2_NUMBERED if flags & 0x04 else layout.MESSAGE_2, start + width, size, frame=4)


def _block(file: Untrusted, message: Struct, start: int, size: int) -> Iterator[Part]:
    """Yield the messages in the block of `size` bytes from `start` on."""
    end = start + len(file.take(start, size))
    while start + message.size <= end:
        file.count_record()
        kind, size, flags = file.unpack(message, start)
        content = start + message.size
        start = content + size
        if start > end:
            raise file.damaged(f"the message at byte {content} has {size} bytes, but its block ends at byte {end}")
        yield Part(kind, flags, content, size)
