"""Vectors of a bulk job. The lines of the unfinished file have them as float32 in base64, and the output has the requested type.

A vector is the whole line, or the value of "result" in it. Shapes: N rows, H numbers of a vector.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from bertkit.data.json_line import line_of
from bertkit.errors import Setting, UsageError
from bertkit.pipelines.bulk.advice import RESUME, damaged
from bertkit.tasks.embedding.quantization import BYTES, Precision, quantize_embeddings
from bertkit.tensors import Array

_STORED = np.dtype("<f4")


def pack(vector: Array) -> str:
    """A vector as a string.

    >>> unpack(pack(np.array([0.5, 1.0]))).tolist()
    [0.5, 1.0]
    """
    return base64.b64encode(np.ascontiguousarray(vector, _STORED).tobytes()).decode()


def unpack(text: str) -> Array:
    """The vector in a string."""
    return np.frombuffer(base64.b64decode(text, validate=True), _STORED)


@dataclass(frozen=True)
class Vectors:
    """How the vectors of a job are written: their number of rows, their type and, for bytes, the ranges of their values."""

    rows: int
    width: int  # H
    precision: Precision
    ranges: Array | None = None  # [2, H]

    @classmethod
    def of(cls, lines: Iterable[bytes], precision: Precision) -> Vectors:
        """Read the lines once, for the number of vectors, their width and their ranges."""
        rows = vectors = width = 0
        ranges = np.zeros((2, 0), _STORED)
        for number, line in enumerate(lines, start=1):
            rows += 1
            vector = _vector(_read(line, number)[1], number)
            if vector is None:
                continue
            vectors += 1
            if vectors == 1:
                width, ranges = len(vector), np.stack([vector, vector])
            elif len(vector) != width:
                raise damaged(number)
            np.minimum(ranges[0], vector, out=ranges[0])
            np.maximum(ranges[1], vector, out=ranges[1])
        if precision in BYTES and vectors < 2:
            raise UsageError(
                Setting("output_dtype", precision),
                f" needs the ranges of several vectors, not of {vectors}: type ",
                Setting("output_dtype", "float32"),
                " and ",
                RESUME,
                ".",
            )
        return cls(rows, width, precision, ranges)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers in the output."""
        return self._quantized(np.zeros(self.width, _STORED)).dtype

    def in_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of a table, with its vector as an array."""
        vector = _vector(row.get("result"), row["row"])
        return row if vector is None else {**row, "result": self._quantized(vector)}

    def json_lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the lines with their vectors as lists of numbers."""
        for number, line in enumerate(lines, start=1):
            whole, text = _read(line, number)
            vector = _vector(text, number)
            if vector is None:
                yield line
            else:
                numbers = self._quantized(vector).tolist()
                yield line_of({**whole, "result": numbers} if isinstance(whole, dict) else numbers)

    def write_array(self, lines: Iterable[bytes], file: IO[bytes]) -> None:
        """Write a file of NumPy [N, H]. The row of an error has NaN, or zeros in a type of integers."""
        one = self._quantized(np.zeros(self.width, _STORED))
        absent = np.full_like(one, np.nan if one.dtype.kind == "f" else 0)
        header = {"descr": np.lib.format.dtype_to_descr(one.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (self.rows, *one.shape)})
        for number, line in enumerate(lines, start=1):
            vector = _vector(_read(line, number)[1], number)
            file.write((absent if vector is None else self._quantized(vector)).tobytes())

    def _quantized(self, vector: Array) -> Array:
        with np.errstate(over="ignore"):
            found = quantize_embeddings(vector, self.precision, self.ranges)
        assert isinstance(found, np.ndarray)
        return found


def parsed(line: bytes, number: int) -> Any:
    """The value in a line of the results, with its number for the error if it is damaged."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise damaged(number) from error


def _read(line: bytes, number: int) -> tuple[Any, Any]:
    """A line, and the string in it that has the vector; None for an error."""
    whole = parsed(line, number)
    return whole, whole.get("result") if isinstance(whole, dict) else whole


def _vector(text: Any, number: int) -> Array | None:
    try:
        return None if text is None else unpack(text)
    except (ValueError, TypeError) as error:
        raise damaged(number) from error
