"""Google's checkpoints in the formats of TF1 and TF2: loading them into the classes, and converting back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conformance.keras_backend import tensorflow
from google2_names import ENDING, google2

import bertkit
from bertkit import reference
from bertkit.checkpoint.files import Tensors
from bertkit.heads import HEADS
from bertkit.parameters import expand, transposed

tf = tensorflow()
import keras  # noqa: E402

IDS = np.random.default_rng(0).integers(1, 23, (4, 6))
MASK = (np.arange(6) < np.array([6, 5, 3, 1])[:, None]).astype(int)


def config(head: str) -> bertkit.BertConfig:
    return tiny.config(num_labels=2 if head == "ForQuestionAnswering" else 3)


def spelled(config: bertkit.BertConfig, head: str, weights: Tensors) -> Tensors:
    """The weights of a class by Google's names, with matrices transposed as in its checkpoints."""
    table = expand(config, head)
    return {
        table[name].spelled("google"): array.T if transposed(table[name].row, "google") else array
        for name, array in weights.items()
    }


def save_tf1(folder: Path, config: bertkit.BertConfig, tensors: Tensors) -> None:
    """Write the files of Google's run_pretraining: variables, those of the optimizer, and the step."""
    v1 = tf.compat.v1
    every = {**tensors, **{f"{name}/adam_{which}": 0 * x for name, x in tensors.items() for which in "mv"}}
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable(name, initializer=array) for name, array in every.items()]
        step = v1.get_variable("global_step", initializer=np.int64(7))
        session.run(v1.global_variables_initializer())
        v1.train.Saver([*variables, step]).save(session, str(folder / "bert_model.ckpt"))
    save_configuration(folder, config)


def save_tf2(folder: Path, config: bertkit.BertConfig, tensors: Tensors) -> None:
    """Write nested objects with variables as attributes, as TF2 does."""
    root = tf.train.Checkpoint()
    for name, array in tensors.items():
        *path, leaf = name.removesuffix(ENDING).replace(".S", "\0").split("/")
        owner = root
        for part in path:
            if not hasattr(owner, part):
                setattr(owner, part, tf.Module())
            owner = getattr(owner, part)
        setattr(owner, leaf.replace("\0", ".S"), tf.Variable(array))
    root.write(str(folder / "bert_model.ckpt"))
    save_configuration(folder, config)


def save_configuration(folder: Path, config: bertkit.BertConfig) -> None:
    known = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    values = {name: getattr(config, name) for name in (*known, "max_position_embeddings", "type_vocab_size")}
    (folder / "bert_config.json").write_text(json.dumps(values), encoding="utf-8")


def assert_as_reference(model: Any, weights: Tensors) -> None:
    """The model gives the outputs of the reference with these weights."""
    head = model._head
    one = head == "ForMultipleChoice"
    ids, mask = (IDS[None], MASK[None]) if one else (IDS, MASK)
    wanted = reference.forward(model.config, weights, head, input_ids=ids, attention_mask=mask)
    for name, output in model(ids, attention_mask=mask).items():
        if name != "past_key_values":
            np.testing.assert_allclose(output, wanted[name], atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("head", HEADS)
def test_a_tf1_checkpoint_loads_and_converts_back(head: str, tmp_path: Path) -> None:
    """All weights of a class are read from a file, and are in the converted file."""
    shape, old, new = config(head), tmp_path / "old", tmp_path / "new"
    old.mkdir()
    weights = tiny.weights(shape, head)
    save_tf1(old, shape, spelled(shape, head, weights))
    cls = getattr(bertkit, f"TFBert{head}")
    model, info = cls.from_pretrained(old, num_labels=shape.num_labels, output_loading_info=True)
    assert not any(info.values())
    assert all(np.array_equal(array, weights[name]) for name, array in model._arrays().items())
    assert_as_reference(model, weights)
    model.save_pretrained(tmp_path / "own")
    bertkit.convert(tmp_path / "own", new, to="google")
    reader = tf.train.load_checkpoint(str(new / "bert_model.ckpt"))
    wanted = spelled(shape, head, weights)
    assert reader.get_variable_to_shape_map().keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(reader.get_tensor(name), array)
    assert_as_reference(cls.from_pretrained(new / "bert_model.ckpt", config=model.config), weights)


@pytest.mark.parametrize(
    ("head", "version"), [("ForMaskedLM", 1), ("ForSequenceClassification", 2), ("ForTokenClassification", 1)]
)
def test_a_pretrained_checkpoint_starts_a_class(head: str, version: int, tmp_path: Path) -> None:
    """A class starts with a new head. Fine-tuned, it is converted to a TF1 checkpoint, which the PyTorch class reads."""
    shape = config("ForPreTraining")
    if version == 1:
        weights = tiny.weights(shape, "ForPreTraining")
        save_tf1(tmp_path, shape, spelled(shape, "ForPreTraining", weights))
    else:
        weights, named = google2(
            "model/layer_with_weights-0/", True, "_attention_output_dense", "model/layer_with_weights-2"
        )
        save_tf2(tmp_path, shape, named)
    more = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = getattr(bertkit, f"TFBert{head}").from_pretrained(tmp_path, num_labels=3, **more)
    started = {name: array for name, array in model._arrays().items() if name in weights}
    assert all(np.array_equal(array, weights[name]) for name, array in started.items())
    assert len(started) == sum(name in weights for name in expand(shape, head))
    assert_as_reference(model, model._arrays())
    labels = {"ForSequenceClassification": IDS[:, 0] % 3, "ForTokenClassification": IDS % 3}.get(head, IDS)
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    model.fit({"input_ids": IDS, "attention_mask": MASK, "labels": labels}, verbose=0)
    model.save_pretrained(tmp_path / "own")
    bertkit.convert(tmp_path / "own", tmp_path / "tuned", to="google")
    (tmp_path / "tuned" / "config.json").unlink()  # only Google's files
    theirs = getattr(bertkit, f"Bert{head}").from_pretrained(tmp_path / "tuned", num_labels=3)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(IDS), torch.from_numpy(MASK)).logits
    np.testing.assert_allclose(model(IDS, MASK).logits, wanted, atol=1e-5, rtol=1e-5)
