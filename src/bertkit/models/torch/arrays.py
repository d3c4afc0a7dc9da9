"""NumPy arrays as tensors on the same memory and back, and dtypes by name."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertkit.checkpoint.dtypes import float_name


def dtype_of(dtype: str | torch.dtype) -> torch.dtype:
    """Return the floating-point dtype of a name.

    >>> dtype_of("bf16")
    torch.bfloat16
    """
    found: torch.dtype = getattr(torch, float_name(dtype))
    return found


def tensor_of(array: NDArray[np.generic]) -> Tensor:
    """A writable tensor on the memory of an array. Writing to a mapped file changes private pages, not the file.

    Arrays that torch does not support are copied: transposed, unaligned, or of the other byte order.
    """
    if not (array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).copy()
    if not array.flags.writeable:
        try:
            array = array.view()
            array.flags.writeable = True
        except ValueError:
            array = array.copy()
    if array.dtype.kind != "f" and array.dtype.name == "bfloat16":  # of ml_dtypes
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def array_of(tensor: Tensor) -> NDArray[np.generic]:
    """A NumPy array with the values of a tensor, on the same memory if possible."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        array: NDArray[np.generic] = tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
        return array
    return tensor.numpy()
