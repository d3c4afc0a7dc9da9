"""HDF5 files compared with h5py, for reading and writing, and a table of files that must be refused."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.checkpoint import hdf5
from bertkit.checkpoint.files import Tensors
from bertkit.errors import FileFormatError, MissingExtraError, UnsafeFileError, UsageError

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


def h5py_tensors(path: Path) -> Tensors:
    """All datasets of numbers by their path, as h5py reads them."""
    found: Tensors = {}

    def enter(group: h5py.Group, prefix: str) -> None:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            member = group[name]
            if isinstance(member, h5py.Group):
                enter(member, f"{prefix}{name}/")
            elif isinstance(member, h5py.Dataset) and member.shape is not None and member.dtype.kind in "fiub":
                found[prefix + name] = np.asarray(member[()])

    with h5py.File(path) as file:
        enter(file, "")
    return found


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# Reading what h5py writes


def nested_groups(file: h5py.File) -> None:
    file["bert/tf_bert_model/bert/pooler/dense/kernel:0"] = NUMBERS
    file["bert/tf_bert_model/bert/pooler/dense/bias:0"] = NUMBERS[0]
    file["classifier/bias:0"] = NUMBERS[:, 0]
    file.create_group("dropout_37")


def types_of_number(file: h5py.File) -> None:
    for name in (
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    ):
        for order in "<>":
            file[f"{name}{order}"] = np.arange(5).astype(np.dtype(name).newbyteorder(order))


def booleans(file: h5py.File) -> None:
    file["mask"] = np.array([True, False, True])


def scalars_and_nothing(file: h5py.File) -> None:
    file["scalar"] = 2.5
    file["no_rows"] = np.zeros((0, 3))
    file["null"] = h5py.Empty("f4")


def texts(file: h5py.File) -> None:
    file["variable"] = ["a", "bb"]
    file["fixed"] = np.array([b"a", b"bb"])
    file["one"] = "text"
    file["numbers"] = NUMBERS


def compact(file: h5py.File) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(NUMBERS.shape)
    dataset = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, creation)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, NUMBERS)


def filled(file: h5py.File) -> None:
    file.create_dataset("filled", data=NUMBERS, fillvalue=7)


def soft_links(file: h5py.File) -> None:
    file["a/real"] = NUMBERS
    file["soft"] = h5py.SoftLink("/a")
    file["dangling"] = h5py.SoftLink("/nowhere")


def second_names(file: h5py.File) -> None:
    file["a/x"] = NUMBERS
    file["y"] = file["a/x"]
    file["b"] = file["a"]


def named_type(file: h5py.File) -> None:
    file["type"] = np.dtype("f4")
    file["x"] = NUMBERS


def many_attributes(file: h5py.File) -> None:
    """So many attributes that object headers have several continuations."""
    file["x"] = NUMBERS
    for number in range(100):
        file.attrs[f"of the root {number}"] = np.arange(50)
        file["x"].attrs[f"of x {number}"] = ["text"] * 20


def members_in_order(file: h5py.File) -> None:
    group = file.create_group("group", track_order=True)
    group["b"] = NUMBERS
    group["a"] = NUMBERS[0]


def hundreds_of_members(file: h5py.File) -> None:
    for number in range(700):
        file[f"layer_{number}"] = np.full(2, number)


def deleted_members(file: h5py.File) -> None:
    hundreds_of_members(file)
    for number in range(0, 700, 3):
        del file[f"layer_{number}"]
    for number in range(1, 700, 3):
        file.move(f"layer_{number}", f"moved_{number}")


SMALL = (
    *(nested_groups, types_of_number, booleans, scalars_and_nothing, texts, compact, filled, soft_links, second_names),
    *(named_type, many_attributes, members_in_order),
)
FEW_PER_GROUP = tuple(build for build in SMALL if build is not types_of_number)


@pytest.mark.parametrize("build", [*SMALL, hundreds_of_members, deleted_members])
def test_reads_what_h5py_writes(build: Callable[[h5py.File], None], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        build(file)
    assert_equal(hdf5.read(tmp_path / "x.h5"), h5py_tensors(tmp_path / "x.h5"))


@pytest.mark.parametrize("build", FEW_PER_GROUP)
@pytest.mark.parametrize("libver", ["latest", ("v108", "v108")])
def test_reads_the_newer_form_of_small_groups(
    build: Callable[[h5py.File], None], libver: str | tuple[str, str], tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        build(file)
    assert_equal(hdf5.read(tmp_path / "x.h5"), h5py_tensors(tmp_path / "x.h5"))


def test_keeps_the_types_of_number(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        types_of_number(file)
        booleans(file)
    found = hdf5.read(tmp_path / "x.h5")
    assert found["float16>"].dtype == np.dtype(">f2")
    assert found["uint64<"].dtype == np.dtype("<u8")
    assert found["mask"].dtype == np.int8


def test_names_have_the_order_of_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        hundreds_of_members(file)
    assert list(hdf5.read(tmp_path / "x.h5")) == list(h5py_tensors(tmp_path / "x.h5"))


def test_arrays_are_views_that_cannot_be_written_to(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = NUMBERS
    array = hdf5.read(tmp_path / "x.h5")["x"]
    assert not array.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1.0


# Writing what h5py reads


def test_h5py_reads_what_is_written(tmp_path: Path) -> None:
    tensors: Tensors = {
        "bert/model/pooler/kernel:0": NUMBERS,
        "bert/model/pooler/transposed:0": NUMBERS.T,
        "bert/model/strided": NUMBERS[::2, 1::2],
        "scalar": np.array(2.5),
        "no_rows": np.zeros((0, 3), np.int16),
        "half": NUMBERS.astype(np.float16),
        "big_endian": NUMBERS.astype(">f8"),
        "ümlaut": np.arange(3, dtype=np.uint8),
    }
    before = {name: array.copy() for name, array in tensors.items()}
    hdf5.write(tmp_path / "x.h5", tensors)
    assert_equal(h5py_tensors(tmp_path / "x.h5"), before)
    assert_equal(hdf5.read(tmp_path / "x.h5"), before)
    assert_equal(tensors, before)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 256, 257, 3000])
def test_groups_of_any_size_are_valid(count: int, tmp_path: Path) -> None:
    """h5py finds each member by its name, and can add members to the group."""
    tensors: Tensors = {f"group/layer_{number}": np.full(2, number) for number in range(count)}
    hdf5.write(tmp_path / "x.h5", tensors, {"group": {}})
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        assert all(file[name][0] == array[0] for name, array in tensors.items())
        for number in range(40):
            tensors[f"group/added_{number}"] = file[f"group/added_{number}"] = np.full(3, number)
    assert_equal(hdf5.read(tmp_path / "x.h5"), tensors)


def test_bfloat16_is_kept_and_is_float32_in_h5py(tmp_path: Path) -> None:
    tensors: Tensors = {"x": NUMBERS.astype(ml_dtypes.bfloat16)}
    hdf5.write(tmp_path / "x.h5", tensors)
    assert hdf5.read(tmp_path / "x.h5")["x"].dtype == ml_dtypes.bfloat16
    assert_equal(hdf5.read(tmp_path / "x.h5"), tensors)
    assert_equal(h5py_tensors(tmp_path / "x.h5"), {"x": NUMBERS})


def test_one_array_under_two_names_is_stored_once(tmp_path: Path) -> None:
    shared = np.zeros(10_000)
    hdf5.write(tmp_path / "x.h5", {"bert/embeddings": shared, "cls/embeddings": shared})
    assert (tmp_path / "x.h5").stat().st_size < 1.5 * shared.nbytes
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        assert file["bert/embeddings"] == file["cls/embeddings"]
        del file["bert/embeddings"]  # frees the numbers if no other link is counted
        file["other"] = np.ones(10_000)
        assert not file["cls/embeddings"][:].any()


def test_attributes(tmp_path: Path) -> None:
    hdf5.write(
        tmp_path / "x.h5",
        {"a/x": NUMBERS},
        {"/": {"one": "text", "none": []}, "a": {"list": ["x", "längste"]}, "b/c": {}},
    )
    with h5py.File(tmp_path / "x.h5") as file:
        assert file.attrs["one"] == b"text"
        assert list(file.attrs["none"]) == []
        assert [text.decode() for text in file["a"].attrs["list"]] == ["x", "längste"]
        assert list(file["b/c"]) == []


def test_reports_the_bytes_of_each_tensor(tmp_path: Path) -> None:
    counts: list[int] = []
    hdf5.write(tmp_path / "x.h5", {"a": NUMBERS, "b": NUMBERS[:, 0].copy()}, on_bytes=counts.append)
    assert counts == [48, 12]


def test_keras_attributes_list_layers_and_their_weights_in_order() -> None:
    attributes = hdf5.keras_attributes(["b/m/x:0", "b/m/w:0", "a/m/y:0"])
    assert attributes["/"]["layer_names"] == ["b", "a"]
    assert attributes["/"]["backend"] == "tensorflow"
    assert attributes["b"] == {"weight_names": ["m/x:0", "m/w:0"]}
    assert attributes["a"] == {"weight_names": ["m/y:0"]}


def test_keras_attributes_of_no_names_and_of_a_name_without_a_layer() -> None:
    assert hdf5.keras_attributes([])["/"]["layer_names"] == []
    with pytest.raises(UsageError, match="'kernel:0' is in no layer"):
        hdf5.keras_attributes(["kernel:0"])


def test_long_keras_attributes_are_split(tmp_path: Path) -> None:
    names = [f"bert/{'scope' * 20}/layer_{number}/kernel:0" for number in range(1500)]
    array = np.zeros(1)
    hdf5.write(tmp_path / "x.h5", dict.fromkeys(names, array), hdf5.keras_attributes(names))
    with h5py.File(tmp_path / "x.h5") as file:
        attributes = file["bert"].attrs
        assert list(attributes) == ["weight_names0", "weight_names1", "weight_names2"]
        assert [f"bert/{text.decode()}" for part in attributes.values() for text in part] == names


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": np.array([1j])}, "complex128"),
        ({"a": np.array(["text"])}, "'a' is of dtype"),
        ({"a": NUMBERS, "a/b": NUMBERS}, "'a/b' cannot be written"),
        ({"a/b": NUMBERS, "a": NUMBERS}, "'a' cannot be written"),
        ({"a//b": NUMBERS}, "'a//b' cannot be written"),
        ({"a/": NUMBERS}, "'a/' cannot be written"),
        ({"a\0b": NUMBERS}, "cannot be written"),
        ({"/".join("x" * 40): NUMBERS}, "levels"),
    ],
)
def test_refuses_tensors_that_cannot_be_written(tensors: Tensors, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        hdf5.write(tmp_path / "x.h5", tensors)
    assert not list(tmp_path.iterdir())


def test_refuses_an_attribute_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too large"):
        hdf5.write(tmp_path / "x.h5", {"a": NUMBERS}, {"/": {"texts": ["x" * 100] * 700}})
    assert not list(tmp_path.iterdir())


def test_writing_needs_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hdf5.write(tmp_path / "x.h5", {"x": NUMBERS})
    monkeypatch.setitem(sys.modules, "h5py", None)  # makes its import fail
    with pytest.raises(MissingExtraError, match=r"y\.h5 needs h5py, which is not installed\. Type: pip install h5py"):
        hdf5.write(tmp_path / "y.h5", {"x": NUMBERS})
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]
    assert_equal(hdf5.read(tmp_path / "x.h5"), {"x": NUMBERS})


def test_an_interrupted_save_keeps_the_old_file(tmp_path: Path) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    hdf5.write(tmp_path / "x.h5", {"x": NUMBERS})
    with pytest.raises(KeyboardInterrupt):
        hdf5.write(tmp_path / "x.h5", {"x": NUMBERS + 1}, on_bytes=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]
    assert_equal(hdf5.read(tmp_path / "x.h5"), {"x": NUMBERS})


NAMES = st.lists(st.text("ab:._é", min_size=1, max_size=5).filter(lambda name: name.strip(".")), min_size=1, max_size=4)
ARRAYS = st.tuples(
    st.sampled_from(["<f4", "<f2", ">f8", "i1", "<u2", ">i8"]), st.lists(st.integers(0, 4), max_size=3)
).map(lambda drawn: (np.arange(np.prod(drawn[1], dtype=int)) % 100).astype(drawn[0]).reshape(drawn[1]))


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES.map("/".join), ARRAYS, max_size=30))
def test_any_tree_is_read_as_written(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> None:
    names = set(tensors)
    tensors = {
        name: array for name, array in tensors.items() if not any(other.startswith(f"{name}/") for other in names)
    }
    path = tmp_path_factory.mktemp("tree") / "x.h5"
    hdf5.write(path, tensors)
    assert_equal(hdf5.read(path), tensors)
    assert_equal(h5py_tensors(path), tensors)


# Files that are damaged, hostile or not supported


def valid_file(path: Path, build: Callable[[h5py.File], None] = nested_groups) -> Path:
    with h5py.File(path / "tf_model.h5", "w") as file:
        build(file)
    return path / "tf_model.h5"


def patched(path: Path, position: int, new: bytes) -> Path:
    """Replace the bytes of a file at `position`, and return the file."""
    data = bytearray(path.read_bytes())
    data[position : position + len(new)] = new
    path.write_bytes(data)
    return path


def found(path: Path, what: bytes, number: int = 0) -> int:
    """The position in the file where `what` occurs, for the first or a later time."""
    start = -1
    for _ in range(number + 1):
        start = path.read_bytes().index(what, start + 1)
    return start


def header_of(path: Path, name: str) -> int:
    """The address of an object header."""
    with h5py.File(path) as file:
        return int(h5py.h5o.get_info(file[name].id).addr)


def message_of(path: Path, name: str, kind: int) -> int:
    """The position of a message in an object header. Its content begins 8 bytes after it."""
    data, position = path.read_bytes(), header_of(path, name) + 16
    while data[position] != kind:
        position += 8 + struct.unpack_from("<H", data, position + 2)[0]
    return position


def with_message(kind: int, offset: int, new: bytes) -> Callable[[Path], Path]:
    """A file where a message of a dataset has other bytes at `offset`. Its content begins at 8."""

    def damage(folder: Path) -> Path:
        path = valid_file(folder)
        return patched(path, message_of(path, "classifier/bias:0", kind) + offset, new)

    return damage


def at(position: int, new: bytes) -> Callable[[Path], Path]:
    return lambda folder: patched(valid_file(folder), position, new)


def at_first(what: bytes, offset: int, new: bytes) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        path = valid_file(folder)
        return patched(path, found(path, what) + offset, new)

    return damage


def of_bytes(data: bytes) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        (folder / "tf_model.h5").write_bytes(data)
        return folder / "tf_model.h5"

    return damage


def cut(keep: float) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        data = valid_file(folder).read_bytes()
        return of_bytes(data[: int(len(data) * keep)])(folder)

    return damage


def built(build: Callable[[h5py.File], None], libver: str = "earliest") -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        with h5py.File(folder / "tf_model.h5", "w", libver=libver) as file:
            build(file)
        return folder / "tf_model.h5"

    return damage


def two_of_one_name(folder: Path) -> Path:
    path = valid_file(folder, lambda file: file.update({"aaa": NUMBERS, "bbb": NUMBERS}))
    return patched(path, found(path, b"bbb\0"), b"aaa\0")


def root_is_a_dataset(folder: Path) -> Path:
    path = valid_file(folder)
    return patched(path, 64, struct.pack("<Q", header_of(path, "classifier/bias:0")))


def tree_with_a_cycle(folder: Path) -> Path:
    path = valid_file(folder)
    tree = found(path, b"TREE")
    return patched(path, tree + 32, struct.pack("<Q", tree))


def wide_tree_with_a_cycle(folder: Path) -> Path:
    """A node with 65,535 children, each of which is the node itself."""
    path = valid_file(folder)
    start = path.stat().st_size
    with path.open("ab") as file:
        file.write(struct.pack("<4sBBHQQ", b"TREE", 0, 1, 65535, 0, 0) + struct.pack("<QQ", 0, start) * 65535)
    root = struct.unpack_from("<Q", path.read_bytes(), 64)[0]
    return patched(path, root + 24, struct.pack("<Q", start))


def header_continued_by_itself(folder: Path) -> Path:
    path = valid_file(folder)
    start = header_of(path, "classifier/bias:0") + 16
    return patched(path, start, struct.pack("<HHB3xQQ", 0x10, 16, 0, start, 24))


def doubling_groups(file: h5py.File) -> None:
    """30 groups, each with two links to the next: a billion paths to one tensor."""
    group = file.create_group("0")
    for number in range(1, 30):
        inner = file.create_group(str(number))
        group["a"] = group["b"] = inner
        group = inner
    group["x"] = NUMBERS


def group_in_itself(file: h5py.File) -> None:
    file["group/x"] = NUMBERS
    file["group/up"] = file["/"]


def nine_thousand_names(folder: Path) -> Path:
    hdf5.write(folder / "tf_model.h5", dict.fromkeys([f"x{number}" for number in range(9000)], NUMBERS))
    return folder / "tf_model.h5"


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (3,))
    file.create_virtual_dataset("x", layout)


UNSAFE: dict[str, Callable[[Path], Path]] = {
    "numbers in another file": built(lambda file: file.create_dataset("x", (3,), "f4", external=[("passwd", 0, 12)])),
    "a link to another file": built(lambda file: file.update({"x": h5py.ExternalLink("elsewhere.h5", "/x")})),
    "numbers collected from other files": built(virtual),
    "a group in itself": built(group_in_itself),
    "groups that double": built(doubling_groups),
    "a tree with a cycle": tree_with_a_cycle,
    "a wide tree with a cycle": wide_tree_with_a_cycle,
    "a header with a cycle": header_continued_by_itself,
    "nine thousand names": nine_thousand_names,
    "a path of 600 letters": built(lambda file: file.create_group("/".join(["x" * 200] * 3))),
}

UNSUPPORTED: dict[str, Callable[[Path], Path]] = {
    "chunked": built(lambda file: file.create_dataset("x", data=NUMBERS, chunks=(1, 4))),
    "compressed": built(lambda file: file.create_dataset("x", data=NUMBERS, compression="gzip")),
    "many members in the newer form": built(hundreds_of_members, "latest"),
    "complex numbers": built(lambda file: file.update({"x": NUMBERS + 1j})),
    "bfloat16 as Keras 3 stores it": built(lambda file: file.update({"x": NUMBERS.astype(ml_dtypes.bfloat16)})),
    "a shared type": built(
        lambda file: file.update({"t": np.dtype("f4")}) or file.create_dataset("x", (3,), file["t"])
    ),
    "a float with another bias": with_message(3, 24, b"\x7e"),
    "a layout of 1998": with_message(8, 8, b"\x01"),
    "a superblock of the future": at(8, b"\x09"),
    "addresses of 4 bytes": at(13, b"\x04"),
    "addresses from byte 512 on": at(24, struct.pack("<Q", 512)),
}

DAMAGED: dict[str, Callable[[Path], Path]] = {
    **UNSAFE,
    **UNSUPPORTED,
    "empty": of_bytes(b""),
    "a page of text": of_bytes(b"<!DOCTYPE html><html>Not found</html>"),
    "only the signature": of_bytes(b"\x89HDF\r\n\x1a\n"),
    "cut off in the superblock": of_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20)),
    "cut off in the middle": cut(0.5),
    "cut off at the end": cut(0.99),
    "an end beyond the file": at(40, struct.pack("<Q", 2**40)),
    "a root beyond the file": at(64, struct.pack("<Q", 2**63)),
    "a root that is not a header": at(64, struct.pack("<Q", 0)),
    "a root that is a dataset": root_is_a_dataset,
    "no heap": at_first(b"HEAP", 0, b"HELP"),
    "names beyond the file": at_first(b"HEAP", 24, struct.pack("<Q", 2**64 - 8)),
    "no tree": at_first(b"TREE", 0, b"THREE"),
    "a tree of 65535 children": at_first(b"TREE", 6, b"\xff\xff"),
    "a child beyond the file": at_first(b"TREE", 32, struct.pack("<Q", 2**50)),
    "a list of 65535 members": at_first(b"SNOD", 6, b"\xff\xff"),
    "a member beyond the file": at_first(b"SNOD", 16, struct.pack("<Q", 2**64 - 1)),
    "a name beyond the heap": at_first(b"SNOD", 8, struct.pack("<Q", 2**20)),
    "a name without letters": at_first(b"classifier\0", 0, b"\0"),
    "a name of 600 letters": built(lambda file: file.create_group("x" * 600)),
    "a name with a slash": at_first(b"classifier\0", 2, b"/"),
    "a name that is not UTF-8": at_first(b"classifier\0", 0, b"\xff"),
    "two members of one name": two_of_one_name,
    "a message beyond its block": with_message(1, 2, b"\xf8\xff"),
    "a message too short for its content": with_message(1, 2, b"\x08\x00"),
    "neither group nor dataset": lambda folder: patched(
        path := valid_file(folder), header_of(path, "classifier/bias:0") + 8, bytes(4)
    ),
    "no type": with_message(3, 0, b"\x00"),
    "a shape of the future": with_message(1, 8, b"\x07"),
    "a shape of 200 dimensions": with_message(1, 9, b"\xc8"),
    "a shape that is too large": with_message(1, 16, struct.pack("<Q", 2**61)),
    "a shape that is too small": with_message(1, 16, struct.pack("<Q", 1)),
    "an unknown class of storage": with_message(8, 9, b"\x07"),
    "numbers beyond the file": with_message(8, 10, struct.pack("<Q", 2**62)),
    "numbers that were never stored": built(lambda file: file.create_dataset("x", (3,), "f4")),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_refuses_damaged_files(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    path = damage(tmp_path)
    with pytest.raises(FileFormatError) as error:
        hdf5.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("damage", UNSAFE.values(), ids=UNSAFE)
def test_unsafe_files_have_their_own_error(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError):
        hdf5.read(damage(tmp_path))


@pytest.mark.parametrize("damage", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_the_error_for_files_that_may_be_valid_has_a_command(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="h5repack"):
        hdf5.read(damage(tmp_path))
