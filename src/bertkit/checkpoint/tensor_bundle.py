"""Read and write TensorFlow's V2 checkpoints, which are tensors in "shards" and an index of names, without TensorFlow.

    bert_model.ckpt.index                  name -> dtype, shape, shard, first byte, number of bytes, checksum
    bert_model.ckpt.data-00000-of-00001    the bytes of the tensors, little-endian, without gaps

`bert_model.ckpt` is the *prefix* of the checkpoint: users of TensorFlow type it, but no file has this name. The index is
a sorted string table of protobuf messages. Its first key is empty, and the value is a header:

    header: 1 number of shards, 2 endianness (0: little), 3 version {1 producer, 2 oldest reader}
    entry:  1 dtype, 2 shape {2 dimension {1 size}}, 3 shard, 4 first byte, 5 number of bytes, 6 checksum, 7 slices

Names are those of the program that wrote the file: `bert/encoder/layer_0/attention/self/query/kernel` in Google's
original checkpoints, `encoder/.../.ATTRIBUTES/VARIABLE_VALUE` in those of TensorFlow 2.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bertkit.checkpoint import protobuf, sstable
from bertkit.checkpoint.crc32c import masked_crc32c
from bertkit.checkpoint.dtypes import as_stored, check_dtype, numpy_dtype
from bertkit.checkpoint.files import MOST_DIMENSIONS, OnBytes, Tensors, map_file, view
from bertkit.errors import FileFormatError, UsageError
from bertkit.hub.disk import whole_file
from bertkit.tensors import Array

# {TensorFlow's number of a dtype: NumPy's name}
_TYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_NUMBERS = {name: number for number, name in _TYPES.items()}
_NOT_NUMERIC = {7, 20, 21}  # strings, such as the object graph of TensorFlow 2; resources; variants

_VERSION = 1
_MAX_SHARDS = 99_999  # file names have five digits
_MAX_ELEMENTS = 1 << 48


@dataclass(frozen=True)
class _Entry:
    """The dtype, shape and position of a tensor."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    shard: int
    start: int
    size: int


def prefix_of(path: str | os.PathLike[str]) -> Path:
    """Return the prefix of a checkpoint, from one of its files or the prefix itself.

    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "bert_model.ckpt"), {"bert/pooler/dense/bias": np.zeros(2, np.float32)})
    ...     prefix_of(f"{folder}/bert_model.ckpt.index").name
    'bert_model.ckpt'
    """
    path = Path(path)
    prefix = path.with_name(re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name))
    if not _index_of(prefix).is_file():
        raise FileFormatError(_why_not(path, prefix))
    return prefix


def _why_not(path: Path, prefix: Path) -> str:
    """Error text for a `path` without an index."""
    if path.is_file() and map_file(path)[-len(sstable.MAGIC) :] == sstable.MAGIC:
        return (
            f"{path} is a TensorFlow checkpoint of version 1, as written until 2017: load it and save it again "
            "with tf.compat.v1.train.Saver, which writes version 2 (files that end in .index and .data-...)."
        )
    return (
        f"{path} is not a TensorFlow checkpoint: {_index_of(prefix)} does not exist. A checkpoint has two files, such as "
        "bert_model.ckpt.index and bert_model.ckpt.data-00000-of-00001: pass bert_model.ckpt."
    )


def _index_of(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _shard_of(prefix: Path, number: int, count: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{count:05d}")


def read(prefix: str | os.PathLike[str]) -> Tensors:
    """Return the numeric tensors of a checkpoint, as views of its mapped shards.

    The checksums of the index are verified. Those of the tensors are not, since that would read all their bytes.
    """
    prefix = prefix_of(prefix)
    index = _index_of(prefix)
    records = sstable.read_table(map_file(index), str(index))
    shards = _read_header(next(records, None), index)
    entries = dict(_read_entries(records, shards, index))
    used = sorted({entry.shard for entry in entries.values() if entry.size})
    mapped = {number: _map_shard(prefix, number, shards) for number in used}
    tensors: Tensors = {}
    for name, entry in entries.items():
        what = f"{name} in {_shard_of(prefix, entry.shard, shards)}"
        tensors[name] = _tensor(mapped.get(entry.shard, memoryview(b"")), entry, what)
    return tensors


def _read_header(record: sstable.Entry | None, index: Path) -> int:
    """Return the number of shards, from the first record of the index."""
    what = f"The header of {index}"
    if record is None or record[0] != b"":
        raise FileFormatError(f"{index} is not the index of a TensorFlow checkpoint: it does not begin with a header.")
    header = protobuf.parse(memoryview(record[1]), what)
    shards = protobuf.integer(header, 1, what)
    if not 1 <= shards <= _MAX_SHARDS:
        raise FileFormatError(f"{what} has {shards:,} as the number of shards: it is damaged; copy it again.")
    if protobuf.integer(header, 2, what):
        raise FileFormatError(f"{index} is big-endian: load it with TensorFlow and save it on a little-endian machine.")
    for version in protobuf.nested(header, 3, what):
        oldest = protobuf.integer(protobuf.parse(version, what), 2, what)
        if oldest > _VERSION:
            raise FileFormatError(f"{index} has version {oldest} of the format; version {_VERSION} is supported.")
    return shards


def _read_entries(records: Iterator[sstable.Entry], shards: int, index: Path) -> Iterator[tuple[str, _Entry]]:
    """Yield the names and entries of the numeric tensors."""
    for key, value in records:
        what = f"{key.decode(errors='replace')} in {index}"
        entry = protobuf.parse(memoryview(value), what)
        if key.startswith(b"\0") or 7 in entry:
            raise FileFormatError(
                f"{index} has partitioned variables, which are not supported: load the checkpoint with TensorFlow and "
                "save it again without a partitioner."
            )
        number = protobuf.integer(entry, 1, what)
        if number not in _NOT_NUMERIC:
            yield _name(key, what), _numeric_entry(entry, _dtype(number, what), shards, what)


def _name(key: bytes, what: str) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{what} has a name that is not UTF-8: it is damaged; download or copy it again."
        ) from error


def _dtype(number: int, what: str) -> np.dtype[np.generic]:
    """NumPy's dtype of TensorFlow's number."""
    if number not in _TYPES:
        raise FileFormatError(f"{what} has TensorFlow's dtype {number}; supported are {', '.join(_TYPES.values())}.")
    return numpy_dtype(_TYPES[number])


def _numeric_entry(entry: protobuf.Message, dtype: np.dtype[np.generic], shards: int, what: str) -> _Entry:
    """The entry, checked as far as possible without the shard."""
    shape = _shape(protobuf.nested(entry, 2, what), what)
    shard, start, size = (protobuf.integer(entry, number, what) for number in (3, 4, 5))
    if shard >= shards:
        raise FileFormatError(
            f"{what} is in shard {shard}, but there are {shards}: it is damaged; download or copy it again."
        )
    if size != prod(shape) * dtype.itemsize:
        raise FileFormatError(f"{what} has {size} bytes, which do not match {dtype} of shape {shape}: it is damaged.")
    return _Entry(dtype, shape, shard, start, size)


def _shape(messages: list[memoryview], what: str) -> tuple[int, ...]:
    """The shape, () for a scalar."""
    shape = protobuf.parse(messages[-1], what) if messages else {}
    dimensions = [protobuf.parse(dimension, what) for dimension in protobuf.nested(shape, 2, what)]
    sizes = tuple(protobuf.integer(dimension, 1, what) for dimension in dimensions)
    if len(sizes) > MOST_DIMENSIONS or prod(max(size, 1) for size in sizes) > _MAX_ELEMENTS:
        raise FileFormatError(f"{what} has the shape {sizes}, which is impossible: it is damaged.")
    return sizes


def _map_shard(prefix: Path, number: int, count: int) -> memoryview:
    """The mapped bytes of a shard. Only the prefix and two checked numbers make up its file name."""
    shard = _shard_of(prefix, number, count)
    if not shard.is_file():
        raise FileFormatError(
            f"{_index_of(prefix)} needs {shard.name}, which is not in the same folder: copy or download all files that "
            f"begin with {prefix.name}."
        )
    return map_file(shard)


def _tensor(data: memoryview, entry: _Entry, what: str) -> Array:
    """The tensor as a view of its shard."""
    start = entry.start if entry.size else 0  # no shard is mapped for a tensor without bytes
    return view(data, entry.dtype, entry.shape, start, what)


def write(prefix: str | os.PathLike[str], tensors: Mapping[str, Array], on_bytes: OnBytes = lambda count: None) -> None:
    """Write a checkpoint of one shard that TensorFlow can read.

    `on_bytes` is called with the number of bytes after each tensor. The shard gets its name before the index, so an index
    never refers to missing tensors.
    """
    prefix = Path(prefix)
    header = protobuf.field(1, 1) + protobuf.field(3, protobuf.field(1, _VERSION))
    records = [(b"", header)]
    with whole_file(_index_of(prefix)) as index, whole_file(_shard_of(prefix, 0, 1)) as shard:
        for name in sorted(tensors, key=str.encode):
            tensor = tensors[name]
            records.append((name.encode(), _write_tensor(shard, tensor, name)))
            on_bytes(tensor.nbytes)
        sstable.write_table(index, records)
        _index_of(prefix).unlink(missing_ok=True)  # an older index refers to a shard that is about to change


def _write_tensor(shard: BinaryIO, tensor: Array, name: str) -> bytes:
    """Write the bytes of one tensor. Return its entry."""
    if not name or "\0" in name:
        raise UsageError(
            f"Invalid tensor name {name!r}: it must not be empty or contain '\\0' in a TensorFlow checkpoint."
        )
    check_dtype(tensor, name, tuple(_NUMBERS))
    octets = as_stored(tensor)
    shape = b"".join(protobuf.field(2, protobuf.field(1, size)) for size in tensor.shape)
    entry = (
        protobuf.field(1, _NUMBERS[tensor.dtype.name])
        + protobuf.field(2, shape)
        + protobuf.field(4, shard.tell())
        + protobuf.field(5, len(octets))
        + protobuf.fixed32(6, masked_crc32c(octets))
    )
    shard.write(octets)
    return entry
