"""Typical use of Keras with a model: calls, fit, saving, exporting, adapters, functional models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conformance.keras_backend import tensorflow

import bertkit
from bertkit.engines.torch import model_of
from bertkit.errors import UsageError

tf = tensorflow()
import keras  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")

RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 23, (8, 6))
MASK = (np.arange(6) < np.array([6, 6, 4, 4, 4, 3, 2, 1])[:, None]).astype(int)
INPUTS = {"input_ids": IDS, "attention_mask": MASK}
CLASSES = RNG.integers(0, 3, 8)
CROSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def model(head: str = "ForSequenceClassification", **given: Any) -> Any:
    keras.utils.set_random_seed(0)
    sizes = {
        "num_hidden_layers": 1,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.3,
    }
    return getattr(bertkit, f"TFBert{head}")(tiny.config(**{**sizes, **given}))


def near(a: Any, b: Any, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol)


def test_forms_of_a_call() -> None:
    m = model()
    wanted = m(IDS, MASK).logits
    lists = {name: array.tolist() for name, array in INPUTS.items()}
    for output in (
        m(INPUTS),
        m([IDS, MASK]),
        m((IDS, MASK)),
        m(IDS, attention_mask=MASK),
        m(**INPUTS),
        m(tf.constant(IDS, tf.int32), tf.constant(MASK, tf.int32)),
        m({**INPUTS, "token_type_ids": None}),
        m(lists),
        m(IDS, MASK.astype(np.float32)),
        m(IDS, (1.0 - MASK[:, None, None]) * np.finfo(np.float32).min),
        tf.function(m)(IDS, MASK),
        tf.function(lambda x: m(x, training=False))(INPUTS),
    ):
        near(output.logits, wanted)
        assert output["logits"] is output[0] is output.logits
    assert isinstance(m(IDS, return_dict=False), tuple)
    near(m(IDS.tolist()).logits, m(IDS).logits)
    attentions = m(IDS, output_attentions=[-1]).attentions  # the last layer
    near(attentions[-1], m(IDS, output_attentions=True).attentions[-1])


def test_labels_among_the_inputs_or_separate_give_the_same_training() -> None:
    """The model's own loss and a loss of Keras, with labels among the inputs and separate."""
    losses = []
    for inputs, targets, loss in (
        ({**INPUTS, "labels": CLASSES}, None, None),
        (INPUTS, CLASSES, None),
        (INPUTS, CLASSES, CROSS),
        ({**INPUTS, "labels": CLASSES}, None, CROSS),
    ):
        m = model()
        m.compile(keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"])
        history = m.fit(inputs, targets, epochs=2, batch_size=4, shuffle=False, verbose=0).history
        losses.append(history["loss"] + history["accuracy"])
    assert losses[0][1] < losses[0][0]
    for other in losses[1:]:
        near(other, losses[0])
    scores = m.evaluate(INPUTS, CLASSES, verbose=0, return_dict=True)
    predicted = m.predict(INPUTS, verbose=0)
    assert predicted.logits.shape == (8, 3)
    near(scores["accuracy"], (predicted["logits"].argmax(1) == CLASSES).mean())


@pytest.mark.parametrize("head", ["ForPreTraining", "ForNextSentencePrediction", "LMHeadModel", "ForMultipleChoice"])
def test_each_loss_decreases_in_training(head: str) -> None:
    m = model(head, is_decoder=head == "LMHeadModel")
    inputs = {
        "ForPreTraining": {**INPUTS, "labels": IDS, "next_sentence_label": CLASSES % 2},
        "ForNextSentencePrediction": {**INPUTS, "next_sentence_label": CLASSES % 2},
        "LMHeadModel": {**INPUTS, "labels": IDS},
        "ForMultipleChoice": {"input_ids": IDS.reshape(4, 2, 6), "labels": CLASSES[:4] % 2},
    }[head]
    m.compile(keras.optimizers.Adam(1e-2), jit_compile=head == "ForMultipleChoice")
    losses = m.fit(inputs, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0]
    assert len(m.predict(inputs, verbose=0)["loss"])


def test_own_loss_equals_a_loss_of_keras() -> None:
    m = model("ForQuestionAnswering", num_labels=2)
    places = {"start_positions": CLASSES, "end_positions": CLASSES + 1}
    m.compile("adam")
    own = m.evaluate({"input_ids": IDS, **places}, verbose=0)
    m.compile("adam", loss={"start_logits": CROSS, "end_logits": CROSS})
    near(m.evaluate({"input_ids": IDS}, places, verbose=0, return_dict=True)["loss"] / 2, own)
    m = model("ForTokenClassification")
    labels = np.where(MASK, IDS % 3, -100)
    m.compile("adam")
    own = m.evaluate(INPUTS, labels, verbose=0)
    m.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100))
    near(m.evaluate({**INPUTS, "labels": labels}, verbose=0), own)


def test_multi_label_loss_as_torch() -> None:
    m = model()
    several = RNG.integers(0, 2, (8, 3)).astype(np.float32)
    theirs = model_of(m._arrays(), m.config, "ForSequenceClassification", "float32")(
        torch.tensor(IDS), torch.tensor(MASK), labels=torch.tensor(several)
    ).loss
    near(tf.reduce_mean(m(INPUTS, labels=several).loss), theirs.detach())


def test_five_steps_of_adamw_as_torch() -> None:
    m = model("ForMaskedLM")
    theirs = model_of(m._arrays(), m.config, "ForMaskedLM", "float32").train()
    adam = keras.optimizers.AdamW(1e-3, weight_decay=0.01, epsilon=1e-8)
    other = torch.optim.AdamW(theirs.parameters(), 1e-3, weight_decay=0.01, eps=1e-8)
    m.compile(adam)
    for step in range(5):
        labels = np.where((IDS + step) % 3 == 0, IDS, -100)
        ours = m.train_on_batch({**INPUTS, "labels": labels})
        loss = theirs(torch.tensor(IDS), torch.tensor(MASK), labels=torch.tensor(labels)).loss
        other.zero_grad()
        loss.backward()
        other.step()
        m.reset_metrics()
        near(ours, loss.item(), 1e-4)
    near(m(INPUTS).logits, theirs.eval()(torch.tensor(IDS), torch.tensor(MASK)).logits.detach(), 1e-4)


def test_keras_files(tmp_path: Path) -> None:
    m = model()
    m.compile("adam")
    m.fit(INPUTS, CLASSES, verbose=0)
    wanted = m(INPUTS).logits
    m.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    near(again(INPUTS).logits, wanted, 0)
    again.fit(INPUTS, CLASSES, verbose=0)
    m.save_weights(tmp_path / "m.weights.h5")
    other = model()
    other.load_weights(tmp_path / "m.weights.h5")
    near(other(INPUTS).logits, wanted, 0)


@pytest.mark.parametrize("safe", [True, False])
def test_saved_in_keras_and_loaded_in_torch_and_in_a_new_process(tmp_path: Path, safe: bool) -> None:
    m = model()
    m.compile(keras.optimizers.Adam(1e-2))
    m.fit(INPUTS, CLASSES, epochs=2, verbose=0)
    m.save_pretrained(tmp_path, safe_serialization=safe)
    assert (tmp_path / ("model.safetensors" if safe else "tf_model.h5")).exists()
    theirs = bertkit.BertForSequenceClassification.from_pretrained(tmp_path)
    wanted = m(INPUTS).logits
    near(theirs(torch.tensor(IDS), torch.tensor(MASK)).logits.detach(), wanted)
    script = (
        "import bertkit, json, sys; m = bertkit.TFBertForSequenceClassification.from_pretrained(sys.argv[1]);"
        "print(json.dumps(m.predict(json.loads(sys.argv[2]), verbose=0).logits.tolist()))"
    ).replace(
        "json.loads(sys.argv[2])", "{k: __import__('numpy').array(v) for k, v in json.loads(sys.argv[2]).items()}"
    )
    words = json.dumps({name: array.tolist() for name, array in INPUTS.items()})
    run = subprocess.run([sys.executable, "-c", script, tmp_path, words], capture_output=True, text=True, check=True)
    near(json.loads(run.stdout.splitlines()[-1]), wanted)


def test_an_exported_graph_needs_tensorflow_only(tmp_path: Path) -> None:
    m = model()
    m.export(tmp_path / "source" / "graph", verbose=False)
    (tmp_path / "source" / "graph").rename(tmp_path / "moved")
    script = """
import json, sys, tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
given = {k: tf.constant(v, tf.int32) for k, v in json.loads(sys.argv[2]).items()}
print(json.dumps(served.serve({**given, "token_type_ids": tf.zeros_like(given["input_ids"])})["logits"].numpy().tolist()))
assert not any(name.startswith("bertkit") for name in sys.modules)
"""
    words = json.dumps({name: array.tolist() for name, array in INPUTS.items()})
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "moved", words], capture_output=True, text=True, check=True
    )
    near(json.loads(run.stdout.splitlines()[-1]), m(INPUTS).logits)


def test_lora_of_keras(tmp_path: Path) -> None:
    m = model()
    before = m(INPUTS).logits
    for layer in m.bert.encoder.layer:
        layer.attention.self.query.enable_lora(2)
    m.get_input_embeddings().enable_lora(2)
    near(m(INPUTS).logits, before)
    m.compile(keras.optimizers.Adam(1e-1))
    m.fit(INPUTS, CLASSES, verbose=0)
    m.save_pretrained(tmp_path)
    near(bertkit.TFBertForSequenceClassification.from_pretrained(tmp_path)(INPUTS).logits, m(INPUTS).logits)


def test_functional_models(tmp_path: Path) -> None:
    m = model("Model")
    ids, mask = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    for states in (
        m(ids, attention_mask=mask)[0],
        m.bert(ids, attention_mask=mask)[0],
        m([ids, mask]).last_hidden_state,
    ):
        whole = keras.Model([ids, mask], keras.layers.Dense(3)(states[:, 0]))
        assert whole([IDS, MASK]).shape == (8, 3)
    whole.compile("adam", loss=CROSS, metrics=["accuracy"])
    whole.fit([IDS, MASK], CLASSES, verbose=0)
    whole.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    near(again.predict([IDS, MASK], verbose=0), whole.predict([IDS, MASK], verbose=0))


def test_half_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        m = model("ForMaskedLM")
        output = m({**INPUTS, "labels": IDS})
        assert (output.logits.dtype, output.loss.dtype, m.variables[0].dtype) == (tf.bfloat16, tf.float32, "float32")
        m.compile("adam")
        m.fit({**INPUTS, "labels": IDS}, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")


def test_resized_vocabulary() -> None:
    m = model("ForMaskedLM")
    before = m(INPUTS).logits
    assert m.resize_token_embeddings(30).input_dim == 30 == m.config.vocab_size
    near(m(INPUTS).logits[..., :23], before)
    assert len(m.variables) == len(model("ForMaskedLM").variables)
    m.compile("adam")
    m.fit({**INPUTS, "labels": IDS}, verbose=0)


def test_loading(tmp_path: Path, transformers4: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = transformers4 / "ForSequenceClassification"
    weights = tiny.weights(tiny.config(), "ForSequenceClassification")
    for options in ({"use_safetensors": False}, {"from_pt": True}):
        m, info = bertkit.TFBertForSequenceClassification.from_pretrained(folder, output_loading_info=True, **options)
        assert not any(info.values())
        assert all(np.array_equal(array, weights[name]) for name, array in m._arrays().items())
    m = bertkit.TFBertForTokenClassification.from_pretrained(folder, num_labels=5, ignore_mismatched_sizes=True)
    assert m(IDS).logits.shape == (8, 6, 5)
    m, info = bertkit.TFBertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert "cls.predictions.bias" in info["missing_keys"] and "initialized at random" in caplog.text
    with pytest.raises(bertkit.BertkitError, match="of another shape"):
        bertkit.TFBertForSequenceClassification.from_pretrained(folder, num_labels=5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"input_ids": np.full((1, 3), 99)}, "resize_token_embeddings"),
        ({"input_ids": np.zeros((2, 11), int)}, "truncation=True"),
        ({"input_ids": IDS, "attention_mask": MASK[:, :2]}, r"attention_mask has the shape \[8, 2\]"),
        ({"input_idz": IDS}, "Did you mean 'input_ids'"),
        ({"input_ids": IDS, "labels": CLASSES + 9}, "must be 0 to 2, or -100"),
        ({"input_ids": IDS, "labels": CLASSES[:2]}, "one for each row"),
        ({"input_ids": IDS * 1.5}, "whole numbers"),
        ({}, "input_ids or inputs_embeds"),
        ({"input_ids": IDS[0]}, r"input_ids\[None\]"),
        ({"input_ids": IDS, "head_mask": np.ones(7, np.float32)}, "head_mask has the shape"),
    ],
)
def test_invalid_inputs(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        model()(given)


def test_invalid_fit_and_save() -> None:
    m = model()
    m.compile("adam")
    with pytest.raises(UsageError, match="pass labels to fit"):
        m.fit(INPUTS, verbose=0)
    with pytest.raises(UsageError, match="push_to_hub"):
        m.save_pretrained("x", push_to_hub=True)
