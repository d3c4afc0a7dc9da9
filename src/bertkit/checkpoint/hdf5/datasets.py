"""Datasets: from the messages of a dataset to a view of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from bertkit.checkpoint.dtypes import numpy_dtype
from bertkit.checkpoint.hdf5 import layout
from bertkit.checkpoint.hdf5.datatype import NOT_NUMBERS, Class, class_of, decode_number
from bertkit.checkpoint.hdf5.headers import Part, elsewhere, fields, unsupported
from bertkit.checkpoint.hdf5.layout import Message, Storage
from bertkit.checkpoint.untrusted import Untrusted
from bertkit.tensors import Array


def dataset(file: Untrusted, parts: Mapping[int, Part], name: str) -> Array | None:
    """Return the tensor with these messages, {type: message}, or None for a dataset of texts or without any value."""
    if Message.DATASPACE not in parts or Message.DATATYPE not in parts:
        raise file.damaged(f"the tensor {name!r} has no shape or no type")
    if Message.EXTERNAL_FILES in parts:
        raise elsewhere(file, name)
    dtype = _dtype(file, parts[Message.DATATYPE], name)
    shape = _shape(file, parts[Message.DATASPACE], name)
    if dtype is None or shape is None:
        return None
    address, size = _numbers(file, parts[Message.LAYOUT], name)
    if address == layout.NOWHERE and 0 not in shape:
        raise file.damaged(f"the numbers of {name!r} were never stored")
    if size != prod(shape) * dtype.itemsize and 0 not in shape:
        raise file.damaged(
            f"{name!r} has {size} bytes, but {list(shape)} of {dtype} needs {prod(shape) * dtype.itemsize}"
        )
    return file.array(dtype, shape, 0 if 0 in shape else address, name)


def _dtype(file: Untrusted, part: Part, name: str) -> np.dtype[np.generic] | None:
    """The dtype, or None for texts."""
    fields(file, part, layout.BYTE)  # refuses an empty message, and a type that is stored elsewhere
    message = file.take(part.start, part.size)
    number = decode_number(message)
    if number is not None:
        return numpy_dtype(number[0]).newbyteorder(">" if number[1] else "<")
    if class_of(message) in NOT_NUMBERS:
        return None
    kind = Class(class_of(message)).name.lower() if class_of(message) in Class.__members__.values() else "unknown"
    raise unsupported(
        file, f"holds {name!r} in a type ({kind}, {bytes(message[:20]).hex()}) that is not a plain number"
    )


def _shape(file: Untrusted, part: Part, name: str) -> tuple[int, ...] | None:
    """The shape, or None for a dataset without any value, not even a scalar."""
    (version,) = fields(file, part, layout.BYTE)
    if version == 1:
        record = layout.DATASPACE_1
        _, rank, _ = fields(file, part, record)
    elif version == 2:
        record = layout.DATASPACE_2
        _, rank, _, kind = fields(file, part, record)
        if kind == layout.NO_ELEMENTS:
            return None
    else:
        raise file.damaged(f"the shape of {name!r} has the unknown version {version}")
    shape = tuple(fields(file, part, layout.ADDRESS, record.size + 8 * axis)[0] for axis in range(rank))
    file.check_shape(shape, name)
    return shape


def _numbers(file: Untrusted, part: Part, name: str) -> tuple[int, int]:
    """Return the address of the numbers, and how many bytes they have."""
    version, storage = fields(file, part, layout.LAYOUT)
    at = layout.LAYOUT.size
    if version not in (3, 4):
        raise unsupported(file, f"stores {name!r} with a layout of version {version}")
    if storage == Storage.CONTIGUOUS:
        address, size = fields(file, part, layout.BLOCK, at)
        return address, size
    if storage == Storage.COMPACT:
        (size,) = fields(file, part, layout.COMPACT_SIZE, at)
        return part.start + at + layout.COMPACT_SIZE.size, size
    if storage == Storage.CHUNKED:
        raise unsupported(file, f"stores {name!r} in chunks, which may be compressed")
    if storage == Storage.VIRTUAL:
        raise elsewhere(file, name)
    raise file.damaged(f"{name!r} has the unknown class of storage {storage}")
