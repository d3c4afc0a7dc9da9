"""Conversion between NumPy arrays and the tensors of a framework, which is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import MissingExtraError, Setting, UsageError

Array = NDArray[Any]

KINDS = {"np": "np", "pt": "pt", "tf": "tf", "jax": "jax", "numpy": "np", "pytorch": "pt"}

_MODULES = {"numpy": "np", "torch": "pt", "tensorflow": "tf", "jax": "jax", "jaxlib": "jax"}
_FRAMEWORKS: dict[str, tuple[str, str | None]] = {
    "pt": ("torch", None),
    "tf": ("tensorflow", "tf"),
    "jax": ("jax", "flax"),
}  # module, extra


def tensor_kind(kind: object) -> str | None:
    """Return the short name of a `return_tensors` value, or None for lists. Raises UsageError for an unknown value."""
    if kind is None:
        return None
    name = getattr(kind, "value", kind)  # an enumeration such as transformers' TensorType
    if not isinstance(name, str) or name not in KINDS:
        raise UsageError(
            f'return_tensors={kind!r} is invalid: type "np", "pt", "tf" or "jax", or leave it out for lists.'
        )
    return KINDS[name]


def to_tensor(array: NDArray[Any], kind: str) -> object:
    """Return an array of int64 or float64 as a tensor of the framework's default types.

    Integers become int32 in TensorFlow and JAX, int64 otherwise. Other numbers become float64 in NumPy, float32 otherwise.
    """
    if kind != "np" and array.dtype == np.float64:
        array = array.astype(np.float32)
    if kind in ("tf", "jax") and array.dtype == np.int64:
        array = array.astype(np.int32)
    return with_dtype(array, kind)


def with_dtype(array: NDArray[Any], kind: str) -> object:
    """Return an array as a tensor of the same dtype.

    >>> with_dtype(np.zeros(2), "pt").dtype
    torch.float64
    """
    if kind == "np":
        return array
    framework = framework_of(kind)
    if kind == "pt":
        return framework.from_numpy(array)
    return framework.constant(array) if kind == "tf" else framework.numpy.asarray(array)


def framework_of(kind: str) -> Any:
    """Import and return the framework that has this kind of tensor."""
    module, extra = _FRAMEWORKS[kind]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(module, extra, Setting("return_tensors", kind)) from error


def is_tensor(value: object) -> bool:
    """Whether a value is an array or a tensor of any framework."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def kind_of(value: object) -> str | None:
    """Return the kind of an array or a tensor ("np", "pt", "tf" or "jax"), or None for any other value.

    >>> kind_of(np.zeros(2)), kind_of([0, 0])
    ('np', None)
    """
    return _MODULES.get(type(value).__module__.partition(".")[0]) if is_tensor(value) else None


def to_array(value: Any) -> NDArray[Any]:
    """Return a tensor, a number or nested lists of numbers as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
