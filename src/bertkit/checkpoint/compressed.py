"""Matrices that a safetensors file stores as int8 with a scale for each row, as the library compressed-tensors writes them.

    X.weight        int8      [out, in]
    X.weight_scale  float     [out, 1], or one number for all rows

The matrix is their product. config.json says the same in `quantization_config`, which other libraries need. Its other formats,
such as 4 bits and zero points, are refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from bertkit.checkpoint.dtypes import FLOATS
from bertkit.checkpoint.files import Tensors
from bertkit.errors import FileFormatError
from bertkit.tensors import Array

SCALE = "_scale"
"""The end of the name of scales, after the name of their matrix."""

_REFUSED = (".weight_packed", ".weight_zero_point", ".weight_g_idx", ".weight_global_scale", ".weight_shape")
_LARGEST = 127


def to_int8(matrix: Array) -> tuple[Array, Array]:
    """Round a matrix to int8 with a scale for each row, so that their product is close to the matrix.

    >>> values, scales = to_int8(np.array([[0.5, -63.5], [0.0, 0.0]], np.float32))
    >>> values.tolist(), scales.tolist()
    ([[1, -127], [0, 0]], [[0.5], [1.0]])
    """
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    scales = largest.astype(np.float32) / np.float32(_LARGEST)
    scales[scales < np.finfo(np.float32).tiny] = 1  # rows of zeros
    return np.rint(matrix / scales).astype(np.int8), scales


def compress(tensors: Tensors, names: Collection[str]) -> Tensors:
    """Replace matrices by their int8 values and scales."""
    found = dict(tensors)
    for name in names:
        found[name], found[name + SCALE] = to_int8(np.asarray(tensors[name], np.float32))
    return found


def whole(tensors: Tensors, path: object) -> Tensors:
    """Return the tensors of a file with scales, in which each matrix is float32. Raises FileFormatError for another format."""
    for name in tensors:
        if name.endswith(_REFUSED):
            raise FileFormatError(
                f"{path} has {name}: its matrices are quantized in a format that bertkit does not read. It reads int8 with a "
                "scale for each row (int-quantized): use the original model, or quantize it so."
            )
    scales = [name for name in tensors if name.endswith(".weight" + SCALE) and _is_int8(tensors, name)]
    found = {name: array for name, array in tensors.items() if name not in scales}
    for name in scales:
        matrix = name.removesuffix(SCALE)
        found[matrix] = _product(found[matrix], tensors[name], f"{matrix} of {path}")
    return found


def _is_int8(tensors: Tensors, name: str) -> bool:
    """Whether scales have a matrix of int8. Others are left as they are: the loader names what it does not know."""
    matrix = tensors.get(name.removesuffix(SCALE))
    return matrix is not None and matrix.dtype == np.int8


def _product(values: Array, scales: Array, what: str) -> Array:
    """A matrix from its values and scales, which are checked."""
    if values.ndim != 2:
        raise FileFormatError(f"{what} has the shape {list(values.shape)}, and must be a matrix: the file is damaged.")
    if scales.dtype.name not in FLOATS or (scales.size != 1 and scales.shape != (len(values), 1)):
        raise FileFormatError(
            f"{what} has scales of {scales.dtype} and the shape {list(scales.shape)}, and bertkit reads floating-point scales of "
            f"the shape {[len(values), 1]}, one for each row: use the original model."
        )
    scales = scales.astype(np.float32).reshape(-1, 1)
    if not np.isfinite(scales).all():
        raise FileFormatError(f"{what} has scales that are not numbers: the file is damaged.")
    product: Array = values.astype(np.float32)
    product *= scales
    product.flags.writeable = False
    return product


def quantization_config(kept: list[str]) -> dict[str, Any]:
    """The value of `quantization_config` in config.json. `kept`: the names of dense layers that are not quantized."""
    weights = {
        "num_bits": 8,
        "type": "int",
        "symmetric": True,
        "strategy": "channel",
        "group_size": None,
        "dynamic": False,
    }
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": kept,
    }
