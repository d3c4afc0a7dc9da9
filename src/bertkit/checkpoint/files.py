"""Memory-mapped files and checked views of them, for all file formats."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from math import prod

import numpy as np

from bertkit.errors import FileFormatError
from bertkit.hub.place import LONGEST_MARK, refuse_stand_in
from bertkit.tensors import Array

Tensors = dict[str, Array]
"""{name: array}, where the arrays are read-only views of a mapped file."""

OnBytes = Callable[[int], object]
"""Called with the number of bytes just written, for a progress bar."""

MOST_DIMENSIONS = 32
MOST_BYTES = 2**48  # NumPy checks the other dimensions of an array without elements too


def map_file(path: str | os.PathLike[str]) -> memoryview:
    """Return the bytes of a file, memory-mapped: the disk is read only where they are accessed.

    The mapping is private: writing to a view, as training does, changes copies of the pages, never the file.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise FileFormatError(f"{path} is empty (0 bytes): download or copy it again.")
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (IsADirectoryError, FileNotFoundError, PermissionError) as error:
        raise FileFormatError(f"{path} cannot be opened: {error.strerror}.") from error
    refuse_stand_in(path, bytes(data[:LONGEST_MARK]), FileFormatError)
    return data


def view(data: memoryview, dtype: np.dtype[np.generic], shape: tuple[int, ...], start: int, what: str) -> Array:
    """Return the array of `dtype` and `shape` that begins at byte `start` of `data`, without a copy.

    `what` names the tensor and its file in errors.
    """
    count = prod(shape)
    if len(shape) > MOST_DIMENSIONS or prod(max(size, 1) for size in shape) * dtype.itemsize > MOST_BYTES:
        raise FileFormatError(f"{what} has the shape {list(shape)}, which is impossible: the file is damaged.")
    if start < 0 or min(shape, default=0) < 0 or start + count * dtype.itemsize > len(data):
        raise FileFormatError(
            f"{what} of shape {list(shape)} and dtype {dtype} needs {count * dtype.itemsize} bytes from byte {start} on, "
            f"but the file has {len(data)}: it is cut off or damaged; download or copy it again."
        )
    array = np.frombuffer(data, dtype, count, start).reshape(shape) if count else np.empty(shape, dtype)
    array.flags.writeable = False
    return array
