"""The safetensors format: how checkpoints are kept today.

    8 bytes             N, the length of the header, little-endian
    N bytes             JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {...}}
    the rest            the tensors' bytes, without gaps; offsets count from here

We read it ourselves rather than by the `safetensors` package because that one copies each tensor into NumPy, and ours stay
views of the mapped file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from bertkit.checkpoint.dtypes import as_stored, check_dtype, dtype_named
from bertkit.checkpoint.files import MOST_DIMENSIONS, Array, OnBytes, Tensors, map_file, view
from bertkit.disk import whole_file
from bertkit.errors import FileFormatError, UnsafeFileError

LONGEST_HEADER = 100_000_000

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES = {name: code for code, name in _DTYPES.items()}


def read(path: str | os.PathLike[str]) -> Tensors:
    """The tensors of a file, as views of the mapped file."""
    data = map_file(path)
    start, header = _header(data, path)
    header.pop("__metadata__", None)
    tensors: Tensors = {}
    end_before = 0
    for name, begin, end, dtype, shape in sorted(_entries(header, path), key=lambda entry: entry[1:3]):
        if begin != end_before or end - begin != prod(shape) * dtype.itemsize:
            raise FileFormatError(
                f"{name} of {path} lies at bytes {begin} to {end}, where one of shape {list(shape)} and type {dtype} "
                f"was due from byte {end_before} on: the file is damaged; download or copy it again."
            )
        end_before = end
        tensors[name] = view(data, dtype, shape, start + begin, f"{name} of {path}")
    if start + end_before != len(data):
        raise FileFormatError(
            f"{path} has {len(data)} bytes, and its header speaks of {start + end_before}: it is cut off or has "
            "something appended; download or copy it again."
        )
    return {name: tensors[name] for name in header}


def write(path: str | os.PathLike[str], tensors: Mapping[str, Array], on_bytes: OnBytes = lambda count: None) -> None:
    """Write tensors to a file that is there whole or not at all. `on_bytes` hears of every piece written."""
    # Widest types first, as every reader of the format expects who wants its data aligned; then by name.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        check_dtype(tensors[name], name, tuple(_CODES))
        begin, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": _CODES[tensors[name].dtype.name],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with whole_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            array = tensors[name]
            file.write(as_stored(array))
            on_bytes(array.nbytes)


def _header(data: memoryview, path: str | os.PathLike[str]) -> tuple[int, dict[str, Any]]:
    """Where the tensors' bytes begin, and the parsed header."""
    length = int.from_bytes(data[:8], "little")
    if length > LONGEST_HEADER:
        raise UnsafeFileError(
            f"{path} announces a header of {length:,} bytes, and {LONGEST_HEADER:,} is the most we read."
        )
    if len(data) < 8 + length:
        raise FileFormatError(f"{path} is cut off inside its header: download or copy it again.")
    try:
        header = json.loads(bytes(data[8 : 8 + length]), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{path} is not a safetensors file, or a damaged one: its header is no JSON ({error})."
        ) from error
    if not isinstance(header, dict):
        raise FileFormatError(
            f"{path} is not a safetensors file: its header is a {type(header).__name__}, not an object."
        )
    return 8 + length, header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _entries(
    header: dict[str, Any], path: str | os.PathLike[str]
) -> list[tuple[str, int, int, np.dtype[np.generic], tuple[int, ...]]]:
    """Name, first byte, end, type and shape of every tensor."""
    entries = []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(code), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if len(
                shape
            ) <= MOST_DIMENSIONS and all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
                entries.append((name, begin, end, _dtype(code, name, path), tuple(shape)))
            case _:
                raise FileFormatError(
                    f"{name} of {path} is described as {str(entry)[:80]}, where dtype, shape and data_offsets were due: "
                    "the file is damaged; download or copy it again."
                )
    return entries


def _dtype(code: str, name: str, path: str | os.PathLike[str]) -> np.dtype[np.generic]:
    if code not in _DTYPES:
        raise FileFormatError(f"{name} of {path} is of type {code}; we read {', '.join(_DTYPES)}.")
    return dtype_named(_DTYPES[code])
