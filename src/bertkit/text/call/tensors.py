"""NumPy arrays -> the tensors of a framework, which is imported only then."""

from __future__ import annotations

from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import MissingExtraError, UsageError

KINDS = {"np": "np", "pt": "pt", "tf": "tf", "jax": "jax", "numpy": "np", "pytorch": "pt"}


def tensor_kind(kind: object) -> str | None:
    """The short name of a kind of tensor, None for lists; an error where there is no such kind."""
    if kind is None:
        return None
    name = getattr(kind, "value", kind)  # an enumeration such as transformers' TensorType
    if not isinstance(name, str) or name not in KINDS:
        raise UsageError(
            f'return_tensors={kind!r} is no kind of tensor: type "np", "pt", "tf" or "jax", or leave it out for lists.'
        )
    return KINDS[name]


def to_tensor(array: NDArray[np.int64], kind: str) -> object:
    """An array of integers as a tensor: int64, and int32 where TensorFlow and JAX take Python's integers for that."""
    if kind == "np":
        return array
    if kind == "pt":
        return _to_torch(array)
    return _to_tensorflow(array) if kind == "tf" else _to_jax(array)


def is_tensor(value: object) -> bool:
    """Whether a value is an array or a tensor of any framework, rather than Python's own."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _to_torch(array: NDArray[np.int64]) -> object:
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise MissingExtraError("torch", "torch", 'return_tensors="pt"') from error
    tensor: object = torch.from_numpy(array)
    return tensor


def _to_tensorflow(array: NDArray[np.int64]) -> object:
    try:
        tensorflow = import_module("tensorflow")
    except ImportError as error:
        raise MissingExtraError("tensorflow", "tf", 'return_tensors="tf"') from error
    return tensorflow.constant(array.astype(np.int32) if array.dtype == np.int64 else array)


def _to_jax(array: NDArray[np.int64]) -> object:
    try:
        jax = import_module("jax")
    except ImportError as error:
        raise MissingExtraError("jax", "flax", 'return_tensors="jax"') from error
    return jax.numpy.asarray(array.astype(np.int32) if array.dtype == np.int64 else array)
