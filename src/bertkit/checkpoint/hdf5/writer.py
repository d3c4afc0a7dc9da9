"""Write tensors to an HDF5 file with h5py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from bertkit.checkpoint.dtypes import FLOATS, INTEGERS, as_stored, check_dtype
from bertkit.checkpoint.files import OnBytes, Tensors
from bertkit.checkpoint.hdf5.datatype import encode_number
from bertkit.checkpoint.nested import nest
from bertkit.errors import MissingExtraError
from bertkit.hub.disk import whole_file
from bertkit.tensors import Array

Attributes = Mapping[str, "str | list[str]"]

_DATATYPE = b"\x03\x00"
"""The prefix of an encoded datatype in HDF5's API: the type of the message, and version 0."""


def write(
    path: str | os.PathLike[str],
    tensors: Tensors,
    attributes: Mapping[str, Attributes] | None = None,
    on_bytes: OnBytes = lambda count: None,
) -> None:
    """Write the tensors under their names, whose parts between "/" become groups.

    If several names have the same array object, it is stored once, and each name links to it. `attributes` has texts or
    lists of texts for the path of each group ("/" is the root), as `keras_attributes` returns them. A group without
    tensors is created. `on_bytes` is called with the number of bytes after each tensor.

    >>> import numpy as np
    >>> path = getfixture("tmp_path") / "tf_model.h5"
    >>> write(path, {"layer/weight:0": np.ones(3)}, {"/": {"layer_names": ["layer"]}})
    """
    attributes = attributes or {}
    nest(tensors, groups=attributes)  # refuses names that cannot be written
    for name, array in tensors.items():
        check_dtype(array, name, FLOATS + INTEGERS)
    try:
        h5py: Any = import_module("h5py")
    except ImportError as error:
        raise MissingExtraError("h5py", None, f"Writing {path}") from error
    first: dict[int, str] = {}  # {id of an array: the name under which it was written}
    with whole_file(path) as partial, h5py.File(partial.name, "w", locking=False) as file:
        for name, array in tensors.items():
            if id(array) in first:
                file[name] = file[first[id(array)]]
            else:
                first[id(array)] = name
                _write_tensor(h5py, file, name, array)
                on_bytes(array.nbytes)
        for group, values in attributes.items():
            file.require_group(group).attrs.update({name: _text(value) for name, value in values.items()})


def _write_tensor(h5py: Any, file: Any, name: str, array: Array) -> None:
    """Write the bytes of an array directly, since h5py does not know NumPy's bfloat16, which HDF5 supports."""
    number = h5py.h5t.decode(_DATATYPE + encode_number(array.dtype.name))
    dataset = file.create_dataset(name, array.shape, h5py.Datatype(number))
    if array.size:
        everything = h5py.h5s.ALL
        dataset.id.write(everything, everything, np.frombuffer(as_stored(array), np.uint8), number)


def _text(value: str | list[str]) -> Any:
    """A text, or an array of texts [n], of a fixed width, as Keras stores them."""
    if isinstance(value, str):
        return np.bytes_(value.encode())
    return np.array([text.encode() for text in value], np.bytes_)
