"""Safetensors files compared with the `safetensors` package, and damaged files."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from bertkit.checkpoint import safetensors_file
from bertkit.errors import FileFormatError, UnsafeFileError, UsageError

DTYPES = [
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
]


def some_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    tensors = {f"a.{dtype}": (rng.standard_normal((3, 5)) * 9).astype(dtype) for dtype in DTYPES}
    tensors["bfloat16"] = rng.standard_normal((2, 3)).astype(ml_dtypes.bfloat16)
    tensors["scalar"] = np.array(7.0, np.float32)
    tensors["empty"] = np.empty((0, 4), np.float16)
    tensors["turned"] = rng.standard_normal((4, 6)).astype(np.float32).T
    tensors["big-endian"] = np.arange(4, dtype=">f4")
    tensors["Wörter/表"] = np.arange(3)
    return tensors


def test_the_package_and_bertkit_read_files_of_bertkit(tmp_path: Path) -> None:
    tensors = some_tensors()
    safetensors_file.write(tmp_path / "a.safetensors", tensors)
    ours = safetensors_file.read(tmp_path / "a.safetensors")
    theirs = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert ours.keys() == theirs.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(ours[name], array)
        assert ours[name].dtype == array.dtype.newbyteorder("<")
        view = (
            theirs[name].view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            if name == "bfloat16"
            else theirs[name].numpy()
        )
        np.testing.assert_array_equal(view, array)
    with safetensors.safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_bertkit_reads_files_of_the_package(tmp_path: Path) -> None:
    tensors = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in some_tensors().items()
    }
    safetensors.numpy.save_file(tensors, tmp_path / "a.safetensors", {"a": "b"})
    ours = safetensors_file.read(tmp_path / "a.safetensors")
    assert ours.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(ours[name], array)


def test_reading_one_tensor_does_not_read_the_file(tmp_path: Path) -> None:
    big = {f"{i}": np.zeros((1000, 1000), np.float32) for i in range(20)}
    safetensors_file.write(tmp_path / "a.safetensors", big)
    tracemalloc.start()
    array = safetensors_file.read(tmp_path / "a.safetensors")["3"]
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()
    assert not array.flags.writeable
    assert not array.flags.owndata


def test_writing_to_a_view_does_not_change_the_file(tmp_path: Path) -> None:
    safetensors_file.write(tmp_path / "a.safetensors", {"a": np.zeros(4, np.float32)})
    before = (tmp_path / "a.safetensors").read_bytes()
    array = safetensors_file.read(tmp_path / "a.safetensors")["a"]
    array.flags.writeable = True
    array += 1
    assert (tmp_path / "a.safetensors").read_bytes() == before
    assert not safetensors_file.read(tmp_path / "a.safetensors")["a"].any()


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    counts: list[int] = []
    tensors = some_tensors()
    safetensors_file.write(tmp_path / "a.safetensors", tensors, counts.append)
    assert sum(counts) == sum(array.nbytes for array in tensors.values())


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors_file.write(path, {"a": np.zeros(4, np.float32)})
    before = path.read_bytes()

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        safetensors_file.write(path, {"a": np.ones(4, np.float32)}, stop)
    with pytest.raises(UsageError, match="complex64, which this file format does not support"):
        safetensors_file.write(path, {"a": np.ones(4, np.complex64)})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def _file(header: object, body: bytes = b"\0" * 8, length: int | None = None) -> Callable[[Path], Path]:
    """A file of this header and body. A header that is not bytes becomes JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()

    def build(folder: Path) -> Path:
        path = folder / "model.safetensors"
        path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)
        return path

    return build


def _entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def _bytes(content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "model.safetensors").write_bytes(content)
        return folder / "model.safetensors"

    return build


DAMAGED: dict[str, Callable[[Path], Path]] = {
    "nothing": _bytes(b""),
    "three bytes": _bytes(b"abc"),
    "a web page": _bytes(b"<!DOCTYPE html><html>404</html>"),
    "a Git LFS pointer": _bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    "no file": lambda folder: folder / "model.safetensors",
    "header longer than the file": _file({"a": _entry()}, length=10_000),
    "header of 2**63 bytes": _file({"a": _entry()}, length=2**63),
    "header of 2**64 - 1 bytes": _file({"a": _entry()}, length=2**64 - 1),
    "no header": _file(b"", length=0),
    "header is not JSON": _file(b"{'a': 1}"),
    "header is not UTF-8": _file(b'{"\xff": 1}'),
    "header is a list": _file([1, 2]),
    "header nests deeply": _file(b'{"a":' + b"[" * 100_000),
    "header nests deeply and closes": _file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a number of a million digits": _file(b'{"a": ' + b"9" * 1_000_000 + b"}"),
    "a name twice": _file(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    ),
    "a name twice in an entry": _file(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "shape is an object": _file({"a": _entry(shape={})}, b"\0" * 4),
    "offsets are an object": _file({"a": _entry(offsets={"0": 0, "8": 8})}),
    "empty, at a byte of 4300 digits": _file({"a": _entry(shape=[0], offsets=[int("9" * 4300)] * 2)}, b""),
    "a product of more digits than are printed": _file({"a": _entry(shape=[int("9" * 4300)] * 2)}),
    "entry is a number": _file({"a": 3}),
    "no offsets": _file({"a": {"dtype": "F32", "shape": [2]}}),
    "negative size": _file({"a": _entry(shape=[-2])}),
    "negative offset": _file({"a": _entry(offsets=[-8, 0])}),
    "size is a float": _file({"a": _entry(shape=[2.0])}),
    "size is true": _file({"a": _entry(shape=[True, 2])}),
    "an unknown dtype": _file({"a": _entry(dtype="F31")}),
    "type is a list": _file({"a": _entry(dtype=["F32"])}),
    "offsets in reverse": _file({"a": _entry(offsets=[8, 0])}),
    "offsets beyond the file": _file({"a": _entry(shape=[2000], offsets=[0, 8000])}),
    "size and offsets disagree": _file({"a": _entry(shape=[3])}),
    "2**40 numbers": _file({"a": _entry(shape=[2**20, 2**20], offsets=[0, 2**42])}),
    "sizes whose product overflows": _file({"a": _entry(shape=[2**32, 2**32], offsets=[0, 8])}),
    "an empty array with huge other dimensions": _file({"a": _entry(shape=[0, *[2**47] * 8], offsets=[0, 0])}, b""),
    "a thousand dimensions": _file({"a": _entry(shape=[1] * 1000, dtype="F64")}),
    "two tensors overlap": _file({"a": _entry(), "b": _entry()}),
    "a gap between tensors": _file({"a": _entry(), "b": _entry(offsets=[12, 20])}, b"\0" * 20),
    "something appended": _file({"a": _entry()}, b"\0" * 9),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused(case: str, tmp_path: Path) -> None:
    path = DAMAGED[case](tmp_path)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"model\.safetensors"):
        safetensors_file.read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_a_huge_header_is_unsafe(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match="at most 8,000,000 are accepted"):
        safetensors_file.read(DAMAGED["header of 2**63 bytes"](tmp_path))
