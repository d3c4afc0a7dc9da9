"""The ONNX and OpenVINO engines give the results of the engine without a framework, for every task and class."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pipeline_cases
import pytest
import tiny
from engine_calls import CALLS, MASKED, assert_close
from pipeline_cases import MODELS
from pipeline_models import engine, folder, ours

import bertkit
from bertkit.cli import main
from bertkit.config import BertConfig
from bertkit.data.batches import Row, Target, pack
from bertkit.engines.base import engine_class
from bertkit.engines.numpy import NumpyEngine
from bertkit.errors import FileFormatError, MissingExtraError, UsageError
from bertkit.heads import HEADS, Ask
from bertkit.tasks import TASKS, task_class

KINDS = ("onnx", "openvino")
FILES = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}


def rows(lengths: list[int], places: bool) -> list[Row]:
    rng = np.random.default_rng(0)
    found = [Row(rng.integers(5, 200, length), rng.integers(0, 2, length)) for length in lengths]
    words = {"labels": Target(np.array([7]), "place")}
    return [Row(row.input_ids, row.token_type_ids, np.array([len(row) - 1]), words) if places else row for row in found]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_numpy(kind: str, head: str) -> None:
    config = BertConfig.from_dict(pipeline_cases.config("masked").to_dict(), is_decoder=head == "LMHeadModel")
    p, outputs = tiny.trained(config, head), HEADS[head].outputs
    words = any(output.grain == "place" for output in outputs.values())
    ask = Ask(tuple(outputs), (0, 2, 1), pooled="bert.pooler." in HEADS[head].parts, log_probs=words)
    own, plain = (one.open(p, config, head, precision="fp32") for one in (engine_class(kind), NumpyEngine))
    found, wanted = (one.run(pack(rows([5, 64, 1, 17, 30], words)), ask) for one in (own, plain))
    assert found.keys() == wanted.keys() == ask.grains(head).keys()
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-5, err_msg=name)
    found, wanted = (one.run(pack(rows([3, 8], False)), Ask(tuple(outputs))) for one in (own, plain))
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-5, err_msg=name)
    for name, array in own.run(pack([]), Ask(tuple(outputs))).items():
        assert array.shape == (0, *wanted[name].shape[1:])


@pytest.mark.parametrize("task", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_tasks_answer_as_with_numpy(kind: str, task: str) -> None:
    name, given, options = CALLS[task]
    found, wanted = (ours(task, name, one)(given, **options) for one in (kind, "numpy"))
    assert_close(found, wanted)


def test_every_task_is_tested() -> None:
    assert CALLS.keys() == {task for task in TASKS if not task_class(task).writes}


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_without_pooler_and_wrong_requests(kind: str) -> None:
    own = engine("masked", task_class("feature-extraction").head, kind)
    with pytest.raises(UsageError, match='this model has no pooler: type pooling="mean"'):
        own.run(pack(rows([3], False)), Ask(pooled=True))
    with pytest.raises(UsageError, match='the target "labels"'):
        engine("masked", "ForMaskedLM", kind).run(pack(rows([3], False)), Ask(log_probs=True))


@pytest.mark.parametrize(("kind", "least"), [("onnx", 0.99), ("openvino", 0.999)])
def test_int8_is_close(kind: str, least: float) -> None:
    texts = pipeline_cases.SENTENCES[:16]
    whole, eighth = (
        bertkit.pipeline("feature-extraction", folder("plain"), engine=kind, precision=name, pooling="mean")
        for name in ("fp32", "int8")
    )
    assert (eighth.precision, eighth.device) == ("int8", "cpu")
    vectors = [pipe(texts, normalize=True, return_tensors=True) for pipe in (whole, eighth)]
    cosines = [float(a @ b) for a, b in zip(*vectors, strict=True)]
    assert least < min(cosines) < 1 - 1e-6


def _onnx(name: str, target: Path, **options: bool) -> None:
    from bertkit.graphs.onnx import exported_graph

    exported_graph(pipeline_cases.config(name), MODELS[name][0], pipeline_cases.weights(name), **options).save(target)


def _openvino(name: str, target: Path, **options: bool) -> None:
    from bertkit.graphs.openvino import exported_graph, save

    save(exported_graph(pipeline_cases.config(name), MODELS[name][0], pipeline_cases.weights(name), **options), target)


SAVE: dict[str, Callable[..., None]] = {"onnx": _onnx, "openvino": _openvino}


def exported(kind: str, name: str, target: Path, **options: bool) -> Path:
    """A folder with an exported model instead of weights."""
    shutil.copytree(folder(name), target, ignore=shutil.ignore_patterns("*.safetensors"))
    SAVE[kind](name, target, **options)
    return target


@pytest.mark.parametrize("task", CALLS)
@pytest.mark.parametrize(("kind", "options"), [("onnx", {}), ("onnx", {"portable": True}), ("openvino", {})], ids=str)
def test_exported_files_answer_as_with_numpy(kind: str, options: dict[str, bool], task: str, tmp_path: Path) -> None:
    """The engine is chosen by the file. The layers before the last one are not in it."""
    name, given, call = CALLS[task]
    pipe = bertkit.pipeline(task, exported(kind, name, tmp_path / "model", **options), **call, **fp32(kind))
    assert type(pipe.engine) is engine_class(kind) and pipe.precision == "fp32"
    if task == "feature-extraction":
        with pytest.raises(UsageError, match=r"The exported model has the outputs .*, and not hidden_states\.1"):
            pipe(given)
        call = {**call, "layers": [-1]}
        assert_close(pipe(given, **call), ours(task, name)(given, **call))
        return
    assert_close(pipe(given), ours(task, name)(given, **call))


def fp32(kind: str) -> dict[str, str]:
    """The precision "auto" of OpenVINO is bf16 if the CPU multiplies it fast."""
    return {"precision": "fp32"} if kind == "openvino" else {}


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_exported_file_cannot_do(kind: str, tmp_path: Path) -> None:
    place = exported(kind, "five", tmp_path / "model", int8=True)
    assert bertkit.pipeline("text-classification", place).precision == "int8"
    for options, message in (
        ({"precision": "fp32"}, "is in int8: leave precision='fp32' out"),
        ({"engine": "torch"}, f"exported for the engine {kind}, and no weights for others: leave engine='torch' out"),
        ({"device": "cuda"}, "runs on the CPU"),
    ):
        with pytest.raises(UsageError, match=message):
            bertkit.pipeline("text-classification", place, **options)
    for file, message in ((b"\x0a\x02ab" * 20, "refuses|damaged"), (b"", "is empty")):
        (place / FILES[kind]).write_bytes(file)
        with pytest.raises(FileFormatError, match=message):
            bertkit.pipeline("text-classification", place)
    SAVE[kind]("answers", place)
    with pytest.raises(FileFormatError, match="BertForSequenceClassification needs input_ids"):
        bertkit.pipeline("text-classification", place)
    SAVE[kind]("five", place)
    with pytest.raises(UsageError, match="is in fp32: leave precision='int8' out"):
        bertkit.pipeline("text-classification", place, precision="int8")


@pytest.mark.parametrize(
    ("kind", "precision", "known"),
    [("onnx", "bf16", "auto, fp32, int8"), ("openvino", "fp16", "auto, fp32, bf16, int8")],
)
def test_devices_and_precisions(kind: str, precision: str, known: str) -> None:
    for options, message in (
        ({"device": "cuda"}, 'runs on the CPU, not on device=.cuda.: type engine="torch"'),
        ({"precision": precision}, f"does not support precision='{precision}': choose one of {known}"),
        (
            {"model_kwargs": {"attn_implementation": "sdpa"}},
            f'engine="{kind}" supports only attn_implementation="eager"',
        ),
    ):
        with pytest.raises(UsageError, match=message):
            bertkit.pipeline("text-classification", folder("five"), engine=kind, **options)


def test_a_folder_with_several_exported_files(tmp_path: Path) -> None:
    place = exported("openvino", "five", exported("onnx", "five", tmp_path / "model") / "both")
    shutil.copy(place.parent / "model.onnx", place)
    for name, chosen, kind in (
        (place, "openvino", "openvino"),
        (place, "auto", "onnx"),
        (place / FILES["openvino"], "auto", "openvino"),
    ):
        pipe = bertkit.pipeline("text-classification", name, tokenizer=place, engine=chosen)
        assert type(pipe.engine) is engine_class(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line(kind: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With weights, with an exported file, and with the NumPy engine."""
    found, model = [], exported(kind, "masked", tmp_path / "model")
    for options in (
        [str(folder("masked")), "--engine", kind],
        [str(model)],
        [str(folder("masked")), "--engine", "numpy"],
    ):
        assert main(["fill-mask", MASKED[0], "--json", "--model", *options, "--precision", "fp32"]) == 0
        found.append(json.loads(capsysbinary.readouterr().out))
    assert_close(found[0], found[2])
    assert_close(found[1], found[2])


WITHOUT = """
import json, sys
import bertkit
answers = {}
for name in json.loads(sys.argv[2]):
    sys.modules[name] = None  # an import raises ModuleNotFoundError
for task, (model, given, options) in json.load(sys.stdin).items():
    pipe = bertkit.pipeline(task, model, precision="fp32")
    assert type(pipe.engine).__module__ == "bertkit.engines." + sys.argv[1], pipe.engine
    answers[task] = pipe(given, **options)
assert "openvino_telemetry" not in sys.modules  # with it, the import of OpenVINO sends an event
print(json.dumps(answers))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_runs_without_another_framework(kind: str) -> None:
    """The engine is chosen by what is installed."""
    others = ["torch", "tensorflow", "keras", "jax", "flax", "transformers", *(one for one in KINDS if one != kind)]
    calls = {task: (str(folder(name)), given, options) for task, (name, given, options) in CALLS.items()}
    code = [sys.executable, "-c", WITHOUT, kind, json.dumps(others)]
    done = subprocess.run(code, input=json.dumps(calls), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == CALLS.keys()
    for task, (model, given, options) in calls.items():
        wanted = bertkit.pipeline(task, model, engine="numpy")(given, **options)
        assert_close(found[task], json.loads(json.dumps(wanted)))


@pytest.mark.parametrize(("kind", "module"), [("onnx", "onnx"), ("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_package(kind: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith((f"bertkit.engines.{kind}", f"bertkit.graphs.{kind}")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=rf'needs {module}, which is not installed. Type: pip install "bertkit\[{kind}\]"'
    ):
        engine_class(kind).open(pipeline_cases.weights("five"), pipeline_cases.config("five"), MODELS["five"][0])
