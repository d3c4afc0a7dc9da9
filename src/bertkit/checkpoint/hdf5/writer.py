"""Writes tensors as an HDF5 file; `layout` has a drawing of what is written.

The superblock comes first, then the numbers, then all headers and groups. Members come before what links to them, so
that every address is known when it is written down.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from bertkit.checkpoint.dtypes import FLOATS, INTEGERS, as_stored, check_dtype
from bertkit.checkpoint.files import Array, OnBytes, Tensors
from bertkit.checkpoint.hdf5 import layout
from bertkit.checkpoint.hdf5.datatype import encode_number, encode_string
from bertkit.checkpoint.hdf5.layout import Message, Storage, padded
from bertkit.checkpoint.nested import Tree, nest
from bertkit.disk import whole_file
from bertkit.errors import UsageError

Attributes = Mapping[str, "str | list[str]"]

HALF_SNOD, HALF_TREE = 4, 16
"""Half of the members that a SNOD, and of the children that a TREE have room for: those that HDF5 writes by default."""

SNOD_SIZE = layout.SNOD.size + 2 * HALF_SNOD * layout.MEMBER.size
TREE_SIZE = layout.TREE.size + 2 * HALF_TREE * layout.CHILD.size + layout.ADDRESS.size
"""Nodes take the same space however full they are."""

MESSAGE_LIMIT = 65528
"""The most bytes that the content of a message can have."""


def write(
    path: str | os.PathLike[str],
    tensors: Tensors,
    attributes: Mapping[str, Attributes] | None = None,
    on_bytes: OnBytes = lambda count: None,
) -> None:
    """Writes the tensors under their names, whose parts between "/" become groups.

    An array that stands under several names (the same object) is stored once, and each name links to it. `attributes`
    are texts or lists of texts by the path of the group that has them ("/" is the outermost), as `keras_attributes`
    gives them; a group that has no tensors is made. `on_bytes` is called with the number of bytes after each tensor.

    >>> import numpy as np
    >>> path = getfixture("tmp_path") / "tf_model.h5"
    >>> write(path, {"layer/weight:0": np.ones(3)}, {"/": {"layer_names": ["layer"]}})
    """
    attributes = {group.strip("/"): values for group, values in (attributes or {}).items()}
    tree = nest(tensors, groups=attributes)
    for name, array in tensors.items():
        check_dtype(array, name, FLOATS + INTEGERS)
    arrays = {id(array): array for array in tensors.values()}
    links = Counter(id(array) for array in tensors.values())
    places, end = _places(arrays)
    index = _Index(end)
    headers = {key: _dataset(index, array, places[key], links[key]) for key, array in arrays.items()}
    root = _group(index, tree, "", headers, attributes)
    with whole_file(path) as file:
        file.write(_superblock(root, index.end))
        for array in arrays.values():
            file.write(as_stored(array))
            file.write(bytes(-array.nbytes % 8))
            on_bytes(array.nbytes)
        file.writelines(index.records)


class _Index:
    """The headers and groups: each record gets its address when it is added."""

    def __init__(self, start: int) -> None:
        self.records: list[bytes] = []
        self.end = start

    def add(self, record: bytes) -> int:
        address = self.end
        self.records.append(padded(record))
        self.end += len(self.records[-1])
        return address


def _places(arrays: Mapping[int, Array]) -> tuple[dict[int, int], int]:
    """({id of an array: address of its numbers}, address behind the last one)."""
    places, end = {}, layout.SUPERBLOCK_0.size
    for key, array in arrays.items():
        places[key] = end if array.size else layout.NOWHERE
        end += array.nbytes + -array.nbytes % 8
    return places, end


def _superblock(root: int, end: int) -> bytes:
    address = layout.ADDRESS.size
    return layout.SUPERBLOCK_0.pack(
        layout.SIGNATURE, address, address, HALF_SNOD, HALF_TREE, 0, layout.NOWHERE, end, layout.NOWHERE, root
    )


def _header(messages: Sequence[tuple[Message, bytes]], links: int = 1) -> bytes:
    """An object header with these messages, (type, content)."""
    body = b"".join(
        layout.MESSAGE_1.pack(kind, len(padded(content)), 0) + padded(content) for kind, content in messages
    )
    return layout.HEADER_1.pack(1, len(messages), links, len(body)) + body


def _dataspace(shape: tuple[int, ...]) -> bytes:
    return layout.DATASPACE_1.pack(1, len(shape), 0) + b"".join(layout.ADDRESS.pack(size) for size in shape)


def _dataset(index: _Index, array: Array, place: int, links: int) -> int:
    """Adds the header of a tensor; its address."""
    storage = layout.LAYOUT.pack(3, Storage.CONTIGUOUS) + layout.BLOCK.pack(place, array.nbytes)
    messages = [
        (Message.DATASPACE, _dataspace(array.shape)),
        (Message.DATATYPE, encode_number(array.dtype.name)),
        (Message.LAYOUT, storage),
    ]
    return index.add(_header(messages, links))


def _attribute(name: str, value: str | list[str]) -> bytes:
    """The content of the message of an attribute, which is a text or a list of texts [n]."""
    texts = [text.encode() for text in ([value] if isinstance(value, str) else value)]
    width = max([1, *map(len, texts)])
    parts = [name.encode() + b"\0", encode_string(width), _dataspace(() if isinstance(value, str) else (len(texts),))]
    content = layout.ATTRIBUTE.pack(1, *map(len, parts)) + b"".join(map(padded, parts))
    content += b"".join(padded(text, width) for text in texts)
    if len(content) > MESSAGE_LIMIT:
        raise UsageError(
            f"The attribute {name!r} takes {len(content)} bytes, and HDF5 has {MESSAGE_LIMIT} for one: split it, as "
            "keras_attributes does."
        )
    return content


def _group(
    index: _Index, tree: Tree, path: str, headers: Mapping[int, int], attributes: Mapping[str, Attributes]
) -> int:
    """Adds a group and all that is in it; the address of its header."""
    members: list[tuple[bytes, int]] = []
    for name, child in tree.items():
        inner = f"{path}/{name}" if path else name
        header = _group(index, child, inner, headers, attributes) if isinstance(child, dict) else headers[id(child)]
        members.append((name.encode(), header))
    messages = [(Message.SYMBOL_TABLE, layout.SYMBOL_TABLE.pack(*_symbols(index, sorted(members))))]
    messages += [(Message.ATTRIBUTE, _attribute(name, value)) for name, value in attributes.get(path, {}).items()]
    return index.add(_header(messages))


def _symbols(index: _Index, members: Sequence[tuple[bytes, int]]) -> tuple[int, int]:
    """Adds the B-tree and the heap of a group whose members are (name, address of the header); their addresses."""
    names = bytes(8)  # the empty name, with which every B-tree begins
    entries = []
    for name, header in members:
        entries.append(layout.MEMBER.pack(len(names), header, 0))
        names += padded(name + b"\0")
    heap = layout.HEAP.pack(b"HEAP", 0, len(names), layout.NO_FREE_BLOCK, index.add(names))
    return _tree(index, entries), index.add(heap)


def _tree(index: _Index, entries: Sequence[bytes]) -> int:
    """Adds a B-tree over the entries, which are sorted; the address of its uppermost node."""
    children: list[tuple[int, int]] = []  # (key behind it: the offset of its last name, address)
    for some in _pieces(entries, 2 * HALF_SNOD):
        node = layout.SNOD.pack(b"SNOD", 1, len(some)) + b"".join(some)
        last_name, _, _ = layout.MEMBER.unpack(some[-1])
        children.append((last_name, index.add(padded(node, SNOD_SIZE))))
    level = 0
    while level == 0 or len(children) > 1:
        children = _level(index, children, level)
        level += 1
    return children[0][1]


def _level(index: _Index, children: Sequence[tuple[int, int]], level: int) -> list[tuple[int, int]]:
    """Adds the nodes of one level of a B-tree, side by side; what the level above has as children."""
    groups = _pieces(children, 2 * HALF_TREE) or [[]]
    first = index.end
    nodes, key = [], 0
    for number, some in enumerate(groups):
        left = first + (number - 1) * TREE_SIZE if number else layout.NOWHERE
        right = first + (number + 1) * TREE_SIZE if number + 1 < len(groups) else layout.NOWHERE
        node = layout.TREE.pack(b"TREE", 0, level, len(some), left, right)
        for last_name, address in some:
            node += layout.CHILD.pack(key, address)
            key = last_name
        nodes.append((key, index.add(padded(node + layout.ADDRESS.pack(key), TREE_SIZE))))
    return nodes


Item = TypeVar("Item")


def _pieces(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """`items` cut into pieces of `size`, the last one shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]
