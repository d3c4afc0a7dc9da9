"""MessagePack files of Flax compared with the msgpack library, and a table of files that must be refused.

`flax_bytes` adds the extensions of Flax to MessagePack.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.checkpoint import msgpack as flax
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.msgpack import layout
from bertkit.errors import FileFormatError, UnsafeFileError, UsageError

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


def tensor(array: np.ndarray, kind: int = 1) -> msgpack.ExtType:
    return msgpack.ExtType(kind, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))


def flax_bytes(tree: object) -> bytes:
    """The bytes that `flax.serialization.msgpack_serialize` writes for nested maps, lists and arrays."""

    def extension(value: object) -> object:
        if isinstance(value, complex):
            return msgpack.ExtType(2, msgpack.packb((value.real, value.imag)))
        assert isinstance(value, np.ndarray | np.generic)
        return tensor(np.asarray(value), 1 if isinstance(value, np.ndarray) else 3)

    data = msgpack.packb(tree, default=extension, strict_types=True)
    assert isinstance(data, bytes)
    return data


def chunked(shape: tuple[int, ...], *chunks: object) -> dict[str, object]:
    """A tensor that was split."""
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(axis): size for axis, size in enumerate(shape)},
        "chunks": {str(number): chunk for number, chunk in enumerate(chunks)},
    }


def nested(tensors: Tensors) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in tensors.items():
        *parents, leaf = name.split("/")
        group = tree
        for part in parents:
            group = group.setdefault(part, {})
        group[leaf] = array
    return tree


def written(folder: Path, data: bytes) -> Path:
    (folder / "flax_model.msgpack").write_bytes(data)
    return folder / "flax_model.msgpack"


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


EVERY_TYPE: Tensors = {name: np.arange(2).astype(name) for name in layout.DTYPES if name != "bfloat16"}
TENSORS: Tensors = {
    "bert/embeddings/word_embeddings/embedding": NUMBERS,
    "bert/encoder/layer/0/output/dense/bias": NUMBERS[0],
    "cls/predictions/bias": NUMBERS[:, 0].copy(),
    "scalar": np.array(2.5, np.float32),
    "no_rows": np.zeros((0, 3)),
    "long": np.arange(300, dtype=np.int8),
    "longer": np.arange(70_000, dtype=np.int32),
    "brain": NUMBERS.astype(ml_dtypes.bfloat16),
    **EVERY_TYPE,
}


def test_reads_what_flax_writes(tmp_path: Path) -> None:
    assert_equal(flax.read(written(tmp_path, flax_bytes(nested(TENSORS)))), TENSORS)


def test_writes_what_flax_writes(tmp_path: Path) -> None:
    flax.write(tmp_path / "x.msgpack", TENSORS)
    assert (tmp_path / "x.msgpack").read_bytes() == flax_bytes(nested(TENSORS))


def test_reads_lists_and_scalars_and_leaves_out_the_rest(tmp_path: Path) -> None:
    tree = {
        "list": [NUMBERS, {"inner": NUMBERS}],
        "scalar": np.float32(2.5),
        "complex": 1j,
        "float": 0.5,
        "none": None,
        "true": True,
        "text": "x",
        "bytes": b"x",
        "list of text": ["x", ["y"]],
        **{
            f"integer {number}": number
            for number in (0, 127, 128, 2**16, 2**32, 2**63, -1, -32, -33, -(2**15), -(2**31), -(2**63))
        },
    }
    found = flax.read(written(tmp_path, flax_bytes(tree)))
    assert_equal(found, {"list/0": NUMBERS, "list/1/inner": NUMBERS, "scalar": np.array(2.5, np.float32)})


def test_reads_the_names_of_types_that_are_bytes(tmp_path: Path) -> None:
    payload = msgpack.packb((NUMBERS.shape, b"float32", NUMBERS.tobytes()))
    path = written(tmp_path, msgpack.packb({"x": msgpack.ExtType(1, payload)}))
    assert_equal(flax.read(path), {"x": NUMBERS})


def test_arrays_are_views_that_cannot_be_written_to(tmp_path: Path) -> None:
    array = flax.read(written(tmp_path, flax_bytes({"x": NUMBERS})))["x"]
    assert not array.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1.0


def test_writes_views_of_any_layout_and_does_not_change_them(tmp_path: Path) -> None:
    tensors: Tensors = {"transposed": NUMBERS.T, "strided": NUMBERS[::2, 1::2], "big_endian": NUMBERS.astype(">f4")}
    before = {name: array.copy() for name, array in tensors.items()}
    flax.write(tmp_path / "x.msgpack", tensors)
    assert_equal(flax.read(tmp_path / "x.msgpack"), {name: array.astype("<f4") for name, array in before.items()})
    assert_equal(tensors, before)


def test_large_tensors_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "CHUNK_BYTES", 17)
    tensors: Tensors = {"a/large": NUMBERS, "a/transposed": NUMBERS.T, "small": np.arange(17, dtype=np.int8)}
    counts: list[int] = []
    flax.write(tmp_path / "x.msgpack", tensors, on_bytes=counts.append)
    chunks = {"large": chunked((3, 4), *NUMBERS), "transposed": chunked((4, 3), *NUMBERS.T.reshape(3, 4))}
    assert (tmp_path / "x.msgpack").read_bytes() == flax_bytes({"a": chunks, "small": tensors["small"]})
    assert counts == [16, 16, 16, 16, 16, 16, 17]
    found = flax.read(tmp_path / "x.msgpack")
    assert_equal(found, tensors)
    assert not any(array.flags.writeable for array in found.values())


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": np.array([1j])}, "complex128"),
        ({"a": np.array(["text"])}, "'a' is of dtype"),
        ({"a": NUMBERS, "a/b": NUMBERS}, "'a/b' cannot be written"),
        ({"a//b": NUMBERS}, "'a//b' cannot be written"),
    ],
)
def test_refuses_tensors_that_cannot_be_written(tensors: Tensors, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        flax.write(tmp_path / "x.msgpack", tensors)
    assert not list(tmp_path.iterdir())


NAMES = st.lists(st.text("ab_é", min_size=1, max_size=40), min_size=1, max_size=3)
ARRAYS = st.tuples(st.sampled_from(["f4", "f2", "i1", "i8", "?"]), st.lists(st.integers(0, 20), max_size=3)).map(
    lambda drawn: (np.arange(np.prod(drawn[1], dtype=int)) % 100).astype(drawn[0]).reshape(drawn[1])
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES.map("/".join), ARRAYS, max_size=20))
def test_any_tree_is_read_as_written(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> None:
    tensors = {
        name: tensors[name] for name in sorted(tensors) if not any(other.startswith(f"{name}/") for other in tensors)
    }
    path = tmp_path_factory.mktemp("tree") / "x.msgpack"
    flax.write(path, tensors)
    found = flax.read(path)
    assert_equal({name: found[name] for name in tensors}, tensors)
    assert path.read_bytes() == flax_bytes(nested(tensors))


# Files that are damaged or hostile


def of_bytes(data: bytes) -> Callable[[Path], Path]:
    return lambda folder: written(folder, data)


def of_tree(tree: object) -> Callable[[Path], Path]:
    return of_bytes(flax_bytes(tree))


def of_payload(*parts: object, kind: int = 1) -> Callable[[Path], Path]:
    """A file with one tensor whose extension holds these parts."""
    return of_bytes(msgpack.packb({"x": msgpack.ExtType(kind, msgpack.packb(parts))}))


SOUND = flax_bytes({"a": {"x": NUMBERS}, "y": NUMBERS})
FLAT = NUMBERS.reshape(-1)

UNSAFE: dict[str, Callable[[Path], Path]] = {
    "maps nested 1,000 deep": of_bytes(b"\x81\xa1a" * 1000 + b"\xc0"),
    "arrays nested 100,000 deep": of_bytes(b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0"),
    "a million nils": of_bytes(b"\x81\xa1a\xdd" + (10**6).to_bytes(4, "big") + b"\xc0" * 10**6),
    "nine thousand tensors": of_tree({f"x{number}": NUMBERS[0] for number in range(9000)}),
    "a path of 600 letters": of_tree({"x" * 300: {"y" * 300: NUMBERS}}),
}

DAMAGED: dict[str, Callable[[Path], Path]] = {
    **UNSAFE,
    "empty": of_bytes(b""),
    "a page of text": of_bytes(b"<!DOCTYPE html><html>Not found</html>"),
    "a pointer of Git LFS": of_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
    "JSON": of_bytes(b'{"a": 1}'),
    "no map": of_tree(NUMBERS),
    "cut off in the numbers": of_bytes(SOUND[:-1]),
    "cut off between values": of_bytes(SOUND[: SOUND.index(b"y")]),
    "cut off in a head": of_bytes(b"\xde\x00"),
    "more bytes after the end": of_bytes(SOUND + b"\xc0"),
    "a byte without meaning": of_bytes(b"\x81\xa1a\xc1"),
    "a map of 4 billion": of_bytes(b"\xdf\xff\xff\xff\xff\xa1a\xc0"),
    "a key of 4 GB": of_bytes(b"\x81\xdb\xff\xff\xff\xffa\xc0"),
    "a text of 4 GB": of_bytes(b"\x81\xa1a\xdb\xff\xff\xff\xffa"),
    "an extension of 4 GB": of_bytes(b"\x81\xa1a\xc9\xff\xff\xff\xff\x01"),
    "a key that is a number": of_tree({1: NUMBERS}),
    "a key that is not UTF-8": of_bytes(b"\x81\xa1\xff\xc0"),
    "a key without letters": of_tree({"": NUMBERS}),
    "keys without letters, nested 1,000 deep": of_bytes(b"\x81\xa0" * 1000 + b"\xc0"),
    "a key that occurs twice": of_bytes(b"\x82\xa1a\xc0\xa1a\xc0"),
    "names that meet": of_tree({"a": {"b": NUMBERS}, "a/b": NUMBERS}),
    "an extension that Flax does not have": of_payload((1,), "int8", b"\0", kind=7),
    "two parts": of_payload((1,), "int8"),
    "four parts": of_payload((1,), "int8", b"\0", b"\0"),
    "a shape that is an integer": of_payload(1, "int8", b"\0"),
    "a shape that is negative": of_payload((-1,), "int8", b""),
    "a shape that is a text": of_payload(("1",), "int8", b"\0"),
    "a shape of 200 dimensions": of_payload((1,) * 200, "int8", b"\0"),
    "a shape of 10,000 huge dimensions": of_payload((2**64 - 1,) * 10_000, "int8", b"\0"),
    "a shape that is too large": of_payload((2**62,), "float32", b"\0" * 4),
    "a shape that is too small": of_payload((1,), "float32", b"\0" * 8),
    "a shape without elements that is too large": of_payload((2**62, 2**62, 0), "float32", b""),
    "a type of Python objects": of_payload((1,), "object", b"\0" * 8),
    "a type with fields": of_payload((1,), "i4,i4", b"\0" * 8),
    "a type that is a number": of_payload((1,), 4, b"\0" * 4),
    "a type that is not UTF-8": of_payload((1,), b"\xff", b"\0" * 4),
    "numbers that are a text": of_payload((1,), "int32", "abcd"),
    "numbers beyond their extension": of_bytes(
        msgpack.packb({"x": msgpack.ExtType(1, msgpack.packb(((4,), "int8", b"abcd"))[:-4]), "y": "abcdef"})
    ),
    "an extension without bytes": of_bytes(msgpack.packb({"x": msgpack.ExtType(1, b"")})),
    "chunks that do not fit": of_tree({"x": chunked((3, 5), FLAT[:6], FLAT[6:])}),
    "chunks that are not flat": of_tree({"x": chunked((3, 4), NUMBERS)}),
    "chunks of two types": of_tree({"x": chunked((3, 4), FLAT[:6], FLAT[6:].astype("f8"))}),
    "chunks that are not tensors": of_tree({"x": chunked((3, 4), 1, 2)}),
    "no chunks": of_tree({"x": chunked((0,))}),
    "chunks with a wrong number": of_tree({"x": chunked((12,)) | {"chunks": {"1": FLAT}}}),
    "chunks without a shape": of_tree({"x": {"__msgpack_chunked_array__": True, "chunks": {"0": FLAT}}}),
    "chunks of an absurd shape": of_tree({"x": chunked((2**62, 2**62, 0), FLAT[:0])}),
    "chunks of 100 dimensions": of_tree({"x": chunked((1,) * 100, FLAT[:1])}),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_refuses_damaged_files(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    path = damage(tmp_path)
    with pytest.raises(FileFormatError) as error:
        flax.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("damage", UNSAFE.values(), ids=UNSAFE)
def test_unsafe_files_have_their_own_error(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError):
        flax.read(damage(tmp_path))
