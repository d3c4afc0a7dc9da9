"""The engines give for packed rows what transformers' classes give for each by itself.

All compute in float64 here: what is compared is what is computed, and not how two libraries round.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from pipeline_cases import MODELS, config, weights
from pipeline_models import engine, folder

from bertkit.data.batches import Row, pack
from bertkit.engines.base import engine_class, label_log_probs, layers_of
from bertkit.engines.numpy import NumpyEngine
from bertkit.engines.torch import TorchEngine, device_of, model_class, type_of
from bertkit.errors import MissingExtraError, UsageError

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


@pytest.mark.parametrize("name", ["masked", "plain", "answers", "five", "names", "choices", "order"])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_outputs(name: str, kind: str) -> None:
    head = MODELS[name][0]
    model, some, want = theirs(name), rows(), OUTPUTS[head]
    outputs = wide(name, kind).run(pack(some), [*want, "hidden_states.0", "hidden_states.2"])
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
def test_logits_where_they_are_wanted(kind: str) -> None:
    some = rows()
    everywhere = engine("masked", "ForMaskedLM", kind).run(pack(some), ["logits"])["logits"]
    wanted = [Row(row.input_ids, row.token_type_ids, np.array([len(row) - 1]), np.array([7])) for row in some]
    batch = pack(wanted)
    found = engine("masked", "ForMaskedLM", kind).run(batch, ["logits", "label_log_probs"])
    assert np.allclose(found["logits"], everywhere[batch.positions], atol=1e-5)
    expected = torch.log_softmax(torch.from_numpy(found["logits"]), -1)[:, 7].numpy()
    assert np.allclose(found["label_log_probs"], expected, atol=1e-5)
    assert layers_of(["hidden_states.11", "logits", "hidden_states.2"]) == [2, 11]
    assert label_log_probs(np.array([[0.0, 1000.0]]), np.array([1])).tolist() == [0.0]


def test_devices_and_precisions() -> None:
    cpu = torch.device("cpu")
    assert device_of("cpu") == device_of(-1) == device_of(cpu) == cpu
    assert type_of("auto", cpu) is torch.float32
    assert type_of("bf16", cpu) is torch.bfloat16
    for given in ("cud", 1.5, "cuda:x"):
        with pytest.raises(UsageError, match="is none: type"):
            device_of(given)
    with pytest.raises(UsageError, match="no precision 'int8'"):
        type_of("int8", cpu)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="PyTorch sees none here"):
            device_of(0)
    half = TorchEngine.open(folder("five"), "ForSequenceClassification", config("five"), {}, "cpu", "bf16")
    assert half.dtype is torch.bfloat16 and half.device == cpu
    logits = half.run(pack(rows()), ["logits"])["logits"]
    full = engine("five", "ForSequenceClassification").run(pack(rows()), ["logits"])["logits"]
    assert logits.dtype == np.float32 and np.abs(logits - full).max() < 0.3


def test_an_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bertkit.engines.torch")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'engine="torch" needs torch.*pip install "bertkit\[torch\]"'):
        engine_class("torch")
