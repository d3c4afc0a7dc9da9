"""The ONNX engine gives the results of the engine without a framework."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
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
from bertkit.engines.processor import cores, threads
from bertkit.errors import FileFormatError, MissingExtraError, UsageError
from bertkit.heads import HEADS, Ask
from bertkit.parameters import expand
from bertkit.tasks import TASKS, task_class

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
from bertkit.engines.onnx import OnnxEngine
from bertkit.graphs.onnx import exported_graph


def rows(lengths: list[int], places: bool) -> list[Row]:
    rng = np.random.default_rng(0)
    found = [Row(rng.integers(5, 200, length), rng.integers(0, 2, length)) for length in lengths]
    words = {"labels": Target(np.array([7]), "place")}
    return [Row(row.input_ids, row.token_type_ids, np.array([len(row) - 1]), words) if places else row for row in found]


def weights(config: BertConfig, head: str) -> dict[str, np.ndarray]:
    """Weights like those of trained models, whose states do not amplify the rounding of float32."""
    found = {}
    for name, parameter in expand(config, head).items():
        normal = tiny.numbers(name, parameter.shape)
        found[name] = 1 + normal / 8 if parameter.kind == "norm" else normal / 8
    return found


@pytest.mark.parametrize("head", HEADS)
def test_outputs_are_those_of_numpy(head: str) -> None:
    config = BertConfig.from_dict(pipeline_cases.config("masked").to_dict(), is_decoder=head == "LMHeadModel")
    p, outputs = weights(config, head), HEADS[head].outputs
    words = any(output.grain == "place" for output in outputs.values())
    ask = Ask(tuple(outputs), (0, 2, 1), pooled="bert.pooler." in HEADS[head].parts, log_probs=words)
    batch = pack(rows([5, 64, 1, 17, 30], words))
    found, wanted = (kind.open(p, config, head).run(batch, ask) for kind in (OnnxEngine, NumpyEngine))
    assert found.keys() == wanted.keys() == ask.grains(head).keys()
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-5, err_msg=name)
    everywhere = pack([Row(row.input_ids, row.token_type_ids) for row in rows([3, 8], False)])
    found, wanted = (
        kind.open(p, config, head).run(everywhere, Ask(tuple(outputs))) for kind in (OnnxEngine, NumpyEngine)
    )
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("task", CALLS)
def test_tasks_answer_as_with_numpy(task: str) -> None:
    name, given, options = CALLS[task]
    found, wanted = (ours(task, name, kind)(given, **options) for kind in ("onnx", "numpy"))
    assert_close(found, wanted)


WITHOUT = """
import json, sys
for name in ("torch", "tensorflow", "keras", "jax", "flax", "transformers"):
    sys.modules[name] = None  # an import raises ModuleNotFoundError
import bertkit
answers = {}
for task, (model, given, options) in json.load(sys.stdin).items():
    pipe = bertkit.pipeline(task, model)
    assert type(pipe.engine).__name__ == "OnnxEngine", pipe.engine
    answers[task] = pipe(given, **options)
print(json.dumps(answers))
"""


def test_every_task_runs_without_another_framework() -> None:
    """The engine is chosen by what is installed."""
    calls = {task: (str(folder(name)), given, options) for task, (name, given, options) in CALLS.items()}
    done = subprocess.run([sys.executable, "-c", WITHOUT], input=json.dumps(calls), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == set(TASKS)
    for task, (model, given, options) in calls.items():
        wanted = bertkit.pipeline(task, model, engine="numpy")(given, **options)
        assert_close(found[task], json.loads(json.dumps(wanted)))


def test_every_task_is_tested() -> None:
    assert CALLS.keys() == set(TASKS)


def test_an_encoder_without_pooler_and_wrong_requests() -> None:
    own = engine("masked", task_class("feature-extraction").head, "onnx")
    with pytest.raises(UsageError, match='this model has no pooler: type pooling="mean"'):
        own.run(pack(rows([3], False)), Ask(pooled=True))
    with pytest.raises(UsageError, match='the target "labels"'):
        engine("masked", "ForMaskedLM", "onnx").run(pack(rows([3], False)), Ask(log_probs=True))


def test_int8_is_close() -> None:
    texts = pipeline_cases.SENTENCES[:16]
    whole, eighth = (
        bertkit.pipeline("feature-extraction", folder("plain"), engine="onnx", precision=name, pooling="mean")(
            texts, normalize=True, return_tensors=True
        )
        for name in ("fp32", "int8")
    )
    cosines = [float(a @ b) for a, b in zip(whole, eighth, strict=True)]
    assert 0.98 < min(cosines) < 1 - 1e-6
    pipe = bertkit.pipeline("feature-extraction", folder("plain"), engine="onnx", precision="int8")
    assert pipe.precision == "int8" and pipe.device == "cpu"


def exported(name: str, target: Path, portable: bool = False, int8: bool = False) -> Path:
    """A folder with model.onnx instead of weights."""
    shutil.copytree(folder(name), target, ignore=shutil.ignore_patterns("*.safetensors"))
    exported_graph(pipeline_cases.config(name), MODELS[name][0], pipeline_cases.weights(name), int8, portable).save(
        target
    )
    return target


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("task", CALLS)
def test_exported_files_answer_as_with_numpy(task: str, portable: bool, tmp_path: Path) -> None:
    """The engine is chosen by the file. The layers before the last one are not in it."""
    name, given, options = CALLS[task]
    pipe = bertkit.pipeline(task, exported(name, tmp_path / "model", portable), **options)
    assert isinstance(pipe.engine, OnnxEngine) and pipe.precision == "fp32"
    if task == "feature-extraction":
        with pytest.raises(UsageError, match=r"The exported model has the outputs .*, and not hidden_states\.1"):
            pipe(given)
        options = {**options, "layers": [-1]}
        assert_close(pipe(given, **options), ours(task, name)(given, **options))
        return
    assert_close(pipe(given), ours(task, name)(given, **options))


def test_what_an_exported_file_cannot_do(tmp_path: Path) -> None:
    place = exported("five", tmp_path / "model", int8=True)
    assert bertkit.pipeline("text-classification", place).precision == "int8"
    for options, message in (
        ({"precision": "fp32"}, "is in int8: leave precision='fp32' out"),
        ({"engine": "torch"}, "exported for the engine onnx, and no weights for others: leave engine='torch' out"),
        ({"device": "cuda"}, "runs on the CPU"),
    ):
        with pytest.raises(UsageError, match=message):
            bertkit.pipeline("text-classification", place, **options)
    (place / "model.onnx").write_bytes(exported("answers", tmp_path / "other").joinpath("model.onnx").read_bytes())
    with pytest.raises(FileFormatError, match="BertForSequenceClassification needs input_ids"):
        bertkit.pipeline("text-classification", place)
    (place / "model.onnx").write_bytes(b"\x0a\x02ab" * 20)
    with pytest.raises(FileFormatError, match="ONNX Runtime refuses|damaged"):
        bertkit.pipeline("text-classification", place)


def test_the_command_line_opens_an_exported_file(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    found = []
    for model in (exported("masked", tmp_path / "model"), folder("masked")):
        assert main(["fill-mask", MASKED[0], "--model", str(model), "--json"]) == 0
        found.append(json.loads(capsysbinary.readouterr().out))
    assert_close(*found)


def test_devices_and_precisions() -> None:
    for options, message in (
        ({"device": "cuda"}, 'runs on the CPU, not on device=.cuda.: type engine="torch"'),
        ({"precision": "bf16"}, "does not support precision='bf16': choose one of auto, fp32, int8"),
        ({"model_kwargs": {"attn_implementation": "sdpa"}}, 'engine="onnx" supports only attn_implementation="eager"'),
    ):
        with pytest.raises(UsageError, match=message):
            bertkit.pipeline("text-classification", folder("five"), engine="onnx", **options)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    own = OnnxEngine.open(pipeline_cases.weights("five"), pipeline_cases.config("five"), MODELS["five"][0])
    options = own.session.get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() == cores() >= 1


def test_the_command_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    found = []
    for kind in ("onnx", "numpy"):
        assert main(["fill-mask", MASKED[0], "--model", str(folder("masked")), "--engine", kind, "--json"]) == 0
        found.append(json.loads(capsysbinary.readouterr().out))
    assert_close(*found)


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_a_missing_package(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bertkit.engines.onnx", "bertkit.graphs.onnx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=rf'needs {module}, which is not installed. Type: pip install "bertkit\[onnx\]"'
    ):
        engine_class("onnx").open(pipeline_cases.weights("five"), pipeline_cases.config("five"), MODELS["five"][0])
