"""The ONNX graphs compute what the reference computes, padding included, for every head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from graph_cases import SETTINGS, inputs

from bertkit import reference
from bertkit.checkpoint.protobuf import field, varint
from bertkit.engines.onnx import _session
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.graphs import onnx_file
from bertkit.graphs.onnx import exported_graph
from bertkit.graphs.onnx_file import DATA, FILE, read_exported
from bertkit.heads import HEADS
from bertkit.hub import locate


def run(graph: Any, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = _session(graph.proto.SerializeToString(), graph.large)
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, given), strict=True))


def assert_like_the_reference(
    head: str, portable: bool, int8: bool = False, atol: float = 1e-5, **of_config: Any
) -> None:
    config = tiny.config(**of_config)
    p, given = tiny.trained(config, head, 0.25), inputs(head)
    wanted = reference.forward(config, p, head, **given)
    graph = exported_graph(config, head, p, int8, portable)
    found = run(graph, given)
    assert list(found) == list(HEADS[head].outputs)
    for name, array in found.items():
        assert array.shape == wanted[name].shape and array.dtype == np.float32
        np.testing.assert_allclose(array, wanted[name], rtol=0 if int8 else 1e-5, atol=atol, err_msg=name)
    if portable:
        assert [(one.domain, one.version) for one in graph.proto.opset_import] == [("", 17)]


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_every_head(head: str, portable: bool) -> None:
    assert_like_the_reference(head, portable)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("of_config", SETTINGS, ids=str)
def test_every_setting(of_config: dict[str, Any], portable: bool) -> None:
    assert_like_the_reference("ForMaskedLM", portable, **of_config)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("of_config", [{}, {"is_decoder": True}, {"pruned_heads": {1: [0]}}], ids=str)
def test_int8_is_close(of_config: dict[str, Any], portable: bool) -> None:
    """The weights have 7 bits and the inputs 8: a product is off by about a hundredth."""
    assert_like_the_reference("ForMaskedLM", portable, int8=True, atol=0.1, **of_config)


@pytest.mark.parametrize("portable", [False, True])
def test_the_int8_products_are_of_integers(portable: bool) -> None:
    config = tiny.config()
    graph = exported_graph(
        config, "ForSequenceClassification", tiny.trained(config, "ForSequenceClassification", 0.25), True, portable
    )
    kinds = [node.op_type for node in graph.proto.graph.node]
    assert "MatMul" not in (kinds if not portable else [])
    integers = kinds.count("MatMulInteger" if portable else "MatMulIntegerToFloat")
    assert integers == 4 * config.num_hidden_layers
    for tensor in graph.proto.graph.initializer:
        if tensor.name.endswith(".int8"):
            values = graph.large.get(tensor.name)
            values = onnx.numpy_helper.to_array(tensor) if values is None else values
            assert np.abs(values).max() == 63


@pytest.mark.parametrize("portable", [False, True])
def test_int8_of_a_row_does_not_depend_on_the_others(portable: bool) -> None:
    """Each token has a scale of its own, so that padding and other rows change no number of it."""
    config = tiny.config()
    graph = exported_graph(config, "ForMaskedLM", tiny.trained(config, "ForMaskedLM", 0.25), True, portable)
    ids, lengths = np.random.default_rng(0).integers(0, config.vocab_size, (3, 8)), [8, 3, 5]
    mask = (np.arange(8) < np.array(lengths)[:, None]).astype(np.int64)
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    whole = run(graph, given)["logits"]
    for row, length in enumerate(lengths):
        own = {name: array[row : row + 1, :length] for name, array in given.items()}
        np.testing.assert_allclose(run(graph, own)["logits"][0], whole[row, :length], rtol=0, atol=1e-5)


def wide() -> Any:
    """A graph with arrays of more than a kilobyte, which may be in a second file."""
    config = tiny.config(hidden_size=32, intermediate_size=48)
    return exported_graph(config, "Model", tiny.trained(config, "Model", 0.25), portable=True)


@pytest.mark.parametrize("most", [2**20, 0])
def test_files(tmp_path: Path, most: int) -> None:
    """A model in one or two files is valid, and runs in ONNX Runtime alone as in bertkit."""
    graph, given = wide(), inputs("Model")
    written = graph.save(tmp_path, most)
    assert [path.name for path in written] == ([FILE] if most else [FILE, DATA])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    onnx.checker.check_model(str(tmp_path / FILE), full_check=True)
    wanted = run(graph, given)
    session = onnxruntime.InferenceSession(str(tmp_path / FILE))
    model, arrays = read_exported(locate(tmp_path))
    assert bool(arrays) is (most == 0)
    own = _session(model, arrays)
    for one in (session, own):
        for output, array in zip(one.get_outputs(), one.run(None, given), strict=True):
            assert np.array_equal(array, wanted[output.name])


def changed(folder: Path, change: Any) -> None:
    """Apply a function to the saved model of `wide`."""
    wide().save(folder, 0)
    model = onnx.load(str(folder / FILE), load_external_data=False)
    change(model)
    (folder / FILE).write_bytes(model.SerializeToString())


def _elsewhere(model: Any) -> None:
    large = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    large.external_data[0].value = "../../etc/passwd"


def _constant_elsewhere(model: Any) -> None:
    tensor = onnx.TensorProto(name="x", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["x"], value=tensor))


def _loop(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", [], ["x"], body=body))


def _function(model: Any) -> None:
    model.functions.append(onnx.helper.make_function("d", "f", [], [], [], []))


def _node(kind: str, **options: str) -> Any:
    return lambda model: model.graph.node.append(onnx.helper.make_node(kind, ["input_ids"], ["x"], **options))


def _bomb(kind: str, size: Any, place: int = 0) -> Any:
    """A node with an array of the graph as its size."""

    def change(model: Any) -> None:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(size), "size"))
        model.graph.node.append(onnx.helper.make_node(kind, ["input_ids"] * place + ["size"], ["x"]))

    return change


def _constant_bomb(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["size"], ["x"]))
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["size"], value_ints=[2**40]))


def _sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_elsewhere, "only model.onnx.data or model.onnx_data in the same folder is accepted"),
        (_constant_elsewhere, "a constant in another file"),
        (_loop, "a node with graphs"),
        (_function, "has functions"),
        (_sparse, "has sparse arrays"),
        (_node("NonMaxSuppression"), "has a node ai.onnx.NonMaxSuppression, which a BERT does not need"),
        (_node("MatMul", domain="com.example"), "has a node com.example.MatMul"),
        (
            _bomb("ConstantOfShape", [2**20, 2**20]),
            "a node ConstantOfShape that makes an array of the size .1048576, 1048576.",
        ),
        (_bomb("Expand", [2**40], 1), "a node Expand that"),
        (_bomb("Tile", [2**40], 1), "a node Tile that"),
        (_bomb("Range", 2**40, 1), "a node Range that"),
        (_constant_bomb, "a node ConstantOfShape that"),
    ],
)
def test_unsafe_files_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    changed(tmp_path, change)
    with pytest.raises(UnsafeFileError, match=message):
        read_exported(locate(tmp_path))


def _hidden(number: int, content: bytes) -> bytes:
    """A field whose key has a bit that readers of 32 bits drop."""
    return varint(number << 3 | 2 | 1 << 32) + varint(len(content)) + content


@pytest.mark.parametrize("number", [1, 5, 7, 15, 25])
def test_fields_that_readers_number_differently_are_refused(number: int, tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "g", [], []).SerializeToString()
    inner, outer = field(7, graph + _hidden(number, b"")), field(7, graph) + _hidden(number, b"")
    for content in (inner, outer, field(7, graph) + varint(2) + varint(0)):
        (tmp_path / FILE).write_bytes(field(1, 8) + content)
        with pytest.raises(UnsafeFileError, match="a field with the invalid number"):
            read_exported(locate(tmp_path))


@pytest.mark.parametrize(
    "location",
    [
        field(14, 2**32 + 1),
        field(14, 1) + varint(14 << 3 | 5) + bytes(4),
        field(14, 1) + field(14, 0),
        field(14, b"x"),
        b"",
    ],
)
def test_every_spelling_of_another_file_is_refused(location: bytes, tmp_path: Path) -> None:
    entry = field(13, field(1, b"location") + field(2, b"/etc/passwd"))
    tensor = field(1, 1) + field(2, 1) + field(8, b"x") + entry + location
    constant = field(1, field(2, b"x") + field(4, b"Constant") + field(5, field(1, b"value") + field(5, tensor)))
    for graph in (field(5, tensor), constant):
        (tmp_path / FILE).write_bytes(field(1, 8) + field(7, graph))
        with pytest.raises(UnsafeFileError, match="another file|is accepted"):
            read_exported(locate(tmp_path))


def test_damaged_places_are_refused(tmp_path: Path) -> None:
    for key, value, message in (
        ("offset", "9" * 12, "needs .* bytes from byte"),
        ("offset", "-1", "at an invalid place"),
    ):

        def change(model: Any, key: str = key, value: str = value) -> None:
            large = next(tensor for tensor in model.graph.initializer if tensor.external_data)
            next(entry for entry in large.external_data if entry.key == key).value = value

        changed(tmp_path, change)
        with pytest.raises(FileFormatError, match=message):
            read_exported(locate(tmp_path))


def test_the_second_file_of_optimum(tmp_path: Path) -> None:
    """Another name, and types that bertkit does not write."""
    graph = wide()
    graph.save(tmp_path, 0)
    model = onnx.load(str(tmp_path / FILE))
    half = onnx.numpy_helper.from_array(np.arange(2000, dtype=np.float16), "half")
    odd = onnx.numpy_helper.from_array(
        np.zeros(2000, onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)), "odd"
    )
    for extra, fails in ((half, False), (odd, True)):
        model.graph.initializer.append(extra)
        own = onnx.ModelProto()
        own.CopyFrom(model)
        (tmp_path / f"{extra.name}").mkdir()
        options = {"save_as_external_data": True, "location": "model.onnx_data", "size_threshold": 1024}
        onnx.save(own, tmp_path / extra.name / FILE, **options)
        if fails:
            with pytest.raises(
                FileFormatError, match="'odd' of the type 16 in its second file, where bertkit reads float32, "
            ):
                read_exported(locate(tmp_path / extra.name))
            continue
        arrays = read_exported(locate(tmp_path / extra.name))[1]
        assert np.array_equal(arrays["half"], np.arange(2000, dtype=np.float16))
        for name, array in graph.large.items():
            assert np.array_equal(arrays[name], array)


def test_the_fields_of_a_file_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small messages, and dimensions packed into one field, which need many times the memory of their bytes."""
    shape = (
        field(1, 1)
        + field(2, 1)
        + field(8, b"x")
        + field(14, 1)
        + field(13, field(1, b"location") + field(2, DATA.encode()))
    )
    (tmp_path / DATA).write_bytes(b"x")
    (tmp_path / FILE).write_bytes(field(1, 8) + field(7, field(5, field(1, b"\x01" * 2**20) + shape)))
    with pytest.raises(FileFormatError, match="shape .* which is impossible"):
        read_exported(locate(tmp_path))
    monkeypatch.setattr(onnx_file, "_MOST_FIELDS", 500)
    wide().save(tmp_path)
    with pytest.raises(UnsafeFileError, match="fields: it is damaged or hostile"):
        read_exported(locate(tmp_path))


def test_random_damage_raises_errors_of_bertkit(tmp_path: Path) -> None:
    wide().save(tmp_path, 0)
    whole, rng = (tmp_path / FILE).read_bytes(), np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] = rng.integers(0, 256)
        (tmp_path / FILE).write_bytes(damaged[: rng.integers(1, len(whole) + 1)])
        try:
            read_exported(locate(tmp_path))
        except FileFormatError:
            continue


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("of_config", SETTINGS, ids=str)
def test_bertkits_own_int8_files_are_accepted(of_config: dict[str, Any], portable: bool, tmp_path: Path) -> None:
    config = tiny.config(**of_config)
    exported_graph(config, "Model", tiny.trained(config, "Model"), True, portable).save(tmp_path)
    assert read_exported(locate(tmp_path))[0] == (tmp_path / FILE).read_bytes()
