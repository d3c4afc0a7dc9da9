"""Exported models that do not fit their config.json, or that a runtime cannot run, are errors of bertkit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pipeline_cases
import pytest
import tiny
from pipeline_cases import MODELS, SENTENCES
from pipeline_models import folder, ours

import bertkit
from bertkit.engines.openvino import OpenVinoEngine
from bertkit.errors import FileFormatError, UnsafeFileError, UsageError
from bertkit.graphs import onnx as onnx_graphs
from bertkit.graphs import openvino as openvino_graphs
from bertkit.graphs.openvino_runtime import core, ops, ov

KINDS = ("onnx", "openvino")
TASK = "text-classification"


def exported(kind: str, target: Path, name: str = "five", **of_config: Any) -> Path:
    """A folder with an exported model instead of weights. `of_config` changes its config.json."""
    shutil.copytree(folder(name), target, ignore=shutil.ignore_patterns("*.safetensors"))
    given = pipeline_cases.config(name), MODELS[name][0], pipeline_cases.weights(name)
    if kind == "onnx":
        onnx_graphs.exported_graph(*given).save(target)
    else:
        openvino_graphs.save(openvino_graphs.exported_graph(*given), target)
    values = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**values, **of_config}))
    return target


def labels(count: int) -> dict[str, Any]:
    return {"id2label": {str(n): f"L{n}" for n in range(count)}, "label2id": {f"L{n}": n for n in range(count)}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "of_config", "message"),
    [
        ("five", labels(2), r"output logits of the shape \[any, 5\], and by config.json it is \[batch, 2\]"),
        ("five", labels(9), r"output logits of the shape \[any, 5\], and by config.json it is \[batch, 9\]"),
        (
            "names",
            labels(2),
            r"logits of .*, and by config.json it is \[batch, length, 2\]: use the config.json of this",
        ),
        ("masked", {"vocab_size": 1999}, r"by config.json it is \[batch, length, 1999\]"),
        ("plain", {"hidden_size": 96}, r"last_hidden_state .*by config.json it is \[batch, length, 96\]"),
    ],
)
def test_a_config_of_another_model(
    name: str, of_config: dict[str, Any], message: str, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(FileFormatError, match=message):
        bertkit.pipeline(model=exported(kind, tmp_path / "model", name, **of_config))


def change_onnx(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def changed(place: Path) -> None:
        model = onnx.load(place / "model.onnx")
        change(model.graph)
        onnx.save(model, place / "model.onnx")

    return changed


def change_openvino(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def changed(place: Path) -> None:
        model = core().read_model(place / "openvino_model.xml").clone()
        change(model)
        model.validate_nodes_and_infer_types()
        openvino_graphs.save(model, place)

    return changed


def _onnx_sizes(graph: Any) -> None:
    for one in graph.input:
        one.type.tensor_type.shape.dim[0].dim_value, one.type.tensor_type.shape.dim[1].dim_value = 1, 8


def _onnx_int32(graph: Any) -> None:
    for one in graph.input:
        one.type.tensor_type.elem_type = onnx.TensorProto.INT32
        cast = onnx.helper.make_node("Cast", [one.name], [f"{one.name}.wide"], to=onnx.TensorProto.INT64)
        for node in graph.node:
            node.input[:] = [f"{name}.wide" if name == one.name else name for name in node.input]
        graph.node.insert(0, cast)


def _onnx_rows(graph: Any) -> None:
    """Only the first row is computed, which no shape says."""
    node = next(node for node in graph.node if node.output[0] == "logits")
    graph.initializer.append(onnx.numpy_helper.from_array(onnx.numpy_helper.np.array([0]), "first"))
    node.output[0] = "all"
    graph.node.append(onnx.helper.make_node("Gather", ["all", "first"], ["logits"], axis=0))


def _openvino_sizes(model: Any) -> None:
    model.reshape({name: [1, 8] for name in ("input_ids", "attention_mask", "token_type_ids")})


def _openvino_int32(model: Any) -> None:
    for one in model.get_parameters():
        readers, wide = one.output(0).get_target_inputs(), ops.convert(one, "i64")
        one.set_element_type(ov.Type.i32)
        for reader in readers:
            reader.replace_source_output(wide.output(0))


CHANGES = {
    "onnx": {"sizes": change_onnx(_onnx_sizes), "int32": change_onnx(_onnx_int32), "rows": change_onnx(_onnx_rows)},
    "openvino": {"sizes": change_openvino(_openvino_sizes), "int32": change_openvino(_openvino_int32)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "sizes",
            r"takes input_ids of the shape \[1, 8\] only, .* batch and length as dynamic dimensions, or with bertkit",
        ),
        ("int32", r"input_ids of the type int32 .*needs int64 \[batch, length\]"),
    ],
)
def test_inputs_of_one_shape_or_another_type(kind: str, change: str, message: str, tmp_path: Path) -> None:
    place = exported(kind, tmp_path / "model")
    CHANGES[kind][change](place)
    with pytest.raises(FileFormatError, match=message):
        bertkit.pipeline(TASK, place)


def test_outputs_of_another_shape_than_announced(tmp_path: Path) -> None:
    place = exported("onnx", tmp_path / "model")
    CHANGES["onnx"]["rows"](place)
    pipe = bertkit.pipeline(TASK, place)
    with pytest.raises(FileFormatError, match=r"computed logits with the shape \[1, 5\] instead of \[2, 5\]"):
        pipe(SENTENCES[:2])


def test_texts_at_which_the_runtime_fails(tmp_path: Path) -> None:
    """A config.json with more positions than the graph. The other texts of the same batch have their answers."""
    place = exported("onnx", tmp_path / "model", max_position_embeddings=512)
    pipe = bertkit.pipeline(TASK, place, tokenizer=longer(place))
    short, long = (" ".join(["the"] * count) for count in (62, 63))
    with pytest.raises(FileFormatError, match=r"in .* cannot run 3 texts of up to 65 tokens \(.*\): export it again"):
        pipe([short, long, short])
    found = pipe([short, long, short], errors="return")
    assert isinstance(found[1], FileFormatError) and "cannot run 1 texts of up to 65 tokens" in str(found[1])
    assert [found[0], found[2]] == [pipe([short])[0]] * 2
    assert isinstance(pipe.each([long], errors="return")[0], FileFormatError)


def test_a_config_with_more_positions_or_words(tmp_path: Path) -> None:
    """OpenVINO computes with zeros instead of the rows that a table lacks."""
    for number, (name, size) in enumerate(
        (("max_position_embeddings", 512), ("vocab_size", 9999), ("type_vocab_size", 3))
    ):
        place = exported("openvino", tmp_path / f"{number}", **{name: size})
        with pytest.raises(
            FileFormatError, match=rf"no table of {size} x 16 numbers, which {name} and hidden_size .*need"
        ):
            bertkit.pipeline(TASK, place)


def longer(place: Path) -> Any:
    return bertkit.BertTokenizerFast.from_pretrained(place, model_max_length=512)


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_cannot_be_changed(kind: str, tmp_path: Path) -> None:
    place = exported(kind, tmp_path / "model")
    own = bertkit.BertConfig.from_pretrained(place)
    for options, message in (
        ({"model_kwargs": {"attn_implementation": "sdpa"}}, "whose attn_implementation cannot be changed"),
        ({"model_kwargs": {"hidden_act": "relu"}}, "whose hidden_act cannot be changed: leave the argument out"),
        ({"model_kwargs": {"num_hidden_layers": 1}}, "whose num_hidden_layers cannot"),
        ({"config": bertkit.BertConfig.from_dict(own.to_dict(), is_decoder=True)}, "whose is_decoder cannot"),
    ):
        with pytest.raises(UsageError, match=message):
            bertkit.pipeline(TASK, place, **options)
    renamed = {"id2label": {n: f"label {n}" for n in range(5)}}
    for options in ({"model_kwargs": renamed}, {"config": bertkit.BertConfig.from_dict(own.to_dict(), **renamed)}):
        assert bertkit.pipeline(TASK, place, **options)(SENTENCES[0])[0]["label"].startswith("label ")
    many = {"problem_type": "multi_label_classification", "attn_implementation": "eager"}
    assert bertkit.pipeline(TASK, place, model_kwargs=many).config.problem_type == many["problem_type"]
    with pytest.raises(FileFormatError, match=r"by config.json it is \[batch, 3\]"):
        bertkit.pipeline(TASK, place, model_kwargs={"num_labels": 3})


def test_an_output_with_several_names(tmp_path: Path) -> None:
    """OpenVINO's converter keeps the names of the framework's values."""
    place = exported("openvino", tmp_path / "model")
    change_openvino(lambda model: model.outputs[0].get_tensor().add_names({"1042", "a"}))(place)
    assert bertkit.pipeline(TASK, place).engine.outputs.keys() == {"logits"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_has_no_pytorch_model(kind: str, tmp_path: Path) -> None:
    pipe = bertkit.pipeline(TASK, exported(kind, tmp_path / "model"))
    with pytest.raises(UsageError, match="An exported model has no PyTorch model: open the model that it was exported"):
        pipe.save_pretrained(tmp_path / "saved")
    of_object = bertkit.pipeline(TASK, pipe.engine, tokenizer=pipe.tokenizer)
    with pytest.raises(UsageError, match="An engine that is passed as an object has no PyTorch model: pass the name"):
        _ = of_object.model


def test_a_name_that_is_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime repeats the name in its message, which Python cannot decode."""
    place = exported("onnx", tmp_path / "model")
    model = (place / "model.onnx").read_bytes()
    (place / "model.onnx").write_bytes(model.replace(b"\x0a\x09input_ids", b"\x0a\x09\xffnput_ids", 1))
    with pytest.raises(
        FileFormatError, match=r"ONNX Runtime refuses model.onnx in .* codec can't decode .*: export it"
    ):
        bertkit.pipeline(TASK, place)
    assert capsys.readouterr().out == ""


def _expand(model: Any) -> None:
    """An output plus the first of far too many zeros."""
    side = ops.multiply(ops.constant([2**20]), ops.constant([2**20]))
    zeros = ops.broadcast(ops.constant(0.0), side)
    first = ops.gather(zeros, ops.constant(0), ops.constant(0))
    result = model.get_results()[0]
    names = result.output(0).get_tensor().get_names()
    added = ops.add(result.input_value(0), ops.convert(first, "f32"))
    result.input(0).replace_source_output(added.output(0))
    result.output(0).get_tensor().set_names(names)


def test_a_graph_with_a_far_too_large_array(tmp_path: Path) -> None:
    place = exported("openvino", tmp_path / "model")
    change_openvino(_expand)(place)
    with pytest.raises(UnsafeFileError, match="a node Broadcast that makes an array of the shape .*1099511627776"):
        bertkit.pipeline(TASK, place)


@pytest.mark.filterwarnings("ignore")  # torch.onnx.export by tracing is deprecated
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_file_of_pytorchs_exporter(attention: str, tmp_path: Path) -> None:
    """As optimum exports it: traced from transformers' class."""
    import torch
    import transformers

    model = transformers.BertForSequenceClassification.from_pretrained(folder("five"), attn_implementation=attention)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    place = tmp_path / "model"
    shutil.copytree(folder("five"), place, ignore=shutil.ignore_patterns("*.safetensors"))

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits

    torch.onnx.export(
        Named().eval(),
        tuple(torch.ones((2, 5), dtype=torch.int64) for _ in names),
        str(place / "model.onnx"),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
        opset_version=17,
        dynamo=False,
    )
    found = bertkit.pipeline(TASK, place)(SENTENCES[:5])
    for own, wanted in zip(found, ours(TASK, "five")(SENTENCES[:5]), strict=True):
        assert own["label"] == wanted["label"] and own["score"] == pytest.approx(wanted["score"], abs=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_relative_positions_are_checked(precision: str, tmp_path: Path) -> None:
    config = tiny.config(position_embedding_type="relative_key", num_labels=5)
    tensors = tiny.weights(config, "ForSequenceClassification")
    graph = openvino_graphs.exported_graph(config, "ForSequenceClassification", tensors, int8=precision == "int8")
    openvino_graphs.save(graph, tmp_path)
    place = bertkit.locate(tmp_path)
    engine = OpenVinoEngine.open_exported(place, config, "ForSequenceClassification")
    assert engine.precision == precision
    longer = bertkit.BertConfig.from_dict(config.to_dict(), max_position_embeddings=2 * config.max_position_embeddings)
    with pytest.raises(FileFormatError, match="which max_position_embeddings and hidden_size in config.json need"):
        OpenVinoEngine.open_exported(place, longer, "ForSequenceClassification")
