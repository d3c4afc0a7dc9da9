"""Groups: from the messages of a group to the names and addresses of its members."""

from __future__ import annotations

from collections.abc import Iterator, Set

from bertkit.checkpoint.hdf5 import layout
from bertkit.checkpoint.hdf5.headers import Part, elsewhere, fields, unsupported
from bertkit.checkpoint.hdf5.layout import Link, Message
from bertkit.checkpoint.untrusted import MAX_NAME, Untrusted


def is_group(kinds: Set[int]) -> bool:
    """Whether an object with messages of these types is a group."""
    return Message.SYMBOL_TABLE in kinds or Message.LINK_INFO in kinds


def members(file: Untrusted, parts: list[Part]) -> Iterator[tuple[str, int]]:
    """Yield the name and the address of the object header of each member, for all kinds of groups."""
    for part in parts:
        if part.kind == Message.SYMBOL_TABLE:
            tree, heap = fields(file, part, layout.SYMBOL_TABLE)
            yield from _symbols(file, tree, heap)
        elif part.kind == Message.LINK:
            yield from _link(file, part)
        elif part.kind == Message.LINK_INFO:
            _refuse_dense(file, part)


def _symbols(file: Untrusted, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """Yield the members of a group from its B-tree and its heap."""
    signature, _, size, _, names = file.unpack(layout.HEAP, heap)
    if signature != b"HEAP":
        raise file.damaged(f"no heap of names begins at byte {heap}")
    for node in _leaves(file, tree):
        _, _, count = file.unpack(layout.SNOD, node)
        for index in range(count):
            file.count_record()
            entry = node + layout.SNOD.size + index * layout.MEMBER.size
            offset, header, cached = file.unpack(layout.MEMBER, entry)
            if cached != layout.SOFT_LINK_CACHED:
                yield _name(file, names + offset, names + size), header


def _leaves(file: Untrusted, tree: int) -> Iterator[int]:
    """Yield the addresses of the SNODs below a B-tree, in order."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        signature = bytes(file.take(node, 4))
        if signature == b"SNOD":
            yield node
        elif signature == b"TREE":
            _, _, _, count, _, _ = file.unpack(layout.TREE, node)
            for index in reversed(range(count)):
                file.count_record()
                _, child = file.unpack(layout.CHILD, node + layout.TREE.size + index * layout.CHILD.size)
                nodes.append(child)
        else:
            raise file.damaged(f"no part of a B-tree begins at byte {node}")


def _name(file: Untrusted, start: int, end: int) -> str:
    """The name that begins at `start`, in a heap of names that ends at `end`."""
    length = bytes(file.take(start, min(MAX_NAME, end - start))).find(b"\0")
    if length < 0:
        raise file.damaged(f"the name at byte {start} does not end within {MAX_NAME} bytes")
    return _checked(file, file.text(start, length))


def _link(file: Untrusted, part: Part) -> Iterator[tuple[str, int]]:
    """Yield the member of a message of type LINK, if it is a hard link.

    The bits of the flags: 0-1 the width of the length of the name (1, 2, 4 or 8 bytes), 2 it has a number (8 bytes), 3 it
    has a kind (1 byte, otherwise it is hard), 4 it has a character set (1 byte).
    """
    _, flags = fields(file, part, layout.LINK)
    at = layout.LINK.size
    kind = fields(file, part, layout.BYTE, at)[0] if flags & 0x08 else Link.HARD
    at += (1 if flags & 0x08 else 0) + (8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0)
    width = 1 << (flags & 0x03)
    length = int.from_bytes(file.take(part.start + at, width), "little")
    name = _checked(file, file.text(part.start + at + width, min(length, MAX_NAME)))
    if kind == Link.HARD:
        yield name, fields(file, part, layout.ADDRESS, at + width + length)[0]
    elif kind != Link.SOFT:
        raise elsewhere(file, name)


def _refuse_dense(file: Untrusted, part: Part) -> None:
    """Refuse a group of many members in the newer form, whose index is not in the header."""
    _, flags = fields(file, part, layout.LINK_INFO)
    (heap,) = fields(file, part, layout.ADDRESS, layout.LINK_INFO.size + (8 if flags & 1 else 0))
    if heap != layout.NOWHERE:
        raise unsupported(file, 'has a "dense" group (made with libver="latest")')


def _checked(file: Untrusted, name: str) -> str:
    if "/" in name:
        raise file.damaged(f"a member of a group has the name {name!r}")
    return name
