"""The types of number that tensors may have, by the names that NumPy gives them."""

from __future__ import annotations

import numpy as np

from bertkit.errors import UsageError, did_you_mean
from bertkit.tensors import Array

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """The type of one of those names.

    >>> numpy_dtype("bfloat16").itemsize
    2
    """
    if name == "bfloat16":
        import ml_dtypes  # NumPy has no bfloat16 of its own

        dtype: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


_SHORT = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}


def float_name(dtype: object) -> str:
    """The name of a type of floating-point numbers of NumPy or a framework, or of one of its short names.

    >>> float_name("bf16"), float_name(np.float32)
    ('bfloat16', 'float32')
    """
    own = getattr(dtype, "__name__", None) or getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")
    name = _SHORT.get(own, own)
    if name not in FLOATS:
        raise UsageError(f"dtype is {dtype!r}, and must be one of {', '.join(FLOATS)}.{did_you_mean(name, FLOATS)}")
    return name


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
