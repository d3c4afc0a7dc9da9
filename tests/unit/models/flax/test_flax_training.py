"""Training with the Flax classes as in scripts, on one device and over meshes, compared with PyTorch."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pipeline_cases
import pytest
import tiny
import torch
from conformance.keras_backend import tensorflow
from flax import jax_utils, struct
from flax.training import common_utils, train_state
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh
from pipeline_models import tokenizer

import bertkit
from bertkit.models.flax.tree import named
from bertkit.parameters import expand

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[5] / "shared" / "data"))
RECIPE = Path(__file__).parents[4] / "recipes" / "flax_train.py"
DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
NONE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
RNG = np.random.default_rng(0)
IDS = RNG.integers(5, 23, (8, 10))
MASK = (np.arange(10) < np.array([10, 4, 7, 10, 2, 9, 5, 3])[:, None]).astype(int)


@pytest.fixture(scope="module")
def recipe() -> Any:
    """recipes/flax_train.py as a module."""
    spec = importlib.util.spec_from_file_location("flax_train", RECIPE)
    assert spec and spec.loader
    module = sys.modules["flax_train"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved(path: Path, head: str, **more: Any) -> Any:
    """Save a tiny model, and load it with the Flax class."""
    config = tiny.config(**(NONE | more))
    tensors = {name: array * np.float32(0.3) for name, array in tiny.weights(config, head).items()}
    bertkit.save_checkpoint(path, tensors, config, head)
    return getattr(bertkit, f"FlaxBert{head}").from_pretrained(path)


@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForMaskedLM"])
def test_five_steps_of_adamw_give_the_losses_of_torch(tmp_path: Path, head: str) -> None:
    model = saved(tmp_path, head)
    labels = IDS[:, 0] % 3 if head == "ForSequenceClassification" else np.where((IDS % 2 == 0) & (MASK == 1), IDS, -100)
    theirs = getattr(bertkit, f"Bert{head}").from_pretrained(tmp_path).train()
    decays = {name: parameter.decays for name, parameter in expand(theirs.config, head).items()}
    groups = [
        {"params": [p for name, p in theirs.named_parameters() if decays[name] is kind], "weight_decay": 0.1 * kind}
        for kind in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    wanted = []
    for _ in range(5):
        loss = theirs(torch.from_numpy(IDS), torch.from_numpy(MASK), labels=torch.from_numpy(labels)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        wanted.append(loss.item())
    adamw = optax.adamw(1e-3, weight_decay=0.1, mask=model.decay_mask())

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        def loss_of(params: Any) -> Any:
            losses = optax.softmax_cross_entropy_with_integer_labels(
                model(IDS, MASK, params=params).logits, np.maximum(labels, 0)
            )
            return jnp.where(labels != -100, losses, 0).sum() / (labels != -100).sum()

        loss, gradients = jax.value_and_grad(loss_of)(params)
        updates, state = adamw.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    params, state, found = model.params, adamw.init(model.params), []
    for _ in range(5):
        params, state, loss = step(params, state)
        found.append(float(loss))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert wanted[-1] < wanted[0]
    trained = {name: p.detach().numpy() for name, p in theirs.named_parameters()}
    for name, array in named(params, model._paths()).items():
        if not name.endswith("key.bias"):  # its gradient is only rounding errors, and Adam normalizes them
            np.testing.assert_allclose(array, trained[name], atol=1e-4, err_msg=name)


# The calls of scripts, in their order.


class TrainState(train_state.TrainState):
    """A state with a loss function, as in the scripts."""

    loss_fn: Any = struct.field(pytree_node=False, default=None)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean over labels that are not -100, as in the scripts."""
    losses = optax.softmax_cross_entropy(logits, common_utils.onehot(labels, logits.shape[-1]))
    counts = labels >= 0
    return (losses * counts).sum() / counts.sum()


def span(logits: Any, positions: Any) -> Any:
    """The loss of starts and ends."""
    return sum(cross_entropy(one, place) for one, place in zip(logits, positions, strict=True)) / 2


FLOWS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "glue": ("ForSequenceClassification", {}, IDS[:, 1] % 3),
    "ner": ("ForTokenClassification", {}, np.where(MASK == 1, IDS % 3, -100)),
    "mlm": ("ForMaskedLM", {}, np.where((MASK == 1) & (IDS % 3 == 0), IDS, -100)),
    "qa": ("ForQuestionAnswering", {"num_labels": 2}, np.stack([MASK.sum(1) // 2, MASK.sum(1) - 1])),
}


def logits_of(outputs: Any) -> Any:
    """The logits of a class, or the start and end logits."""
    return (outputs.start_logits, outputs.end_logits) if "start_logits" in outputs else outputs.logits


def step_of(state: Any, batch: Any, dropout_rng: Any, axis: str | None = None) -> Any:
    """A training step as in the scripts: it splits the key, and with an axis averages gradients over devices."""
    dropout_rng, new_dropout_rng = jax.random.split(dropout_rng)
    inputs = dict(batch)
    targets = inputs.pop("labels")

    def loss_fn(params: Any) -> Any:
        outputs = state.apply_fn(**inputs, params=params, dropout_rng=dropout_rng, train=True)
        return state.loss_fn(logits_of(outputs), targets)

    loss, grad = jax.value_and_grad(loss_fn)(state.params)
    loss, grad = (loss, grad) if axis is None else jax.lax.pmean((loss, grad), axis)
    return state.apply_gradients(grads=grad), loss, new_dropout_rng


def in_other_frameworks(path: Path, head: str, wanted: Any, ids: np.ndarray, mask: np.ndarray) -> None:
    """Check that the PyTorch and the TensorFlow class load the files and predict the same."""
    tensorflow()
    with torch.no_grad():
        theirs = getattr(bertkit, f"Bert{head}").from_pretrained(path)(torch.from_numpy(ids), torch.from_numpy(mask))
    keras = getattr(bertkit, f"TFBert{head}").from_pretrained(path)(ids, attention_mask=mask)
    for outputs in (theirs, keras):
        pairs = (jax.tree.leaves(logits_of(some)) for some in (wanted, outputs))
        for one, other in zip(*(map(np.asarray, leaves) for leaves in pairs), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
            np.testing.assert_array_equal(np.argmax(one, -1), np.argmax(other, -1))


@pytest.mark.parametrize("flow", FLOWS)
def test_a_script_trains_and_saves_for_torch_and_tensorflow(tmp_path: Path, flow: str) -> None:
    """Train with TrainState and a compiled step, then predict in the other frameworks."""
    head, more, labels = FLOWS[flow]
    saved(tmp_path / "one", head, num_hidden_layers=1, **DROPOUT, **more)
    model = getattr(bertkit, f"FlaxAutoModel{head}").from_pretrained(tmp_path / "one", seed=0, dtype=jnp.float32)
    loss_fn = span if flow == "qa" else cross_entropy
    state = TrainState.create(apply_fn=model.__call__, params=model.params, tx=optax.adamw(1e-2), loss_fn=loss_fn)
    train_step = jax.jit(step_of, donate_argnums=(0,))
    eval_step = jax.jit(lambda params: loss_fn(logits_of(model(IDS, MASK, params=params)), labels))
    state, rng = jax.tree.map(jnp.copy, state), jax.random.PRNGKey(0)  # the step donates its memory
    before = eval_step(state.params)
    for _ in range(20):
        batch = {"input_ids": IDS, "attention_mask": MASK, "labels": labels}
        state, _, rng = train_step(state, batch, rng)
    assert eval_step(state.params) < before - 0.05
    model.save_pretrained(tmp_path / "two", params=jax.device_get(state.params))
    in_other_frameworks(tmp_path / "two", head, model(IDS, MASK, params=state.params), IDS, MASK)


def decay_mask_fn(params: Any) -> Any:
    """Which parameters have weight decay, by the rule of the scripts."""
    flat = flatten_dict(params)
    return unflatten_dict({path: path[-1] != "bias" and "layernorm" not in path[-2].lower() for path in flat})


def test_run_flax_glue_with_pmap(tmp_path: Path) -> None:
    """Data parallelism before meshes: each device has a copy of the state and a part of the batch."""
    model = saved(tmp_path / "one", "ForSequenceClassification", num_hidden_layers=1)
    assert decay_mask_fn(model.params) == model.decay_mask()
    learning_rate_fn = optax.join_schedules([optax.linear_schedule(0, 1e-2, 2), optax.linear_schedule(1e-2, 0, 8)], [2])
    tx = optax.adamw(learning_rate_fn, b1=0.9, b2=0.999, eps=1e-6, weight_decay=0.1, mask=decay_mask_fn)
    own = TrainState.create(apply_fn=model.__call__, params=model.params, tx=tx, loss_fn=cross_entropy)
    p_train_step = jax.pmap(partial(step_of, axis="batch"), axis_name="batch", donate_argnums=(0,))
    p_eval_step = jax.pmap(lambda state, batch: state.apply_fn(**batch, params=state.params, train=False)[0].argmax(-1))
    batch = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS[:, 1] % 3}
    many, keys = jax_utils.replicate(own), common_utils.shard_prng_key(jax.random.PRNGKey(0))
    one, key, step = own, jax.random.PRNGKey(0), jax.jit(step_of)
    for _ in range(3):
        many, found, keys = p_train_step(many, common_utils.shard(batch), keys)
        one, wanted, key = step(one, batch, key)
        np.testing.assert_allclose(jax_utils.unreplicate(found), wanted, atol=1e-5)
    inputs = {name: batch[name][:6] for name in ("input_ids", "attention_mask")}  # six rows on eight devices
    predictions = jax_utils.pad_shard_unpad(p_eval_step)(many, inputs, min_device_batch=1)
    np.testing.assert_array_equal(predictions, model(**inputs, params=one.params).logits.argmax(-1))
    model.save_pretrained(tmp_path / "two", params=jax.device_get(jax_utils.unreplicate(many.params)))
    read = bertkit.FlaxBertForSequenceClassification.from_pretrained(tmp_path / "two")
    np.testing.assert_array_equal(read(**inputs).logits.argmax(-1), predictions)


def tweets(count: int) -> tuple[list[list[str]], list[list[str]]]:
    """The words and entity labels of the first texts of WNUT-17."""
    path = DATA / "wnut17" / "wnut17train.conll"
    if not path.exists():
        pytest.skip(f"{path} does not exist: set BERTKIT_DATA to the folder of the data")
    blocks = re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))[:count]
    pairs = [[line.split() for line in block.splitlines() if len(line.split()) == 2] for block in blocks]
    return [[word for word, _ in block] for block in pairs], [[name for _, name in block] for block in pairs]


def test_run_flax_ner_on_tweets(tmp_path: Path) -> None:
    """Train on WNUT-17 and predict with pipelines. Only the first piece of each word has a label."""
    words, entities = tweets(64)
    names = sorted({name for row in entities for name in row})
    fast = tokenizer()
    batch = fast(
        words, is_split_into_words=True, truncation=True, max_length=32, padding="max_length", return_tensors="np"
    )
    labels = np.full(batch["input_ids"].shape, -100)
    for row, own in enumerate(entities):
        for place, word in enumerate(places := batch.word_ids(row)):
            if word is not None and word != places[place - 1]:
                labels[row, place] = names.index(own[word])
    config = bertkit.BertConfig(
        vocab_size=len(fast), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)},
    )  # fmt: skip
    model = bertkit.FlaxAutoModelForTokenClassification.from_config(config, seed=0)
    state = TrainState.create(apply_fn=model.__call__, params=model.params, tx=optax.adamw(1e-2), loss_fn=cross_entropy)
    train_step, rng, losses = jax.jit(step_of), jax.random.PRNGKey(0), []
    for step in range(24):
        rows = np.arange(16) + step % 4 * 16
        inputs = {name: batch[name][rows] for name in ("input_ids", "attention_mask")}
        state, loss, rng = train_step(state, {**inputs, "labels": labels[rows]}, rng)
        losses.append(float(loss))
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) / 2
    model.save_pretrained(tmp_path, params=jax.device_get(state.params))
    fast.save_pretrained(tmp_path)
    outputs = model(**inputs, params=state.params)
    in_other_frameworks(tmp_path, "ForTokenClassification", outputs, *inputs.values())
    texts = [" ".join(row) for row in words[:4]]
    found, wanted = (
        bertkit.pipeline("ner", tmp_path, framework=name, ignore_labels=[])(texts) for name in ("flax", "pt")
    )
    for one, other in zip(chain(*found), chain(*wanted), strict=True):
        assert {**one, "score": 0} == {**other, "score": 0} and abs(one["score"] - other["score"]) < 1e-5


# Meshes.


@pytest.mark.parametrize(("head", "packs"), [("ForSequenceClassification", False), ("ForMaskedLM", True)])
def test_a_step_on_eight_devices_gives_the_numbers_of_one(tmp_path: Path, recipe: Any, head: str, packs: bool) -> None:
    """Four groups of two devices: the groups split the batch, and two devices split each matrix. With dropout."""
    assert jax.device_count() == 8
    model = saved(tmp_path, head, num_hidden_layers=1, **DROPOUT)
    if packs:
        rows = recipe.packed_rows([list(ids[: mask.sum()]) for ids, mask in zip(IDS, MASK, strict=True)] * 2, 10)
        kept = {name: array[:8] for name, array in rows.items()}
        batch = {**kept, "labels": np.where(kept["input_ids"] % 3 == 0, kept["input_ids"], -100)}
        assert (kept["segment_ids"] == 0).mean() < 0.2 < (MASK == 0).mean()
    else:
        batch = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS[:, 1] % 3}
    found = []
    for mesh in (recipe.make_mesh(2), Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))):
        params = jax.tree.map(jnp.copy, model.params)  # the step donates their memory
        state = recipe.start(model, params, 10, 1e-3, mesh)
        for _ in range(2):
            state, loss = recipe.train_step(state, recipe.batch_on_mesh(batch, mesh), jax.random.PRNGKey(0))
        found.append((state.params, loss))
    kernel = found[0][0]["bert"]["encoder"]["layer"]["0"]["attention"]["self"]["query"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (8, 4) and len(kernel.sharding.device_set) == 8
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-5)
    many, one = (named(jax.device_get(params), model._paths()) for params, _ in found)
    for name, array in many.items():
        if not name.endswith("key.bias"):  # its gradient is only rounding errors, and Adam normalizes them
            np.testing.assert_allclose(array, one[name], atol=1e-5, err_msg=name)


def test_packed_rows(recipe: Any) -> None:
    rows = recipe.packed_rows([[1, 2, 3], [4, 5, 6, 7], [8], [9, 9, 9, 9, 9, 9, 9]], 5)
    assert rows["input_ids"].tolist() == [[1, 2, 3, 8, 0], [4, 5, 6, 7, 0], [9, 9, 9, 9, 9]]
    assert rows["segment_ids"].tolist() == [[1, 1, 1, 2, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def one_layer(path: Path) -> Path:
    """Save a tiny model with one layer, and its tokenizer."""
    config = pipeline_cases.config("masked")
    config.num_hidden_layers = 1
    weights = {name: array for name, array in pipeline_cases.weights("masked").items() if ".layer.1." not in name}
    bertkit.save_checkpoint(path, weights, config, "ForMaskedLM")
    tokenizer().save_pretrained(path)
    return path


def test_the_recipe_from_files_to_files(tmp_path: Path, recipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(one_layer(tmp_path / "model"))
    lines = [
        "sentence\tlabel",
        *(f"{'What a wonderful evening' if i % 2 else 'The soup was cold'}\t{i % 2}" for i in range(16)),
    ]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    (tmp_path / "texts.txt").write_text("\n".join(line.partition("\t")[0] for line in lines))
    shape = ["--rows", "8", "--length", "16", "--rate", "5e-3", "--model-axis", "2"]
    files = [str(tmp_path / "train.tsv")] * 2
    recipe.main(["classify", *files, "--model", model, "--out", str(tmp_path / "out"), "--epochs", "6", *shape])
    assert "correct: 16 of 16" in capsys.readouterr().out
    answer = bertkit.pipeline("text-classification", tmp_path / "out")("What a wonderful evening")
    assert answer[0]["label"] == "LABEL_1"
    recipe.main(
        ["pretrain", str(tmp_path / "texts.txt"), "--model", model, "--out", str(tmp_path / "more"),
         "--epochs", "2", "--rows", "4", "--length", "32", "--model-axis", "2"]
    )  # fmt: skip
    first, second = (float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines())
    assert second < first + 1
    assert (tmp_path / "more" / "model.safetensors").exists()
