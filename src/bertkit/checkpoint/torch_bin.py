"""Read PyTorch's checkpoint, pytorch_model.bin, without PyTorch and without running its pickle.

A pickled dictionary has the name, shape, strides and storage of each tensor. Storages are blocks of numbers outside the
pickle, in one of two formats:

    since version 1.6   a zip file: <root>/data.pkl, <root>/data/<key of a storage>, <root>/byteorder, ...
    before              pickles of a magic number, a version, properties of the machine, the dictionary and the list of
                        storage keys; then for each key the number of its elements (8 bytes) and the elements

`read` first converts the pickle to `_Tensor`s, which are plain descriptions. Then it finds the range of bytes of each
storage, and makes an array, a view of these bytes, for each tensor of the state dict.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from bertkit.checkpoint import pickled, zipped
from bertkit.checkpoint.dtypes import numpy_dtype
from bertkit.checkpoint.files import Tensors, map_file
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.tensors import Array

WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""Keys under which training scripts save the state dict of the model, next to that of the optimizer and an epoch."""

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MAX_DIMENSIONS = 32
_MAX_EXPANSION = 16 * 2**20  # bytes by which an expanded tensor may be larger than the file
_DTYPES = {
    name: size
    for size, names in {
        1: ("bool", "int8", "uint8"),
        2: ("int16", "uint16", "float16", "bfloat16"),
        4: ("int32", "uint32", "float32"),
        8: ("int64", "uint64", "float64"),
    }.items()
    for name in names
}
_STORAGES = {
    "BoolStorage": "bool",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",  # an early spelling
}


@dataclass(frozen=True)
class _Storage:
    """A block of numbers: `size` bytes, of which those from `start` to `stop` are visible to tensors."""

    key: str
    dtype: str
    size: int
    start: int
    stop: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage. Offset and strides count elements, as in PyTorch."""

    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | os.PathLike[str]) -> Tensors:
    """Return the state dict of a file that torch.save wrote: {name: array}, read-only views of the mapped file.

    The saved object is the state dict, or a dictionary with one state dict under a key of `WRAPPERS`. Tensors that share a
    storage share memory here too, and a tensor that was saved transposed has transposed strides. Arrays of the older
    format may be unaligned, which NumPy supports.
    """
    data, what = map_file(path), str(path)
    head = bytes(data[:262])
    if head.startswith(b"PK\3\4"):
        found, spans = _read_zip(data, what)
    elif head.startswith(b"\x80"):
        found, spans = _read_pickles(data, what)
    elif head[257:] == b"ustar":
        raise FileFormatError(
            f"{what} is in the tar format of PyTorch's first releases. If you trust it, type in Python with PyTorch: "
            'torch.save(torch.load("old.bin", weights_only=False), "new.bin")'
        )
    else:
        raise FileFormatError(f"{what} begins with {head[:16]!r}, unlike files of torch.save. Download it again.")
    tensors = _state_dict(found, what)
    return {name: _array(data, tensor, spans, f"{what}: {_some([name])}") for name, tensor in tensors.items()}


# ---- the two formats: the saved object, and the range of bytes of each storage


def _read_zip(data: memoryview, what: str) -> tuple[object, dict[str, range]]:
    members = zipped.members(data, what)
    roots = [name.removesuffix("data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise FileFormatError(
            f"{what} is a zip file with {len(roots)} members */data.pkl, but torch.save writes one: it is another kind of "
            "file, or was packed again in another folder. Download it again."
        )
    root = roots[0]
    span = members.get(f"{root}byteorder", range(0))  # early versions have none
    order = bytes(data[span.start : span.stop][:16])
    if order not in (b"", b"little"):
        raise FileFormatError(
            f"{what} has the byte order {order!r}, but only b'little' is supported: load it in PyTorch and save it as "
            "model.safetensors."
        )
    index = members[f"{root}data.pkl"]
    found, _ = pickled.load(data[index.start : index.stop], _NAMES, _storage, what)
    folder = f"{root}data/"
    return found, {name.removeprefix(folder): span for name, span in members.items() if name.startswith(folder)}


def _read_pickles(data: memoryview, what: str) -> tuple[object, dict[str, range]]:
    seen: dict[str, _Storage] = {}

    def outside(saved_id: object) -> object:
        storage = _storage(saved_id)
        if storage is not None:
            seen.setdefault(storage.key, storage)
        return storage

    def following(at: int) -> tuple[object, int]:
        value, length = pickled.load(data[at:], _NAMES, outside, what)
        return value, at + length

    magic, at = following(0)
    if magic != _MAGIC_NUMBER:
        raise FileFormatError(
            f"{what} is a pickle, but torch.save did not write it: save the state dict with torch.save."
        )
    version, at = following(at)
    if version != _VERSION:
        raise FileFormatError(
            f"{what} has a version of the format other than {_VERSION}: load it in PyTorch and save it again."
        )
    _, at = following(at)  # properties of the machine; the numbers are always little-endian
    found, at = following(at)
    keys, at = following(at)
    return found, _spans(data, at, keys, seen, what)


def _spans(data: memoryview, at: int, keys: object, seen: dict[str, _Storage], what: str) -> dict[str, range]:
    """The range of bytes of each storage. The first storage begins at `at`, with the number of its elements."""
    spans: dict[str, range] = {}
    for key in keys if isinstance(keys, list) else [None]:
        if not isinstance(key, str) or key not in seen or key in spans:
            raise _damaged(what, "lists storages that its tensors do not use")
        if at + 8 > len(data):
            raise _damaged(what, f"ends before storage {_some([key])}, at byte {at}")
        (count,) = struct.unpack_from("<q", data, at)
        start, at = at + 8, at + 8 + count * _DTYPES[seen[key].dtype]
        if count < 0 or at > len(data):
            raise _damaged(what, f"has a storage of {count} elements at byte {start} of {len(data)}")
        spans[key] = range(start, at)
    return spans


# ---- builders for the names in the pickle


def _storage(saved_id: object) -> _Storage | None:
    match saved_id:
        case ("storage", str(dtype), str(key), _, int(count), *view) if dtype in _DTYPES and count >= 0:
            size = _DTYPES[dtype]
            whole = _Storage(key, dtype, count * size, 0, count * size)
        case _:
            return None
    match view:
        case [] | [None]:
            return whole
        case [(_, int(first), int(length))] if (
            0 <= first <= first + length <= count
        ):  # early versions had views of storages
            return replace(whole, start=first * size, stop=(first + length) * size)
    return None


def _tensor(arguments: tuple[object, ...]) -> _Tensor | None:
    """Arguments: storage, offset, shape, strides, requires_grad, hooks, flags of a lazy conjugate or negative."""
    if len(arguments) > 7 or any(arguments[6:]):
        return None
    match arguments:
        case (_Storage() as storage, offset, tuple(shape), tuple(strides), *_) if len(shape) <= _MAX_DIMENSIONS:
            counts = (offset, *shape)
            if len(strides) == len(shape) and all(type(n) is int and n >= 0 for n in (*counts, *strides)):
                return _Tensor(storage, storage.dtype, counts[0], counts[1:], strides)
    return None


def _typed_tensor(arguments: tuple[object, ...]) -> _Tensor | None:
    """Arguments of `_tensor` with a dtype before the flags, for a storage without a dtype."""
    match arguments:
        case (*first, str(dtype)) | (*first, str(dtype), _) if len(first) == 6 and dtype in _DTYPES:
            tensor = _tensor((*first, *arguments[7:]))
            return tensor and replace(tensor, dtype=dtype)
    return None


def _parameter(arguments: tuple[object, ...]) -> _Tensor | None:
    """Arguments: a tensor, requires_grad, hooks, attributes."""
    match arguments:
        case (_Tensor() as tensor, *_):
            return tensor
    return None


def _tensor_with_attributes(arguments: tuple[object, ...]) -> object:
    """Arguments: a builder of `_NAMES`, a class, the arguments of the builder, attributes."""
    match arguments:
        case (build, "torch.Tensor", tuple(inner), _) if build is _tensor:
            return _tensor(inner)
        case (build, "torch.nn.parameter.Parameter", tuple(inner), _) if build is _parameter:
            return _parameter(inner)
    return None


def _size(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (tuple(shape),):
            return shape
    return None


_NAMES: dict[str, object] = {
    "collections.OrderedDict": pickled.ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
    "torch.Size": _size,
    "torch.Tensor": "torch.Tensor",
    "torch.nn.parameter.Parameter": "torch.nn.parameter.Parameter",
    **{f"torch.{dtype}": dtype for dtype in _DTYPES},
    **{
        f"{module}.{name}": _STORAGES[name] for module in ("torch", "torch.storage", "torch.cuda") for name in _STORAGES
    },
}
"""All names that a pickle may use. Dtypes and storage classes become the name of a dtype, functions become builders."""


# ---- from the saved object to arrays


def _state_dict(found: object, what: str) -> dict[str, _Tensor]:
    """The tensors of the state dict, which is `found` itself or one of its values. Plain values are left out."""
    if not isinstance(found, dict):
        raise FileFormatError(f"{what} holds a {type(found).__name__.strip('_')}, not a state dict. {_HOW_TO_SAVE}")
    inner = [found[key] for key in WRAPPERS if _has_tensors(found.get(key))]
    taken = inner[0] if len(inner) == 1 else found
    if len(inner) > 1 or not _has_tensors(taken):
        raise FileFormatError(
            f"{what} holds {'several state dicts' if inner else 'no state dict'} among its keys {_some(list(found))}. "
            f"{_HOW_TO_SAVE}"
        )
    return {name: leaf for name, leaf in taken.items() if _is_tensor(name, leaf, what)}


_HOW_TO_SAVE = 'In PyTorch, type torch.save(model.state_dict(), "pytorch_model.bin").'


def _has_tensors(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(leaf, _Tensor) for leaf in value.values())


def _is_tensor(name: object, leaf: object, what: str) -> bool:
    if isinstance(name, str) and isinstance(leaf, _Tensor):
        return True
    if isinstance(leaf, str | int | float | None):
        return False
    raise FileFormatError(
        f"{what} holds a {type(leaf).__name__.strip('_')} under {_some([name])}, but a state dict has tensors. "
        f"{_HOW_TO_SAVE}"
    )


def _some(keys: Sequence[object]) -> str:
    shown = ", ".join(repr(key[:40] if isinstance(key, str) else key) for key in keys[:8])
    return shown + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")


def _array(data: memoryview, tensor: _Tensor, spans: dict[str, range], what: str) -> Array:
    """The array of one tensor. All numbers are from the file, so each is checked."""
    storage = tensor.storage
    span = spans.get(storage.key)
    if span is None:
        raise _damaged(what, f"is in storage {_some([storage.key])}, which the file does not have")
    if len(span) != storage.size:
        raise _damaged(what, f"is in a storage of {storage.size} bytes, but the file has {len(span)}")
    size = _DTYPES[tensor.dtype]
    start = storage.start + tensor.offset * size
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if 0 not in tensor.shape and start + (last + 1) * size > storage.stop:
        raise _damaged(what, f"of shape {list(tensor.shape)} extends past its storage of {storage.size} bytes")
    if prod(max(n, 1) for n in tensor.shape) * size > len(data) + _MAX_EXPANSION:
        raise UnsafeFileError(f"{what} of shape {list(tensor.shape)} is larger than the file.")
    return _view(data, numpy_dtype(tensor.dtype), tensor, span.start + start)


def _view(data: memoryview, dtype: np.dtype[np.generic], tensor: _Tensor, start: int) -> Array:
    if 0 in tensor.shape:
        array: Array = np.empty(tensor.shape, dtype)
    else:
        strides = [
            stride * dtype.itemsize if n > 1 else 0 for n, stride in zip(tensor.shape, tensor.strides, strict=True)
        ]
        array = np.ndarray(tensor.shape, dtype, data, start, strides)
    array.flags.writeable = False
    return array


def _damaged(what: str, why: str) -> FileFormatError:
    return FileFormatError(f"{what} {why}: it is cut off or damaged; download or copy it again.")
