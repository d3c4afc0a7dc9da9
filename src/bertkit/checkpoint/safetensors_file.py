"""The safetensors format, in which checkpoints are usually saved today.

    8 bytes             N, the length of the header, little-endian
    N bytes             JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {...}}
    the rest            the bytes of the tensors, without gaps; offsets count from here

The `safetensors` package copies each tensor into NumPy. The tensors of this reader are views of the mapped file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any, BinaryIO

import numpy as np

from bertkit.checkpoint.dtypes import as_stored, check_dtype, numpy_dtype
from bertkit.checkpoint.files import MOST_DIMENSIONS, OnBytes, Tensors, map_file, view
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.hub import parse_object
from bertkit.hub.disk import whole_file
from bertkit.tensors import Array

LONGEST_HEADER = 8_000_000  # bytes; BERT has some ten thousand, and parsed JSON is many times larger

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
    """Return the tensors of a file, as views of the mapped file."""
    data = map_file(path)
    header = _header(data, path)
    start = 8 + int.from_bytes(data[:8], "little")
    tensors: Tensors = {}
    spans = []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(code), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if len(
                shape
            ) <= MOST_DIMENSIONS and all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
                if code not in _DTYPES:
                    raise FileFormatError(f"{name} of {path} has the dtype {code}; supported are {', '.join(_DTYPES)}.")
                dtype = numpy_dtype("bfloat16") if code == "BF16" else np.dtype(_DTYPES[code])
            case _:
                raise FileFormatError(
                    f"{name} of {path} has the header {str(entry)[:80]} without a valid dtype, shape and data_offsets: "
                    "the file is damaged; download or copy it again."
                )
        if end - begin != prod(shape) * dtype.itemsize or end > len(data) - start:
            raise FileFormatError(
                f"{name} of {path}, of shape {shape} and dtype {dtype}, does not fit bytes {begin} to {end} of "
                f"{len(data) - start}: the file is cut off or damaged; download or copy it again."
            )
        spans.append((begin, end, name))
        tensors[name] = view(data, dtype, tuple(shape), start + begin, f"{name} of {path}")
    for (_, end, _), (begin, _, name) in pairwise([(0, 0, ""), *sorted(spans), (len(data) - start, 0, "its end")]):
        if begin != end:
            raise FileFormatError(
                f"{path} has {name} at byte {begin} of its tensors, expected at byte {end}: the file is damaged or has "
                "extra bytes; download or copy it again."
            )
    return tensors


def write(path: str | os.PathLike[str], tensors: Mapping[str, Array], on_bytes: OnBytes = lambda count: None) -> None:
    """Write tensors to a file, which exists only if it is complete. `on_bytes` gets the size of each tensor written."""
    with whole_file(path) as file:
        write_into(file, tensors, on_bytes)


def write_into(file: BinaryIO, tensors: Mapping[str, Array], on_bytes: OnBytes = lambda count: None) -> None:
    """Write tensors into an open file: see `write`."""
    # Widest dtypes first, so that all tensors are aligned, as readers of the format expect; then by name.
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
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        array = tensors[name]
        file.write(as_stored(array))
        on_bytes(array.nbytes)


def _header(data: memoryview, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header: {name of a tensor: its entry}, not checked yet."""
    length = int.from_bytes(data[:8], "little")
    if length > LONGEST_HEADER:
        raise UnsafeFileError(f"{path} has a header of {length:,} bytes; at most {LONGEST_HEADER:,} are accepted.")
    if len(data) < 8 + length:
        raise FileFormatError(f"{path} is cut off inside its header: download or copy it again.")
    try:
        text = str(data[8 : 8 + length], "utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{path} is not a safetensors file, or it is damaged: its header is not UTF-8 text."
        ) from error
    header = parse_object(text, f"The header of {path}", FileFormatError)
    header.pop("__metadata__", None)
    return header
