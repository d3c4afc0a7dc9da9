"""Training with the Flax classes as scripts do it, on one device and over meshes, beside PyTorch and itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
import torch
from flax import jax_utils, struct
from flax.training import common_utils, train_state
from jax.sharding import Mesh
from pipeline_models import folder

import bertkit
from bertkit.models.flax.tree import named

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
    """Files of a tiny model, and the Flax class that reads them."""
    config = tiny.config(**(NONE | more))
    tensors = {name: array * np.float32(0.3) for name, array in tiny.weights(config, head).items()}
    bertkit.save_checkpoint(path, tensors, config, head)
    return getattr(bertkit, f"FlaxBert{head}").from_pretrained(path)


@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForMaskedLM"])
def test_five_steps_of_adamw_are_those_of_torch(tmp_path: Path, head: str) -> None:
    model = saved(tmp_path, head)
    labels = IDS[:, 0] % 3 if head == "ForSequenceClassification" else np.where((IDS % 2 == 0) & (MASK == 1), IDS, -100)
    theirs = getattr(bertkit, f"Bert{head}").from_pretrained(tmp_path).train()
    decays = {name: parameter.decays for name, parameter in theirs._table().items()}
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
        if not name.endswith("key.bias"):  # whose gradient is rounding alone, of which Adam makes whole steps
            np.testing.assert_allclose(array, trained[name], atol=1e-4, err_msg=name)


# Scripts: their calls, in their order.


class TrainState(train_state.TrainState):
    """With what the scripts keep in it."""

    loss_fn: Any = struct.field(pytree_node=False, default=None)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean over labels that are not -100, as the scripts compute it."""
    losses = optax.softmax_cross_entropy(logits, common_utils.onehot(labels, logits.shape[-1]))
    counts = labels >= 0
    return (losses * counts).sum() / counts.sum()


def span(logits: Any, positions: Any) -> Any:
    """The same of starts and ends."""
    return sum(cross_entropy(one, place) for one, place in zip(logits, positions, strict=True)) / 2


FLOWS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "glue": ("ForSequenceClassification", {}, IDS[:, 1] % 3),
    "ner": ("ForTokenClassification", {}, np.where(MASK == 1, IDS % 3, -100)),
    "mlm": ("ForMaskedLM", {}, np.where((MASK == 1) & (IDS % 3 == 0), IDS, -100)),
    "qa": ("ForQuestionAnswering", {"num_labels": 2}, np.stack([MASK.sum(1) // 2, MASK.sum(1) - 1])),
}


@pytest.mark.parametrize("flow", FLOWS)
def test_a_script_trains_saves_and_is_read_by_torch(tmp_path: Path, flow: str) -> None:
    """TrainState, a jitted step, a key that is split at every step; then the same predictions in PyTorch."""
    head, more, labels = FLOWS[flow]
    model = saved(tmp_path / "one", head, num_hidden_layers=1, **DROPOUT, **more)
    loss_fn = span if flow == "qa" else cross_entropy
    state = TrainState.create(apply_fn=model.__call__, params=model.params, tx=optax.adamw(1e-2), loss_fn=loss_fn)

    @jax.jit
    def train_step(state: Any, batch: Any, dropout_rng: Any) -> Any:
        dropout_rng, new_dropout_rng = jax.random.split(dropout_rng)
        targets = batch.pop("labels")

        def loss_fn(params: Any) -> Any:
            outputs = state.apply_fn(**batch, params=params, dropout_rng=dropout_rng, train=True)
            logits = (outputs.start_logits, outputs.end_logits) if flow == "qa" else outputs[0]
            return state.loss_fn(logits, targets)

        loss, grad = jax.value_and_grad(loss_fn)(state.params)
        return state.apply_gradients(grads=grad), loss, new_dropout_rng

    def without_dropout(params: Any) -> float:
        outputs = model(IDS, MASK, params=params)
        logits = (outputs.start_logits, outputs.end_logits) if flow == "qa" else outputs[0]
        return float(loss_fn(logits, labels))

    rng, before = jax.random.PRNGKey(0), without_dropout(state.params)
    for _ in range(30):
        batch = {"input_ids": IDS, "attention_mask": MASK, "labels": labels}
        state, _, rng = train_step(state, batch, rng)
    assert without_dropout(state.params) < before - 0.05
    model.params = state.params
    model.save_pretrained(tmp_path / "two", params=jax.device_get(state.params))
    theirs = getattr(bertkit, f"Bert{head}").from_pretrained(tmp_path / "two")
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(IDS), torch.from_numpy(MASK))[0].numpy()
    found = np.asarray(model(IDS, MASK)[0])
    real = MASK.astype(bool) if flow != "glue" else np.ones(len(IDS), bool)
    np.testing.assert_allclose(found[real], wanted[real], atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(
        found.argmax(-1)[real[: len(found)]] if flow != "qa" else 0, wanted.argmax(-1)[real] if flow != "qa" else 0
    )


def test_pmap_with_shard_and_replicate(tmp_path: Path) -> None:
    """The way before meshes: a copy of the state on each device, a part of the batch for each, the mean of gradients."""
    model = saved(tmp_path, "ForSequenceClassification", num_hidden_layers=1)
    labels = IDS[:, 1] % 3
    state = train_state.TrainState.create(apply_fn=model.__call__, params=model.params, tx=optax.sgd(0.1))

    def gradients(state: Any, batch: Any) -> Any:
        def loss_fn(params: Any) -> Any:
            return cross_entropy(
                state.apply_fn(batch["ids"], batch["mask"], params=params, train=True).logits, batch["y"]
            )

        return jax.grad(loss_fn)(state.params)

    def step(state: Any, batch: Any) -> Any:
        return state.apply_gradients(grads=jax.lax.pmean(gradients(state, batch), "batch"))

    batch = {"ids": IDS, "mask": MASK, "y": labels}
    many = jax.pmap(step, axis_name="batch")(jax_utils.replicate(state), common_utils.shard(batch))
    one = jax.jit(lambda state, batch: state.apply_gradients(grads=gradients(state, batch)))(state, batch)
    for found, wanted in zip(
        jax.tree.leaves(jax_utils.unreplicate(many).params), jax.tree.leaves(one.params), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


# Meshes.


@pytest.mark.parametrize(("head", "packs"), [("ForSequenceClassification", False), ("ForMaskedLM", True)])
def test_a_step_on_eight_devices_is_that_on_one(tmp_path: Path, recipe: Any, head: str, packs: bool) -> None:
    """Four share the batch and two each matrix, dropout included."""
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
        params = jax.tree.map(jnp.copy, model.params)  # the step takes their memory
        state = recipe.start(model, params, 10, 1e-3, mesh)
        for _ in range(2):
            state, loss = recipe.train_step(state, recipe.batch_on_mesh(batch, mesh), jax.random.PRNGKey(0))
        found.append((state.params, loss))
    kernel = found[0][0]["bert"]["encoder"]["layer"]["0"]["attention"]["self"]["query"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (8, 4) and len(kernel.sharding.device_set) == 8
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-5)
    many, one = (named(jax.device_get(params), model._paths()) for params, _ in found)
    for name, array in many.items():
        if not name.endswith("key.bias"):  # whose gradient is rounding alone, of which Adam makes whole steps
            np.testing.assert_allclose(array, one[name], atol=1e-5, err_msg=name)


def test_packed_rows(recipe: Any) -> None:
    rows = recipe.packed_rows([[1, 2, 3], [4, 5, 6, 7], [8], [9, 9, 9, 9, 9, 9, 9]], 5)
    assert rows["input_ids"].tolist() == [[1, 2, 3, 8, 0], [4, 5, 6, 7, 0], [9, 9, 9, 9, 9]]
    assert rows["segment_ids"].tolist() == [[1, 1, 1, 2, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_the_recipe_from_files_to_files(tmp_path: Path, recipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        "sentence\tlabel",
        *(f"{'What a wonderful evening' if i % 2 else 'The soup was cold'}\t{i % 2}" for i in range(16)),
    ]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    (tmp_path / "texts.txt").write_text("\n".join(line.partition("\t")[0] for line in lines))
    shape = ["--rows", "8", "--length", "16", "--rate", "5e-3", "--model-axis", "2"]
    files = [str(tmp_path / "train.tsv")] * 2
    recipe.main(
        ["classify", *files, "--model", str(folder("masked")), "--out", str(tmp_path / "out"), "--epochs", "6", *shape]
    )
    assert "right: 16 of 16" in capsys.readouterr().out
    answer = bertkit.pipeline("text-classification", tmp_path / "out")("What a wonderful evening")
    assert answer[0]["label"] == "LABEL_1"
    recipe.main(
        ["pretrain", str(tmp_path / "texts.txt"), "--model", str(folder("masked")), "--out", str(tmp_path / "more"),
         "--epochs", "2", "--rows", "4", "--length", "32", "--model-axis", "2"]
    )  # fmt: skip
    first, second = (float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines())
    assert second < first + 1
    assert (tmp_path / "more" / "model.safetensors").exists()
