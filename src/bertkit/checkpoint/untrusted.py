"""A mapped file with untrusted contents: every access is checked, and every size is limited."""

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
"""How many records of an index are followed. BERT-large has 4,000. Without a limit, a cycle of records would never end."""

MAX_NAME = 512
"""The longest accepted name, in characters. Those of BERT have at most 120. Both limits together bound the memory for names."""

MAX_RANK = 32
MAX_EMPTY = 2**31
"""The largest product of the other dimensions of an array without elements, which NumPy checks too."""


class Untrusted:
    """The bytes of a file, and the tensors that were found so far."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.data = map_file(path)
        self.tensors: Tensors = {}
        self._records = 0

    def unpack(self, record: Struct, start: int) -> tuple[Any, ...]:
        """Return the fields of the record at byte `start`."""
        self.take(start, record.size)
        return record.unpack_from(self.data, start)

    def take(self, start: int, count: int) -> memoryview:
        """Return the `count` bytes from `start` on, which must be in the file."""
        if not 0 <= start <= start + count <= len(self.data):
            raise self.damaged(f"it refers to {count} bytes from byte {start} on, but has only {len(self.data)}")
        return self.data[start : start + count]

    def text(self, start: int, count: int) -> str:
        """Return the `count` bytes from `start` on as UTF-8 text."""
        try:
            return str(self.take(start, count), "utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(f"the name at byte {start} is not UTF-8 text") from error

    def count_record(self) -> None:
        """Count a record of the index that is followed, and refuse too many."""
        self._records += 1
        if self._records > MAX_RECORDS:
            raise UnsafeFileError(
                f"{self.path} has more than {MAX_RECORDS:,} records in its index, but a BERT has a few thousand: it is "
                "damaged or hostile."
            )

    def join(self, path: str, name: str) -> str:
        """Return the path of the member `name` of the group at `path`."""
        if not name:
            raise self.damaged(f"a member of {path!r} has no name")
        joined = f"{path}/{name}" if path else name
        if len(joined) > MAX_NAME or joined.count("/") >= MAX_DEPTH:
            raise UnsafeFileError(
                f"{self.path} has a name of {len(joined)} characters in {joined.count('/') + 1} levels, "
                f"{joined[:60]!r}...; at most {MAX_NAME} in {MAX_DEPTH} are accepted: it is damaged or hostile."
            )
        return joined

    def check_shape(self, shape: tuple[int, ...], name: str) -> None:
        """Refuse an impossible shape before anything is computed from it."""
        if len(shape) > MAX_RANK or (0 in shape and prod(size for size in shape if size) > MAX_EMPTY):
            raise self.damaged(
                f"the tensor {name!r} has an impossible shape of {len(shape)} dimensions, {str(shape[:4])[:99]}"
            )

    def array(self, dtype: np.dtype[np.generic], shape: tuple[int, ...], start: int, name: str) -> Array:
        """Return the tensor called `name`, as a view."""
        return view(self.data, dtype, shape, start, f"The tensor {name!r} in {self.path}")

    def enter(self, name: str, array: Array) -> None:
        """Add a tensor."""
        if name in self.tensors:
            raise self.damaged(f"it has the name {name!r} twice")
        self.tensors[name] = array

    def damaged(self, what: str) -> FileFormatError:
        """Return the error to raise. `what` is a clause that says what is wrong with the file."""
        return FileFormatError(f"{self.path} is damaged: {what}. Download or copy it again.")
