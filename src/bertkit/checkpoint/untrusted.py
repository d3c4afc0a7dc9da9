"""A mapped file that may lie: every look at it is checked, and what it leads us to is bounded."""

from __future__ import annotations

import os
from math import prod
from struct import Struct
from typing import Any

import numpy as np

from bertkit.checkpoint.files import Tensors, map_file, view
from bertkit.checkpoint.nested import MAX_DEPTH
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.tensors import Array

MAX_RECORDS = 2**15
"""How many records of an index are followed. BERT-large has 4,000; a small file can lead in circles for ever."""

MAX_NAME = 512
"""How long names are, in characters. Those of BERT have 120 at most. Together the two bound the memory for names."""

MAX_RANK = 32
MAX_EMPTY = 2**31
"""What an array without elements may claim to have along its other dimensions: NumPy counts those, too."""


class Untrusted:
    """The bytes of a file, and the tensors that were found in it so far."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.data = map_file(path)
        self.tensors: Tensors = {}
        self._records = 0

    def unpack(self, record: Struct, start: int) -> tuple[Any, ...]:
        """The fields of the record at byte `start`."""
        self.take(start, record.size)
        return record.unpack_from(self.data, start)

    def take(self, start: int, count: int) -> memoryview:
        """The `count` bytes from `start` on, which must lie in the file."""
        if not 0 <= start <= start + count <= len(self.data):
            raise self.damaged(f"it points to {count} bytes from byte {start} on, but has only {len(self.data)}")
        return self.data[start : start + count]

    def text(self, start: int, count: int) -> str:
        """The UTF-8 text in those bytes."""
        try:
            return str(self.take(start, count), "utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(f"the name at byte {start} is no UTF-8 text") from error

    def count_record(self) -> None:
        """To be called for each record of the index that is followed: refuses a maze."""
        self._records += 1
        if self._records > MAX_RECORDS:
            raise UnsafeFileError(
                f"{self.path} leads through more than {MAX_RECORDS} records, where a BERT has some thousands: "
                "it is damaged, or made to keep its reader busy."
            )

    def join(self, path: str, name: str) -> str:
        """The path of the member `name` of the group at `path`."""
        if not name:
            raise self.damaged(f"a member of {path!r} has no name")
        joined = f"{path}/{name}" if path else name
        if len(joined) > MAX_NAME or joined.count("/") >= MAX_DEPTH:
            raise UnsafeFileError(
                f"{self.path} has a name of {len(joined)} characters in {joined.count('/') + 1} levels, "
                f"{joined[:60]!r}..., where at most {MAX_NAME} in {MAX_DEPTH} are read: it is damaged, "
                "or made to keep its reader busy."
            )
        return joined

    def check_shape(self, shape: tuple[int, ...], name: str) -> None:
        """Refuses what cannot be a shape, before anything is computed from it."""
        if len(shape) > MAX_RANK or (0 in shape and prod(size for size in shape if size) > MAX_EMPTY):
            raise self.damaged(
                f"the tensor {name!r} has {len(shape)} dimensions, {str(shape[:4])[:99]}, which no array has"
            )

    def array(self, dtype: np.dtype[np.generic], shape: tuple[int, ...], start: int, name: str) -> Array:
        """The view of the tensor called `name`."""
        return view(self.data, dtype, shape, start, f"The tensor {name!r} in {self.path}")

    def enter(self, name: str, array: Array) -> None:
        """Adds a tensor."""
        if name in self.tensors:
            raise self.damaged(f"the name {name!r} stands in it twice")
        self.tensors[name] = array

    def damaged(self, what: str) -> FileFormatError:
        """The error to raise; `what` is a clause that says where the file contradicts itself."""
        return FileFormatError(f"{self.path} is damaged: {what}. Download or copy it again.")
