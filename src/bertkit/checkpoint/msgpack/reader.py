"""Read the tensors of a MessagePack file of Flax. `layout` describes the format."""

from __future__ import annotations

import os
from math import prod

import numpy as np

from bertkit.checkpoint.dtypes import numpy_dtype
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.msgpack import layout
from bertkit.checkpoint.msgpack.layout import Head, read_head
from bertkit.checkpoint.untrusted import MAX_NAME, Untrusted
from bertkit.errors import FileFormatError
from bertkit.tensors import Array

Value = dict[str, "Value"] | Array | int | None
"""A map (an array is a map with the keys "0", "1", ...), a tensor, a nonnegative integer, or None for any other value."""


def read(path: str | os.PathLike[str]) -> Tensors:
    """Return {keys joined with "/": tensor} of a MessagePack file of Flax, such as "bert/pooler/dense/kernel".

    The arrays are read-only views of the mapped file. Only a tensor that was split into chunks is copied into memory.
    Other values, such as texts and the number of a step, are left out.
    """
    file = Untrusted(path)
    if read_head(file, 0).kind != "map":
        raise FileFormatError(
            f"{file.path} is not a MessagePack file of Flax: it begins with {bytes(file.data[:8])!r}. Download it again."
        )
    tree, end = _map(file, read_head(file, 0), "")
    if end != len(file.data):
        raise file.damaged(f"it should end at byte {end}, but has {len(file.data)}")
    _enter(file, tree, "")
    return file.tensors


def _value(file: Untrusted, at: int, path: str) -> tuple[Value, int]:
    """Return the value at byte `at`, whose name is `path`, and the position after it."""
    head = read_head(file, at)
    if head.kind == "map":
        return _map(file, head, path)
    if head.kind == "array":
        return _array(file, head, path)
    if head.kind == "integer":
        return head.length, head.start
    file.take(head.start, head.length)
    end = head.start + head.length
    if head.kind != "extension" or head.type == layout.COMPLEX:
        return None, end
    if head.type not in (layout.ARRAY, layout.SCALAR):
        raise file.damaged(f"{path!r} is an extension of type {head.type}, which Flax does not have")
    return _tensor(file, head.start, end, path), end


def _map(file: Untrusted, head: Head, path: str) -> tuple[dict[str, Value], int]:
    values: dict[str, Value] = {}
    at = head.start
    for _ in range(head.length):
        key = read_head(file, at)
        if key.kind != "string" or key.length > MAX_NAME:
            raise file.damaged(f"the key at byte {at} is not a text of at most {MAX_NAME} bytes")
        name = file.text(key.start, key.length)
        if name in values:
            raise file.damaged(f"the map {path!r} has the key {name!r} twice")
        values[name], at = _value(file, key.start + key.length, file.join(path, name))
    return values, at


def _array(file: Untrusted, head: Head, path: str) -> tuple[dict[str, Value], int]:
    values: dict[str, Value] = {}
    at = head.start
    for index in range(head.length):
        values[str(index)], at = _value(file, at, file.join(path, str(index)))
    return values, at


def _tensor(file: Untrusted, start: int, end: int, path: str) -> Array:
    """The view of the tensor [shape, name of the dtype, numbers] from byte `start` to `end`."""
    parts = read_head(file, start)
    shape, at = _shape(file, parts.start, path)
    type_name = read_head(file, at)
    numbers = read_head(file, type_name.start + type_name.length)
    if (parts.kind, parts.length, numbers.kind, numbers.start + numbers.length) != ("array", 3, "bytes", end):
        raise file.damaged(f"{path!r} is not an array of [shape, name of the dtype, numbers]")
    dtype = _dtype(file, type_name, path)
    if numbers.length != prod(shape) * dtype.itemsize:
        raise file.damaged(f"{path!r} has {numbers.length} bytes, which do not match {list(shape)} of {dtype}")
    return file.array(dtype, shape, numbers.start, path)


def _shape(file: Untrusted, at: int, path: str) -> tuple[tuple[int, ...], int]:
    """Return the shape at byte `at`, and the position after it."""
    head = read_head(file, at)
    if head.kind != "array":
        raise file.damaged(f"the shape of {path!r} is not an array")
    sizes: list[int] = []
    at = head.start
    for _ in range(head.length):
        size = read_head(file, at)
        if size.kind != "integer":
            raise file.damaged(f"the shape of {path!r} has at byte {at} a value that is not a nonnegative integer")
        sizes.append(size.length)
        at = size.start
    file.check_shape(tuple(sizes), path)
    return tuple(sizes), at


def _dtype(file: Untrusted, head: Head, path: str) -> np.dtype[np.generic]:
    """The dtype with the name at this head. Old versions of Flax wrote names as bytes."""
    name = file.text(head.start, min(head.length, MAX_NAME)) if head.kind in ("string", "bytes") else head.kind
    if name not in layout.DTYPES:
        raise FileFormatError(
            f"{file.path} has {path!r} of dtype {name[:40]!r}. Save it again with a supported dtype: "
            f"{', '.join(layout.DTYPES)}."
        )
    return numpy_dtype(name).newbyteorder("<")


def _enter(file: Untrusted, value: Value, path: str) -> None:
    """Add the tensor called `path`, or all tensors of the map of this name."""
    if isinstance(value, np.ndarray):
        file.enter(path, value)
    elif isinstance(value, dict) and layout.CHUNKED in value:
        file.enter(path, _joined(file, value, path))
    elif isinstance(value, dict):
        for key, member in value.items():
            _enter(file, member, file.join(path, key))


def _joined(file: Untrusted, tree: dict[str, Value], path: str) -> Array:
    """Join the chunks of a tensor that was split."""
    shape, chunks = (_row(file, tree.get(key), path) for key in (layout.SHAPE, layout.CHUNKS))
    sizes = tuple(size for size in shape if isinstance(size, int))
    arrays = [chunk for chunk in chunks if isinstance(chunk, np.ndarray) and chunk.ndim == 1]
    if len(sizes) != len(shape) or len(arrays) != len(chunks) or len({array.dtype for array in arrays}) != 1:
        raise file.damaged(f"{path!r} is not a shape and flat chunks of one dtype")
    file.check_shape(sizes, path)
    if sum(array.size for array in arrays) != prod(sizes):
        raise file.damaged(f"the chunks of {path!r} do not match the shape {list(sizes)}")
    array = np.concatenate(arrays).reshape(sizes)
    array.flags.writeable = False
    return array


def _row(file: Untrusted, value: Value, path: str) -> list[Value]:
    """The values of a map with the keys "0", "1", ..., in this order."""
    if not isinstance(value, dict) or value.keys() != {str(index) for index in range(len(value))}:
        raise file.damaged(f'{path!r} has a shape or chunks that are not numbered from "0" on')
    return [value[str(index)] for index in range(len(value))]
