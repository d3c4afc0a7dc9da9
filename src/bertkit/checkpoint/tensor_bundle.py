"""TensorFlow's checkpoints, V2: the tensors one after the other in "shards", and an index of names, read and written
without TensorFlow.

    bert_model.ckpt.index                  name -> type, shape, shard, first byte, number of bytes, checksum
    bert_model.ckpt.data-00000-of-00001    the bytes of the tensors, little-endian, nothing between

`bert_model.ckpt`, which no file is called, is the checkpoint's *prefix* and what TensorFlow's users type. The index is
a sorted string table of protobuf messages; its first key is empty and leads to a header:

    header: 1 number of shards, 2 endianness (0: little), 3 version {1 producer, 2 oldest reader}
    entry:  1 type, 2 shape {2 dimension {1 size}}, 3 shard, 4 first byte, 5 number of bytes, 6 checksum, 7 slices

Names are as the program had them that wrote the file: `bert/encoder/layer_0/attention/self/query/kernel` in Google's
original ones, `encoder/.../.ATTRIBUTES/VARIABLE_VALUE` in those of TensorFlow 2.
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

# TensorFlow's number of a type -> NumPy's name of it.
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
_NOT_NUMERIC = {7, 20, 21}  # strings, such as TensorFlow 2's description of the objects; resources; variants

_VERSION = 1
_MAX_SHARDS = 99_999  # what five digits of a file name hold
_MAX_ELEMENTS = 1 << 48


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    shard: int
    start: int
    size: int


def prefix_of(path: str | os.PathLike[str]) -> Path:
    """The prefix of the checkpoint that one of its files belongs to, or the prefix itself.

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
    """The sentence for a `path` that leads to no index."""
    if path.is_file() and map_file(path)[-len(sstable.MAGIC) :] == sstable.MAGIC:
        return (
            f"{path} is a TensorFlow checkpoint of version 1, as written until 2017: load and save it once with "
            "tf.compat.v1.train.Saver, which writes version 2 (files that end in .index and .data-...)."
        )
    return (
        f"{path} is no TensorFlow checkpoint: there is no file {_index_of(prefix)}. A checkpoint is two files, such as "
        "bert_model.ckpt.index and bert_model.ckpt.data-00000-of-00001; pass bert_model.ckpt."
    )


def _index_of(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _shard_of(prefix: Path, number: int, count: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{count:05d}")


def read(prefix: str | os.PathLike[str]) -> Tensors:
    """The numeric tensors of a checkpoint, as views of its mapped shards.

    The checksums of the index are compared, those of the tensors are not: for them, all would have to be read.
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
    """The number of shards, from the first record of the index."""
    what = f"The header of {index}"
    if record is None or record[0] != b"":
        raise FileFormatError(f"{index} is no index of a TensorFlow checkpoint: it does not begin with a header.")
    header = protobuf.parse(memoryview(record[1]), what)
    shards = protobuf.integer(header, 1, what)
    if not 1 <= shards <= _MAX_SHARDS:
        raise FileFormatError(f"{what} says that the tensors lie in {shards:,} files: it is damaged; copy it again.")
    if protobuf.integer(header, 2, what):
        raise FileFormatError(f"{index} was written on a big-endian machine: load and save it once on a common one.")
    for version in protobuf.nested(header, 3, what):
        oldest = protobuf.integer(protobuf.parse(version, what), 2, what)
        if oldest > _VERSION:
            raise FileFormatError(f"{index} is of version {oldest} of the format, of which we read {_VERSION}.")
    return shards


def _read_entries(records: Iterator[sstable.Entry], shards: int, index: Path) -> Iterator[tuple[str, _Entry]]:
    """The names and entries of the numeric tensors."""
    for key, value in records:
        what = f"{key.decode(errors='replace')} in {index}"
        entry = protobuf.parse(memoryview(value), what)
        if key.startswith(b"\0") or 7 in entry:
            raise FileFormatError(
                f"{index} holds partitioned variables, which are kept in slices: load the checkpoint with TensorFlow "
                "and save it once without a partitioner."
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
    """NumPy's type for TensorFlow's."""
    if number not in _TYPES:
        raise FileFormatError(f"{what} is of TensorFlow's type {number}; we read {', '.join(_TYPES.values())}.")
    return numpy_dtype(_TYPES[number])


def _numeric_entry(entry: protobuf.Message, dtype: np.dtype[np.generic], shards: int, what: str) -> _Entry:
    """The entry, with every number checked that can be without the shard."""
    shape = _shape(protobuf.nested(entry, 2, what), what)
    shard, start, size = (protobuf.integer(entry, number, what) for number in (3, 4, 5))
    if shard >= shards:
        raise FileFormatError(f"{what} lies in shard {shard}, of {shards}: it is damaged; download or copy it again.")
    if size != prod(shape) * dtype.itemsize:
        raise FileFormatError(f"{what} has {size} bytes, which do not make {dtype} of shape {shape}: it is damaged.")
    return _Entry(dtype, shape, shard, start, size)


def _shape(messages: list[memoryview], what: str) -> tuple[int, ...]:
    """The dimensions; none for a scalar."""
    shape = protobuf.parse(messages[-1], what) if messages else {}
    dimensions = [protobuf.parse(dimension, what) for dimension in protobuf.nested(shape, 2, what)]
    sizes = tuple(protobuf.integer(dimension, 1, what) for dimension in dimensions)
    if len(sizes) > MOST_DIMENSIONS or prod(max(size, 1) for size in sizes) > _MAX_ELEMENTS:
        raise FileFormatError(f"{what} has the shape {sizes}, which no tensor of BERT has: it is damaged.")
    return sizes


def _map_shard(prefix: Path, number: int, count: int) -> memoryview:
    """The bytes of a shard, whose name comes from the prefix and two checked numbers only."""
    shard = _shard_of(prefix, number, count)
    if not shard.is_file():
        raise FileFormatError(
            f"{_index_of(prefix)} says that tensors lie in {shard.name}, which is not beside it: copy or download all "
            f"files that begin with {prefix.name}."
        )
    return map_file(shard)


def _tensor(data: memoryview, entry: _Entry, what: str) -> Array:
    """The tensor as a view of its shard."""
    start = entry.start if entry.size else 0  # no shard is mapped for a tensor without bytes
    return view(data, entry.dtype, entry.shape, start, what)


def write(prefix: str | os.PathLike[str], tensors: Mapping[str, Array], on_bytes: OnBytes = lambda count: None) -> None:
    """Writes a checkpoint of one shard that TensorFlow reads.

    `on_bytes` is called with the number of bytes after each tensor. The shard is renamed into place before the index, so
    that no index ever stands beside missing tensors.
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
        _index_of(prefix).unlink(missing_ok=True)  # an older one names bytes of a shard that is about to change


def _write_tensor(shard: BinaryIO, tensor: Array, name: str) -> bytes:
    """Writes one tensor's bytes. Returns its entry."""
    if not name or "\0" in name:
        raise UsageError(f"A tensor cannot be called {name!r} in a TensorFlow checkpoint: name it with letters.")
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
