"""Read the tensors of an HDF5 file. `layout` has a drawing of its structure."""

from __future__ import annotations

import os

from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.hdf5 import layout
from bertkit.checkpoint.hdf5.datasets import dataset
from bertkit.checkpoint.hdf5.groups import is_group, members
from bertkit.checkpoint.hdf5.headers import messages, unsupported
from bertkit.checkpoint.hdf5.layout import Message
from bertkit.checkpoint.untrusted import Untrusted
from bertkit.errors import FileFormatError


def read(path: str | os.PathLike[str]) -> Tensors:
    """Return {path: tensor} of an HDF5 file, with paths such as "bert/tf_bert_model/bert/pooler/dense/kernel:0".

    The arrays are read-only views of the mapped file, in alphabetical order, as HDF5 sorts the members of a group. Texts
    are left out, and so are soft links, which are second names of other members. A file that has its numbers in other
    files is refused.
    """
    file = Untrusted(path)
    _walk(file, _root(file), "")
    return file.tensors


def _root(file: Untrusted) -> int:
    """The address of the object header of the group "/"."""
    signature, version = file.unpack(layout.SUPERBLOCK_START, 0)
    if signature != layout.SIGNATURE:
        raise FileFormatError(f"{file.path} is not an HDF5 file: it begins with {signature!r}. Download it again.")
    if version == 0:
        _, *widths, _, _, base, _, end, _, root = file.unpack(layout.SUPERBLOCK_0, 0)
    elif version in (2, 3):
        *widths, base, end, root = file.unpack(layout.SUPERBLOCK_2, 0)
    else:
        raise unsupported(file, f"has a superblock of version {version}")
    if widths != [8, 8] or base != 0:
        raise unsupported(
            file, f"has addresses of {widths[0]} and lengths of {widths[1]} bytes, counted from byte {base}"
        )
    if end > len(file.data):
        raise file.damaged(f"it is {len(file.data)} bytes long, but should be {end}")
    return int(root)


def _walk(file: Untrusted, header: int, path: str) -> None:
    """Add the dataset with this object header, or all datasets of the group."""
    parts = messages(file, header)
    kinds = {part.kind for part in parts}
    if is_group(kinds):
        for name, child in members(file, parts):
            _walk(file, child, file.join(path, name))
    elif not path:
        raise file.damaged('its first object is not the group "/"')
    elif Message.LAYOUT in kinds:
        array = dataset(file, {part.kind: part for part in parts}, path)
        if array is not None:
            file.enter(path, array)
    elif Message.DATATYPE not in kinds:  # a DATATYPE without LAYOUT is a named type, which has no numbers
        raise file.damaged(f"{path!r} is neither a group nor a dataset")
