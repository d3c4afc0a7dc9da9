"""Find the uncompressed members of a zip file. Only its directory and headers are read.

    member: header, name, extra field, bytes    (repeated)
    directory: one entry for each member, with its name, its size and the position of its header
    end of directory: number of entries, number of bytes, start    (64-bit numbers are in a second record before it)

Sizes are taken from the directory, since headers may omit them.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from bertkit.errors import FileFormatError, UnsafeFileError

MAX_MEMBERS = 20_000  # BERT-large with the state of Adam has 1,200
MAX_DIRECTORY = 4 * 2**20  # bytes; BERT-large with the state of Adam needs 100,000
_MAX_NAME = 500

# The first four bytes of each are its signature.
_HEADER = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_FULL16, _FULL32 = 2**16 - 1, 2**32 - 1  # these values mean: use the 64-bit number


def members(data: memoryview, what: str) -> dict[str, range]:
    """Return {name of a member: range of its bytes} of a zip file, `data`. `what` names the file in errors."""
    count, start, stop = _directory(data, what)
    if count > MAX_MEMBERS or stop - start > MAX_DIRECTORY:
        raise UnsafeFileError(f"{what} has {count:,} members, but a checkpoint has a few hundred.")
    found: dict[str, range] = {}
    spans = []
    at = start
    for _ in range(count):
        name, header, size, at = _entry(data[:stop], at, what)
        if name in found:
            raise _damaged(what, f"has two members named {name!r}")
        found[name] = _body(data[:start], header, name, size, what)
        spans.append((header, found[name].stop))
    if at != stop:
        raise _damaged(what, f"has a directory of {stop - start} bytes, but its {count} entries have {at - start}")
    spans.sort()
    if any(end > begin for (_, end), (begin, _) in pairwise(spans)):
        raise UnsafeFileError(f"{what} has members that overlap: it is damaged or hostile. Download it again.")
    return found


def _directory(data: memoryview, what: str) -> tuple[int, int, int]:
    """Return the number of entries of the directory, its start and its end."""
    end = len(data) - _END.size
    _, _, _, _, count, size, start, _ = _fields(_END, b"PK\5\6", data, end, what)
    if bytes(data[max(end - _LOCATOR.size, 0) :][:4]) == b"PK\6\7":
        end, small = _fields(_LOCATOR, b"PK\6\7", data, end - _LOCATOR.size, what)[2], (count, size, start)
        count, size, start = _fields(_END64, b"PK\6\6", data, end, what)[-3:]
        for before, full, now in zip(small, (_FULL16, _FULL32, _FULL32), (count, size, start), strict=True):
            if before not in (full, now):
                raise _damaged(what, f"has {before} and {now} for the same number in its two ends of directory")
    if start + size != end:
        raise _damaged(what, f"has a directory from byte {start} to {start + size} that should end at {end}")
    return count, start, end


def _entry(data: memoryview, at: int, what: str) -> tuple[str, int, int, int]:
    """Return the name of a member, the position of its header, its size, and the position of the next entry."""
    entry = _fields(_ENTRY, b"PK\1\2", data, at, what)
    flags, method, packed, size = entry[3], entry[4], entry[8], entry[9]
    name_length, extra_length, comment_length, header = *entry[10:13], entry[16]
    after_name = at + _ENTRY.size + name_length
    after_extra = after_name + extra_length
    if after_extra + comment_length > len(data):
        raise _damaged(what, f"has an entry, at byte {at}, that extends past the directory")
    name = _name(bytes(data[at + _ENTRY.size : after_name]), what)
    if flags & 1 or method:
        raise FileFormatError(
            f"{what} has the {'encrypted' if flags & 1 else 'compressed'} member {name!r}, unlike files of torch.save: "
            "unpack it and pack it again with zip -0, or load it in PyTorch and save it again."
        )
    size, packed, header = _wide(bytes(data[after_name:after_extra]), (size, packed, header), what)
    if size != packed:
        raise _damaged(what, f"has {size} and {packed} for the size of its member {name!r}")
    return name, header, size, after_extra + comment_length


def _name(raw: bytes, what: str) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _damaged(what, "has a member whose name is not UTF-8") from None
    if len(name) > _MAX_NAME:
        raise _damaged(what, f"has a member whose name has {len(name)} characters")
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise UnsafeFileError(f"{what} has a member with the name {name!r}, which is a path to another folder.")
    return name


def _wide(extra: bytes, numbers: tuple[int, ...], what: str) -> tuple[int, ...]:
    """The numbers. Those that need 64 bits are in the extra field 1, in the same order."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    left = iter(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
    full = [next(left, -1) if number == _FULL32 else number for number in numbers]
    if min(full) < 0:
        raise _damaged(what, "lacks a 64-bit number in its directory")
    return tuple(full)


def _body(data: memoryview, header: int, name: str, size: int, what: str) -> range:
    """The range of bytes of the member whose header is at `header`. `data` ends where the directory starts."""
    fields = _fields(_HEADER, b"PK\3\4", data, header, what)
    method, name_length, extra_length = fields[3], *fields[-2:]
    after_name = header + _HEADER.size + name_length
    start = after_name + extra_length
    if method or bytes(data[header + _HEADER.size : after_name]) != name.encode():
        raise _damaged(what, f"has a header of its member {name!r} that does not match the directory")
    if start + size > len(data):
        raise _damaged(what, f"has a member {name!r} that ends at byte {start + size} of {len(data)}")
    return range(start, start + size)


def _fields(layout: struct.Struct, signature: bytes, data: memoryview, at: int, what: str) -> tuple[int, ...]:
    if not 0 <= at <= len(data) - layout.size or bytes(data[at : at + 4]) != signature:
        raise _damaged(what, f"has no zip record {signature!r} at byte {at}")
    return layout.unpack_from(data, at)


def _damaged(what: str, why: str) -> FileFormatError:
    return FileFormatError(f"{what} {why}: it is cut off or damaged; download or copy it again.")
