"""The dtypes of tensors, by NumPy's names."""

from __future__ import annotations

import numpy as np

from bertkit.errors import UsageError, did_you_mean
from bertkit.tensors import Array

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """Return NumPy's dtype of a name in FLOATS or INTEGERS, or "bool".

    >>> numpy_dtype("bfloat16").itemsize
    2
    """
    if name == "bfloat16":
        import ml_dtypes  # NumPy has no bfloat16

        dtype: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


_SHORT = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}


def float_name(dtype: object) -> str:
    """Return the name of a floating-point dtype of NumPy or a framework, or of its short name.

    >>> float_name("bf16"), float_name(np.float32)
    ('bfloat16', 'float32')
    """
    name = getattr(dtype, "__name__", None) or getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")
    name = _SHORT.get(name, name)
    if name not in FLOATS:
        raise UsageError(f"dtype is {dtype!r}, and must be one of {', '.join(FLOATS)}.{did_you_mean(name, FLOATS)}")
    return name


def check_dtype(array: Array, name: str, accepted: tuple[str, ...]) -> None:
    """Raise UsageError if a file format does not support the dtype of the tensor `name`."""
    if array.dtype.name not in accepted:
        raise UsageError(
            f"The tensor {name!r} is of dtype {array.dtype}, which this file format does not support. It supports "
            f"{', '.join(accepted)}: convert the tensor with .astype(...) first."
        )


def as_stored(array: Array) -> memoryview:
    """Return the bytes of an array in C order, little-endian, as in files. They are copied only if the array differs."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
