"""Checkpoints of TensorFlow: TensorFlow and bertkit read each other's files, bit for bit."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from bertkit.checkpoint import protobuf, sstable
from bertkit.checkpoint.crc32c import masked_crc32c
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.tensor_bundle import prefix_of, read, write
from bertkit.errors import FileFormatError, UnsafeFileError, UsageError

FLOATS = ["float32", "float64", "float16", "bfloat16"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES = [*FLOATS, *INTEGERS, "bool", "complex64", "complex128"]


@pytest.fixture(scope="module")
def tf() -> ModuleType:
    import tensorflow as tf

    return tf


def dtype(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def some(shape: tuple[int, ...], name: str = "float32", seed: int = 0) -> np.ndarray[Any, Any]:
    """Random bytes as numbers, NaNs and denormals included; booleans are 0 and 1."""
    octets = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype(name).itemsize)
    if name == "bool":
        return (np.frombuffer(octets, np.uint8).reshape(shape) & 1).astype(bool)
    return np.frombuffer(octets, dtype(name)).reshape(shape)


def google_bert(layers: int = 2, optimizer: bool = True) -> Tensors:
    """Small variables of google-research/bert, with those of its optimizer."""
    hidden, inner = 8, 12
    shapes: dict[str, tuple[int, ...]] = {
        "bert/embeddings/word_embeddings": (30, hidden),
        "bert/embeddings/LayerNorm/gamma": (hidden,),
        "cls/predictions/output_bias": (30,),
        "cls/seq_relationship/output_weights": (2, hidden),
    }
    for layer in (f"bert/encoder/layer_{number}" for number in range(layers)):
        for part in ("attention/self/query", "attention/self/key", "attention/self/value", "attention/output/dense"):
            shapes |= {f"{layer}/{part}/kernel": (hidden, hidden), f"{layer}/{part}/bias": (hidden,)}
        shapes |= {
            f"{layer}/intermediate/dense/kernel": (hidden, inner),
            f"{layer}/output/dense/kernel": (inner, hidden),
        }
    if optimizer:
        shapes |= {f"{name}/adam_{slot}": shape for name, shape in shapes.items() for slot in "mv"}
    tensors: Tensors = {name: some(shape, seed=seed) for seed, (name, shape) in enumerate(shapes.items())}
    return tensors | {"global_step": np.array(1_000_000, np.int64)}


def every_dtype() -> Tensors:
    """Every dtype as a matrix, a scalar and an array without elements."""
    shapes = {"matrix": (3, 5), "scalar": (), "empty": (4, 0, 2)}
    return {f"{name}/{kind}": some(shape, name) for name in DTYPES for kind, shape in shapes.items()}


def assert_same(ours: Tensors, theirs: Tensors) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (tensor.dtype, tensor.shape), name
        assert ours[name].tobytes() == tensor.tobytes(), name


def save(tf: ModuleType, prefix: Path, tensors: Tensors) -> None:
    """Write a checkpoint with the operation that all classes of TensorFlow use."""
    values = [tf.constant(tensor) for tensor in tensors.values()]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=[*tensors], shape_and_slices=[""] * len(values), tensors=values)


def load(tf: ModuleType, prefix: Path) -> Tensors:
    """All tensors that TensorFlow reads."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: np.asarray(reader.get_tensor(name)) for name, _ in tf.train.list_variables(str(prefix))}


# Files of TensorFlow


def test_reads_what_tensorflow_1_saved(tf: ModuleType, tmp_path: Path) -> None:
    tensors = google_bert()
    prefix = tmp_path / "bert_model.ckpt"
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, tensor in tensors.items():
            v1.get_variable(name, initializer=tensor)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(prefix))
    assert (tmp_path / "bert_model.ckpt.meta").is_file()
    assert_same(read(prefix), tensors)


def test_reads_what_tensorflow_2_saved(tf: ModuleType, tmp_path: Path) -> None:
    layers = [tf.Module(), tf.Module()]
    for layer in layers:
        layer.kernel = tf.Variable(some((4, 2, 3)))
    checkpoint = tf.train.Checkpoint(encoder=tf.Module(), step=tf.Variable(7, dtype=tf.int64))
    checkpoint.encoder.layers = layers
    checkpoint.write(str(tmp_path / "ckpt"))
    found = read(tmp_path / "ckpt")
    names = [f"encoder/layers/{number}/kernel/.ATTRIBUTES/VARIABLE_VALUE" for number in (0, 1)]
    assert found.keys() == {*names, "step/.ATTRIBUTES/VARIABLE_VALUE"}  # and no _CHECKPOINTABLE_OBJECT_GRAPH
    assert found[names[1]].tobytes() == some((4, 2, 3)).tobytes()


def test_reads_every_type(tf: ModuleType, tmp_path: Path) -> None:
    save(
        tf,
        tmp_path / "all",
        every_dtype() | {"text": np.array(b"left out"), "texts": np.array([b"a", b"", b"c" * 300])},
    )
    assert_same(read(tmp_path / "all"), every_dtype())


def test_reads_several_shards(tf: ModuleType, tmp_path: Path) -> None:
    tensors = google_bert() | {"nothing": some((0, 3))}
    parts = [tmp_path / f"part-{number}" for number in range(3)]
    for number, part in enumerate(parts):
        save(tf, part, {name: tensors[name] for name in sorted(tensors)[number::3]})
    prefixes = [str(part) for part in parts]
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(tmp_path / "whole"))
    assert len(list(tmp_path.glob("whole.data-*-of-00003"))) == 3
    assert_same(read(tmp_path / "whole"), tensors)


def test_reads_only_empty_tensors(tf: ModuleType, tmp_path: Path) -> None:
    """Their shard has no bytes, and an empty file cannot be mapped."""
    tensors: Tensors = {"nothing": some((0, 3)), "less": some((0,), "int64")}
    save(tf, tmp_path / "empty", tensors)
    assert_same(read(tmp_path / "empty"), tensors)


def test_reads_an_index_of_several_blocks(tf: ModuleType, tmp_path: Path) -> None:
    tensors: Tensors = {f"bert/encoder/layer_{n}/{n * 7919 % 10_000}/kernel": some((2,), seed=n) for n in range(9000)}
    save(tf, tmp_path / "many", tensors)
    index = memoryview((tmp_path / "many.index").read_bytes())
    assert len(list(sstable._entries(sstable._index_block(index, "index"), "index"))) > 1
    assert_same(read(tmp_path / "many"), tensors)


def test_partitioned_variables_are_refused(tf: ModuleType, tmp_path: Path) -> None:
    half = tf.constant(some((2, 3)))
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "parts"),
        tensor_names=["kernel", "kernel"],
        shape_and_slices=["4 3 0,2:-", "4 3 2,2:-"],
        tensors=[half, half],
    )
    with pytest.raises(FileFormatError, match=r"parts\.index has partitioned variables"):
        read(tmp_path / "parts")


def test_version_1_is_refused(tf: ModuleType, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("kernel", initializer=some((2, 3)))
        session.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, str(tmp_path / "old.ckpt"))
    with pytest.raises(FileFormatError, match=r"old\.ckpt is a TensorFlow checkpoint of version 1"):
        read(tmp_path / "old.ckpt")


# Files of bertkit


@pytest.mark.parametrize("tensors", [google_bert(), every_dtype(), {"one": some(())}, {"nothing": some((0,))}, {}])
def test_tensorflow_reads_files_of_bertkit(tf: ModuleType, tmp_path: Path, tensors: Tensors) -> None:
    write(tmp_path / "ours", tensors)
    assert_same(load(tf, tmp_path / "ours"), tensors)
    assert_same(read(tmp_path / "ours"), tensors)


def test_the_bytes_equal_those_of_tensorflow(tf: ModuleType, tmp_path: Path) -> None:
    """The shard and the entries with their checksums are equal. Block boundaries may differ."""
    tensors = google_bert() | every_dtype()
    save(tf, tmp_path / "theirs", tensors)
    write(tmp_path / "ours", tensors)
    ours, theirs = (memoryview((tmp_path / name).read_bytes()) for name in ("ours.index", "theirs.index"))
    found = dict(sstable.read_table(theirs, "theirs"))
    without_place = {key: protobuf.parse(memoryview(value), "theirs") | {4: [0]} for key, value in found.items()}
    for key, value in sstable.read_table(ours, "ours"):
        assert protobuf.parse(memoryview(value), "ours") | {4: [0]} == without_place.pop(key)
    assert not without_place


def test_tensorflow_1_restores_files_of_bertkit(tf: ModuleType, tmp_path: Path) -> None:
    tensors = google_bert()
    write(tmp_path / "bert_model.ckpt", tensors)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        names = [name for name in tensors if name != "global_step"]
        variables = [v1.get_variable(name, initializer=np.zeros_like(tensors[name])) for name in names]
        v1.train.Saver().restore(session, str(tmp_path / "bert_model.ckpt"))
        assert_same(dict(zip(names, session.run(variables), strict=True)), {name: tensors[name] for name in names})


def test_init_from_checkpoint_reads_files_of_bertkit(tf: ModuleType, tmp_path: Path) -> None:
    """As in run_classifier.py."""
    tensors = google_bert(optimizer=False)
    write(tmp_path / "bert_model.ckpt", tensors)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        names = [name for name in tensors if name != "global_step"]
        variables = {name: v1.get_variable(name, tensors[name].shape) for name in names}
        v1.train.init_from_checkpoint(str(tmp_path / "bert_model.ckpt"), {name: name for name in names})
        session.run(v1.global_variables_initializer())
        assert_same(session.run(variables), {name: tensors[name] for name in names})


def test_tensorflow_reads_many_tensors(tf: ModuleType, tmp_path: Path) -> None:
    tensors: Tensors = {f"bert/encoder/layer_{n}/{n * 7919 % 10_000}/kernel": some((2,), seed=n) for n in range(3000)}
    write(tmp_path / "many", tensors)
    assert_same(load(tf, tmp_path / "many"), tensors)


def test_writes_any_layout_and_byte_order(tf: ModuleType, tmp_path: Path) -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensors: Tensors = {
        "transposed": matrix.T,
        "every second": matrix[:, ::2],
        "repeated": np.broadcast_to(matrix[0], (5, 4)),
        "big-endian": matrix.astype(">f4"),
        "fortran": np.asfortranarray(matrix),
        "scalar": np.array(3.5, ">f8"),
    }
    write(tmp_path / "ours", tensors)
    found = load(tf, tmp_path / "ours")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name, strict=not name.startswith(("big", "scalar")))


def test_keys_are_in_bytewise_order(tf: ModuleType, tmp_path: Path) -> None:
    """The order of UTF-8. UTF-16 and locales have another order."""
    tensors: Tensors = {name: some((2,)) for name in ("b", "B", "a/b", "a", "a.b", "ü", "\U0001f600", "\uffee", "Z")}
    write(tmp_path / "ours", tensors)
    assert list(read(tmp_path / "ours")) == sorted(tensors, key=str.encode)
    assert_same(load(tf, tmp_path / "ours"), tensors)


def test_on_bytes_is_called_after_every_tensor(tmp_path: Path) -> None:
    counts: list[int] = []
    write(tmp_path / "ours", {"a": some((3, 5)), "b": some((2,), "int8")}, counts.append)
    assert counts == [60, 2]


def test_a_failed_write_keeps_the_old_files(tmp_path: Path) -> None:
    write(tmp_path / "ours", {"a": some((3,))})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for bad in ({"a": some((5,)), "b": np.array("text")}, {"": some((1,))}, {"a\0b": some((1,))}):
        with pytest.raises(UsageError):
            write(tmp_path / "ours", bad)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_shard_is_renamed_before_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    monkeypatch.setattr("os.replace", lambda source, target: moved.append(Path(target).name))
    write(tmp_path / "ours", {"a": some((3,))})
    assert moved == ["ours.data-00000-of-00001", "ours.index"]


# Views


def test_tensors_are_views_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "big", {f"{n}": np.zeros((1 << 20,), np.float32) for n in range(8)})
    tracemalloc.start()
    tensors = read(tmp_path / "big")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20  # the file has 32 MiB
    assert not any(tensor.flags.writeable or tensor.flags.owndata for tensor in tensors.values())


# Paths


def test_prefix_of_each_file(tmp_path: Path) -> None:
    prefix = tmp_path / "bert_model.ckpt"
    write(prefix, {"a": some((1,))})
    (tmp_path / "bert_model.ckpt.meta").touch()
    for suffix in ("", ".index", ".meta", ".data-00000-of-00001"):
        assert prefix_of(f"{prefix}{suffix}") == prefix


# Damage

Fields = dict[int, Any]


def sealed(content: bytes, method: int = 0) -> bytes:
    """A block with its trailer."""
    content += bytes([method])
    return content + masked_crc32c(content).to_bytes(4, "little")


def block(*rows: tuple[int, int, int, bytes], restarts: tuple[int, ...] = (0,)) -> bytes:
    """The content of a block, from rows of (shared bytes, further bytes of the key, bytes of the value, all bytes)."""
    content = b"".join(b"".join(map(protobuf.varint, row[:3])) + row[3] for row in rows)
    return content + b"".join(number.to_bytes(4, "little") for number in (*restarts, len(restarts)))


def table(*blocks: bytes, places: list[tuple[int, int]] | None = None) -> bytes:
    """A table of sealed blocks, whose index has `places` as their positions."""
    found = [(sum(map(len, blocks[:number])), len(blocks[number]) - 5) for number in range(len(blocks))]
    handles = [protobuf.varint(start) + protobuf.varint(size) for start, size in places or found]
    index = sealed(block(*((0, 1, len(h), b"%c" % number + h) for number, h in enumerate(handles))))
    start = sum(map(len, blocks))
    footer = protobuf.varint(0) + protobuf.varint(0) + protobuf.varint(start) + protobuf.varint(len(index) - 5)
    return b"".join(blocks) + index + footer.ljust(40, b"\0") + sstable.MAGIC


def message(fields: Fields) -> bytes:
    return b"".join(
        protobuf.fixed32(number, value) if number == 6 else protobuf.field(number, value)
        for number, value in fields.items()
    )


def shape(*sizes: int) -> bytes:
    return b"".join(protobuf.field(2, protobuf.field(1, size)) for size in sizes)


HEADER: Fields = {1: 1, 3: protobuf.field(1, 1)}
HEADER_ROW = (0, 0, len(message(HEADER)), message(HEADER))
ENTRY: Fields = {1: 1, 2: shape(2), 5: 8, 6: masked_crc32c(bytes(8))}


def index_of(*entries: bytes, header: bytes | None = message(HEADER)) -> bytes:
    rows = [(b"", header)] if header is not None else []
    keys = [(f"name {number}".encode(), entry) for number, entry in enumerate(entries)]
    return rows_as_table([*rows, *keys])


def rows_as_table(rows: list[sstable.Entry]) -> bytes:
    return table(sealed(block(*((0, len(key), len(value), key + value) for key, value in rows))))


def stored(folder: Path, index: bytes, data: bytes | None = bytes(8), shard: str = "00000-of-00001") -> Path:
    """A checkpoint of these bytes."""
    (folder / "x.index").write_bytes(index)
    if data is not None:
        (folder / f"x.data-{shard}").write_bytes(data)
    return folder / "x"


def entry(**changes: Any) -> bytes:
    """A valid entry with other values of the named fields."""
    numbers = {"dtype": 1, "shape": 2, "shard": 3, "start": 4, "size": 5, "checksum": 6, "slices": 7}
    return message(ENTRY | {numbers[name]: value for name, value in changes.items()})


def folder_with(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


SOUND = index_of(entry())

DAMAGED: dict[str, Callable[[Path], Path]] = {
    "nothing there": lambda folder: folder / "x",
    "folder without": lambda folder: folder,
    "not a checkpoint": lambda folder: folder_with(folder, "x", b"PK\3\4" + bytes(100)),
    "version 1": lambda folder: folder_with(folder, "x", SOUND),
    "empty file": lambda folder: folder_with(folder, "x", b""),
    "index empty": lambda folder: stored(folder, b""),
    "index cut": lambda folder: stored(folder, SOUND[:-1]),
    "index only a footer": lambda folder: stored(folder, SOUND[-48:]),
    "index of text": lambda folder: stored(folder, b"model_checkpoint_path: 'x'\n" * 10),
    "index with a flipped bit": lambda folder: stored(folder, SOUND[:20] + bytes([SOUND[20] ^ 1]) + SOUND[21:]),
    "block beyond the file": lambda folder: stored(folder, table(sealed(block()), places=[(0, 1 << 40)])),
    "block far beyond the file": lambda folder: stored(folder, table(sealed(block()), places=[((1 << 64) - 1, 5)])),
    "blocks that repeat": lambda folder: stored(folder, table(sealed(block()), places=[(0, 8), (0, 8)])),
    "blocks with a cycle": lambda folder: stored(folder, table(sealed(block()), places=[(13, 24), (13, 24)])),
    "block compressed": lambda folder: stored(folder, table(sealed(block(), method=1))),
    "block too short": lambda folder: stored(folder, table(sealed(b"\0\0"))),
    "block with absurd restarts": lambda folder: stored(folder, table(sealed(bytes(8) + b"\xff\xff\xff\xff"))),
    "entry that shares too much": lambda folder: stored(folder, table(sealed(block((1, 0, 0, b""))))),
    "entry beyond its block": lambda folder: stored(folder, table(sealed(block((0, 4, 1 << 40, b"name"))))),
    "entry with a number without end": lambda folder: stored(folder, table(sealed(b"\x80" * 12 + block()))),
    "key too long": lambda folder: stored(folder, rows_as_table([(b"", message(HEADER)), (b"k" * 600, entry())])),
    "key that grows too long": lambda folder: stored(
        folder, table(sealed(block(HEADER_ROW, (0, 500, 0, b"k" * 500), (500, 13, 0, b"k" * 13))))
    ),
    "value too long": lambda folder: stored(folder, rows_as_table([(b"", message(HEADER)), (b"k", bytes(5000))])),
    "name twice": lambda folder: stored(folder, rows_as_table([(b"", message(HEADER)), *2 * [(b"k", entry())]])),
    "names out of order": lambda folder: stored(
        folder, rows_as_table([(b"", message(HEADER)), (b"b", entry()), (b"a", entry())])
    ),
    "name not in UTF-8": lambda folder: stored(folder, rows_as_table([(b"", message(HEADER)), (b"\xff", entry())])),
    "no header": lambda folder: stored(folder, index_of(entry(), header=None)),
    "no entries at all": lambda folder: stored(folder, index_of(header=None)),
    "header cut": lambda folder: stored(folder, index_of(entry(), header=message(HEADER)[:-1])),
    "no shards": lambda folder: stored(folder, index_of(entry(), header=message(HEADER | {1: 0}))),
    "a million shards": lambda folder: stored(folder, index_of(entry(), header=message(HEADER | {1: 10**6}))),
    "minus one shards": lambda folder: stored(folder, index_of(entry(), header=message(HEADER | {1: 2**64 - 1}))),
    "big-endian": lambda folder: stored(folder, index_of(entry(), header=message(HEADER | {2: 1}))),
    "future version": lambda folder: stored(
        folder, index_of(entry(), header=message(HEADER | {3: protobuf.field(2, 2)}))
    ),
    "entry cut": lambda folder: stored(folder, index_of(entry()[:-1])),
    "entry of an unknown kind": lambda folder: stored(folder, index_of(entry() + b"\x43")),
    "entry with a number for the shape": lambda folder: stored(folder, index_of(entry(shape=2))),
    "entry with bytes for the type": lambda folder: stored(folder, index_of(entry(dtype=b"float"))),
    "entry empty": lambda folder: stored(folder, index_of(b"")),
    "type unknown": lambda folder: stored(folder, index_of(entry(dtype=99))),
    "slices": lambda folder: stored(folder, index_of(entry(slices=b""))),
    "shape negative": lambda folder: stored(folder, index_of(entry(shape=shape(2**64 - 1), size=2**64 - 4))),
    "shape absurd": lambda folder: stored(folder, index_of(entry(shape=shape(2**63, 2**63)))),
    "shape empty and absurd": lambda folder: stored(folder, index_of(entry(shape=shape(0, 2**62), size=0))),
    "shape of too many dimensions": lambda folder: stored(folder, index_of(entry(shape=shape(*[1] * 40), size=4))),
    "size of another shape": lambda folder: stored(folder, index_of(entry(size=4))),
    "shard beyond the last": lambda folder: stored(folder, index_of(entry(shard=1))),
    "shard missing": lambda folder: stored(folder, SOUND, data=None),
    "shard of another number": lambda folder: stored(folder, SOUND, shard="00000-of-00002"),
    "shard empty": lambda folder: stored(folder, SOUND, data=b""),
    "shard cut": lambda folder: stored(folder, SOUND, data=bytes(7)),
    "start beyond the shard": lambda folder: stored(folder, index_of(entry(start=1))),
    "start negative": lambda folder: stored(folder, index_of(entry(start=2**64 - 8))),
}


def test_the_undamaged_checkpoint_is_valid(tmp_path: Path) -> None:
    assert_same(read(stored(tmp_path, SOUND)), {"name 0": np.zeros(2, np.float32)})


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_refused(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    path = damage(tmp_path)
    with pytest.raises(FileFormatError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_shard_is_only_opened_if_a_tensor_needs_it(tmp_path: Path) -> None:
    prefix = stored(tmp_path, index_of(entry(dtype=7, shard=5), entry(shape=shape(0), size=0)), data=None)
    assert_same(read(prefix), {"name 1": np.zeros(0, np.float32)})


def test_entries_that_share_long_keys_need_little_memory(tmp_path: Path) -> None:
    """An index of 1 MB whose names would need 34 MB."""
    text = entry(shape=shape(0), size=0)
    rows = [(500, 5, len(text), f"{n:05}".encode() + text) for n in range(1 << 16)]
    prefix = stored(tmp_path, table(sealed(block(HEADER_ROW, (0, 500, len(text), b"k" * 500 + text), *rows))))
    tracemalloc.start()
    with pytest.raises(UnsafeFileError, match=r"x\.index has more than 16,384 entries"):
        read(prefix)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
