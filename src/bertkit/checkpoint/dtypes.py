"""The types of number that tensors may have, by the names that NumPy gives them."""

from __future__ import annotations

import numpy as np

from bertkit.checkpoint.files import Array
from bertkit.errors import UsageError

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def dtype_named(name: str) -> np.dtype[np.generic]:
    """The type of one of those names.

    >>> dtype_named("bfloat16").itemsize
    2
    """
    if name == "bfloat16":
        import ml_dtypes  # NumPy has no bfloat16 of its own

        dtype: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


def check_dtype(array: Array, name: str, accepted: tuple[str, ...]) -> None:
    """Refuses the tensor called `name` if its type is not among those that the file format has a place for."""
    if array.dtype.name not in accepted:
        raise UsageError(
            f"The tensor {name!r} is of type {array.dtype}, which this kind of file cannot hold. It holds "
            f"{', '.join(accepted)}: convert the tensor with .astype(...) before."
        )


def as_stored(array: Array) -> memoryview:
    """The bytes of an array as files hold them: C order, little-endian; not copied if they already are."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
