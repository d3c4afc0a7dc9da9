"""Vectors in fewer bits: float16, one byte for each number, or one bit.

Shapes: N vectors, H numbers of each.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from bertkit.errors import Setting, UsageError, one_of
from bertkit.tensors import Array, to_array

Precision = Literal["float32", "float16", "int8", "uint8", "binary", "ubinary"]

BYTES: tuple[Precision, ...] = ("int8", "uint8")
"""The types that need ranges."""

_TYPES: dict[str, type[np.generic]] = {"float32": np.float32, "float16": np.float16, "int8": np.int8, "binary": np.int8}
_STABLE = 100
"""The number of vectors below which a warning says that ranges are uncertain."""

_logger = logging.getLogger("bertkit")


def quantize_embeddings(
    embeddings: Any,
    precision: Precision,
    ranges: Array | None = None,
    calibration_embeddings: Array | None = None,
) -> Array | list[Array]:
    """Convert vectors to a type of fewer bits, with the results of sentence-transformers.

    >>> vectors = np.array([[0.5, -1.0], [-0.5, 1.0], [0.0, 0.0]])
    >>> quantize_embeddings(vectors, "ubinary").tolist()
    [[128], [64], [0]]
    >>> quantize_embeddings(vectors, "int8", ranges=np.array([[-0.5, -1.0], [0.5, 1.0]])).tolist()
    [[126, -128], [-128, 126], [-1, -1]]

    Args:
        embeddings: an array or a tensor [N, H], a list of vectors [H], or a list of matrices [tokens, H].
        precision: "float32"; "float16"; "int8" and "uint8": 256 steps between the smallest and the largest value; "binary" and
            "ubinary": one bit, whether a number is above 0, with 8 numbers in each int8 or uint8.
        ranges: the smallest and the largest value of each number of a vector [2, H], for "int8" and "uint8".
        calibration_embeddings: vectors from which the ranges are computed; None: `embeddings`.

    Returns:
        An array [N, H], or [N, H / 8] for bits. For a list of matrices, a list of these.
    """
    one_of("precision", precision, get_args(Precision))
    if isinstance(embeddings, Sequence):
        arrays = [_floats(one) for one in embeddings]
        if not arrays:
            return []
        if arrays[0].ndim == 2:
            found = _ranges(np.concatenate(arrays), precision, ranges, calibration_embeddings)
            return [_quantized(one, precision, found) for one in arrays]
        embeddings = np.stack(arrays)
    array = _floats(embeddings)
    return _quantized(array, precision, _ranges(array, precision, ranges, calibration_embeddings))


def _floats(embeddings: Any) -> Array:
    if str(getattr(embeddings, "dtype", "")) == "torch.bfloat16":  # which NumPy lacks
        embeddings = embeddings.float()
    found = to_array(embeddings)
    if found.dtype in (np.int8, np.uint8):
        raise UsageError(f"The embeddings are {found.dtype} already: pass embeddings of floating-point numbers.")
    return found


def _ranges(array: Array, precision: Precision, ranges: Array | None, calibration: Array | None) -> Array | None:
    """The ranges as they were passed, or of other vectors; None if they are not needed."""
    if precision not in BYTES or ranges is not None or (array.ndim == 2 and len(array) == 0):
        return ranges
    if calibration is None:
        if array.ndim == 1 or len(array) == 1:
            advice = Setting("ranges", None, "..."), ", or calibration_embeddings."
            raise UsageError(f"{precision} needs the ranges of several vectors, not of one: pass ", *advice)
        if len(array) < _STABLE:
            _logger.warning("The ranges for %s are those of only %d vectors.", precision, len(array))
    known = _floats(array if calibration is None else calibration)
    return np.stack([known.min(axis=0), known.max(axis=0)])


def _quantized(array: Array, precision: Precision, ranges: Array | None) -> Array:
    if array.ndim == 2 and len(array) == 0:
        width = (array.shape[1] + 7) // 8 if precision.endswith("binary") else array.shape[1]
        return np.zeros((0, width), _TYPES.get(precision, np.uint8))
    if precision.startswith("float"):
        return array.astype(_TYPES[precision])
    if precision.endswith("binary"):
        bits = np.packbits(array > 0, axis=-1)
        return bits if precision == "ubinary" else (bits - 128).astype(np.int8)
    assert ranges is not None
    first, last = to_array(ranges).astype(np.float32, copy=False)
    steps = (last - first) / 255
    found = np.clip(np.floor((array - first) / np.where(steps == 0, 1, steps)), 0, 255)
    whole: Array = found.astype(np.uint8) if precision == "uint8" else (found - 128).astype(np.int8)
    return whole
