"""Write tensors to a MessagePack file of Flax. `layout` describes the format."""

from __future__ import annotations

import os
from collections.abc import Iterator

from bertkit.checkpoint.dtypes import as_stored, check_dtype
from bertkit.checkpoint.files import OnBytes, Tensors
from bertkit.checkpoint.msgpack import layout
from bertkit.checkpoint.msgpack.layout import head
from bertkit.checkpoint.nested import Tree, nest
from bertkit.hub.disk import whole_file
from bertkit.tensors import Array

Piece = bytes | memoryview


def write(path: str | os.PathLike[str], tensors: Tensors, on_bytes: OnBytes = lambda count: None) -> None:
    """Write the tensors as nested maps, split at each "/" of their names, with the same bytes as Flax's `to_bytes`.

    `on_bytes` is called with the number of bytes after each tensor, or each chunk of a large one.

    >>> import numpy as np
    >>> write(getfixture("tmp_path") / "flax_model.msgpack", {"pooler/dense/bias": np.zeros(3, np.float32)})
    """
    for name, array in tensors.items():
        check_dtype(array, name, layout.DTYPES)
    tree = nest(tensors)
    with whole_file(path) as file:
        for piece in _tree(tree):
            file.write(piece)
            if isinstance(piece, memoryview):
                on_bytes(piece.nbytes)


def _tree(tree: Tree) -> Iterator[Piece]:
    """Yield the bytes of a map of maps and tensors, piece by piece. Memoryviews are the numbers of tensors."""
    yield head("map", len(tree))
    for key, value in tree.items():
        yield _string(key)
        if isinstance(value, dict):
            yield from _tree(value)
        elif value.nbytes > layout.CHUNK_BYTES:
            yield from _chunks(value)
        else:
            yield from _tensor(as_stored(value), value.shape, value.dtype.name)


def _tensor(numbers: memoryview, shape: tuple[int, ...], dtype: str) -> Iterator[Piece]:
    sizes = b"".join(head("integer", size) for size in shape)
    start = head("array", 3) + head("array", len(shape)) + sizes + _string(dtype) + head("bytes", len(numbers))
    yield head("extension", len(start) + len(numbers)) + bytes([layout.ARRAY]) + start
    yield numbers


def _chunks(array: Array) -> Iterator[Piece]:
    """Yield the bytes of a large tensor, split into chunks."""
    numbers = as_stored(array)
    size = layout.CHUNK_BYTES // array.itemsize * array.itemsize
    starts = range(0, len(numbers), size)
    yield head("map", 3) + _string(layout.CHUNKED) + layout.TRUE + _string(layout.SHAPE) + head("map", array.ndim)
    for axis, length in enumerate(array.shape):
        yield _string(str(axis)) + head("integer", length)
    yield _string(layout.CHUNKS) + head("map", len(starts))
    for number, start in enumerate(starts):
        chunk = numbers[start : start + size]
        yield _string(str(number))
        yield from _tensor(chunk, (len(chunk) // array.itemsize,), array.dtype.name)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return head("string", len(encoded)) + encoded
