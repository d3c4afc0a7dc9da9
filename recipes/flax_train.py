"""Train BERT in JAX over a mesh of devices: some of them split the batch, some split the matrices.

    python recipes/flax_train.py classify SST-2/train.tsv SST-2/dev.tsv --model google-bert/bert-base-uncased --out sst2
    python recipes/flax_train.py pretrain texts.txt --model google-bert/bert-base-uncased --out more

`classify` fine-tunes on lines of text TAB label, after a line of names. `pretrain` predicts masked words, with several texts in a
row: `segment_ids` keep them apart, and nearly no padding is computed. Both save what every class of bertkit reads.

Try meshes on a processor: XLA_FLAGS=--xla_force_host_platform_device_count=8 python recipes/flax_train.py ... --model-axis 2
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import bertkit

Arrays = dict[str, np.ndarray]

# Which device has what.


def make_mesh(model_axis: int = 1) -> Mesh:
    """All devices: `model_axis` of them share each matrix, and the groups of these share the batch."""
    return jax.make_mesh(
        (jax.device_count() // model_axis, model_axis), ("data", "model"), axis_types=(AxisType.Auto,) * 2
    )


def split(path: tuple[str, ...]) -> PartitionSpec:
    """How a parameter lies on a mesh: of each half of a layer the first matrix by columns, the second by rows; all else whole."""
    *_, module, leaf = path
    if module in ("query", "key", "value") or path[-3] == "intermediate":
        return PartitionSpec(None, "model") if leaf == "kernel" else PartitionSpec("model")
    if module == "dense" and path[-3] == "output" and leaf == "kernel":
        return PartitionSpec("model", None)
    return PartitionSpec()


def on_mesh(tree: Any, mesh: Mesh) -> Any:
    """Parameters, or what an optimizer keeps of them, on their devices."""

    def put(path: Any, leaf: Any) -> Any:
        names = tuple(str(getattr(key, "key", "")) for key in path)
        return jax.device_put(leaf, NamedSharding(mesh, split(("", "", *names)) if jnp.ndim(leaf) else PartitionSpec()))

    return jax.tree_util.tree_map_with_path(put, tree)


def batch_on_mesh(batch: Arrays, mesh: Mesh) -> dict[str, jax.Array]:
    """Rows, shared by the data axis, whose size their number is a multiple of."""
    return {name: jax.device_put(array, NamedSharding(mesh, PartitionSpec("data"))) for name, array in batch.items()}


# A step.


def read(cls: Any, given: argparse.Namespace, **fields: Any) -> tuple[Any, Any]:
    """A model that keeps no parameters, and these: the steps give their memory away. What the files lack is drawn."""
    model, params = cls.from_pretrained(given.model, dtype=given.dtype, _do_init=False, **fields)
    return model, model.init_weights(jax.random.PRNGKey(given.seed), params=params)


def start(model: Any, params: Any, steps: int, rate: float, mesh: Mesh) -> TrainState:
    """Parameters and an optimizer: AdamW with decay for matrices alone, warm-up for a tenth of the steps."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, max(1, steps // 10), steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01, mask=model.decay_mask())
    )
    params = on_mesh(params, mesh)
    kept = jax.jit(optimizer.init)(params)  # in one piece, beside the parameters
    return TrainState(step=0, apply_fn=model.__call__, params=params, tx=optimizer, opt_state=kept)


def mean_over(losses: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean of those that have a label: -100 is none."""
    counts = labels != -100
    return jnp.where(counts, losses, 0).sum() / jnp.maximum(counts.sum(), 1)


@partial(jax.jit, donate_argnums=0)
def train_step(state: TrainState, batch: dict[str, jax.Array], rng: jax.Array) -> tuple[TrainState, jax.Array]:
    """One step, and its loss. The key is that of the run: each step folds its own number in."""
    labels, inputs = batch["labels"], {name: array for name, array in batch.items() if name != "labels"}

    def loss_of(params: Any) -> jax.Array:
        dropout_rng = jax.random.fold_in(rng, state.step)
        logits = state.apply_fn(**inputs, params=params, dropout_rng=dropout_rng, train=True).logits
        losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), jnp.maximum(labels, 0))
        return mean_over(losses, labels)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), loss


# Batches.


def read_pairs(path: Path) -> tuple[list[str], list[int]]:
    """Lines of text TAB label, after a line of names."""
    lines = [line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return [text for text, _ in lines], [int(label) for _, label in lines]


def classified(tokenizer: Any, texts: Sequence[str], labels: Sequence[int], rows: int, length: int) -> Iterator[Arrays]:
    """Batches of one shape, as XLA likes them. The last, smaller one is filled up with rows that have no label."""
    for begin in range(0, len(texts), rows):
        some, own = list(texts[begin : begin + rows]), np.array(labels[begin : begin + rows])
        encoded = tokenizer(
            some + [""] * (rows - len(some)),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="np",
        )
        yield {**encoded, "labels": np.pad(own, (0, rows - len(own)), constant_values=-100)}


def packed_rows(sequences: Sequence[Sequence[int]], length: int) -> Arrays:
    """Sequences in rows of `length`, each in the first that has room: input_ids and segment_ids, 0 at padding."""
    rows: list[list[Sequence[int]]] = []
    for sequence in sequences:
        own = sequence[:length]
        row = next((row for row in rows if sum(map(len, row)) + len(own) <= length), None)
        if row is None:
            rows.append(row := [])
        row.append(own)
    ids, segments = np.zeros((2, len(rows), length), np.int32)
    for number, row in enumerate(rows):
        flat = np.concatenate([np.asarray(sequence) for sequence in row])
        ids[number, : len(flat)] = flat
        segments[number, : len(flat)] = np.repeat(np.arange(1, len(row) + 1), [len(sequence) for sequence in row])
    return {"input_ids": ids, "segment_ids": segments}


def masked(batch: Arrays, tokenizer: Any, rng: np.random.Generator, chance: float = 0.15) -> Arrays:
    """A part of the words hidden: of these 80 % become [MASK], 10 % another word, 10 % stay. The others have no label."""
    ids = batch["input_ids"]
    chosen = (rng.random(ids.shape) < chance) & ~np.isin(ids, tokenizer.all_special_ids) & (batch["segment_ids"] > 0)
    what = rng.random(ids.shape)
    hidden = np.where(chosen & (what < 0.8), tokenizer.mask_token_id, ids)
    hidden = np.where(chosen & (what >= 0.9), rng.integers(0, len(tokenizer), ids.shape), hidden)
    return {**batch, "input_ids": hidden.astype(np.int32), "labels": np.where(chosen, ids, -100).astype(np.int32)}


# The two jobs.


def classify(given: argparse.Namespace, mesh: Mesh) -> None:
    """Fine-tune, and say how many are right."""
    texts, labels = read_pairs(given.train)
    tokenizer = bertkit.AutoTokenizer.from_pretrained(given.model)
    model, params = read(bertkit.FlaxBertForSequenceClassification, given, num_labels=max(labels) + 1)
    state = start(model, params, given.epochs * -(-len(texts) // given.rows), given.rate, mesh)
    order = np.random.default_rng(given.seed)
    for epoch in range(given.epochs):
        shuffled = order.permutation(len(texts))
        own = [texts[i] for i in shuffled], [labels[i] for i in shuffled]
        for batch in classified(tokenizer, *own, given.rows, given.length):
            state, loss = train_step(state, batch_on_mesh(batch, mesh), jax.random.PRNGKey(given.seed))
        print(f"epoch {epoch + 1}: loss {loss:.4f}")
    texts, labels = read_pairs(given.dev)
    answer = jax.jit(lambda params, batch: model(**batch, params=params).logits.argmax(-1))
    right = 0
    for batch in classified(tokenizer, texts, labels, given.rows, given.length):
        wanted = batch.pop("labels")
        right += int((np.asarray(answer(state.params, batch_on_mesh(batch, mesh))) == wanted).sum())
    print(f"right: {right} of {len(texts)}")
    save(model, state, tokenizer, given.out)


def pretrain(given: argparse.Namespace, mesh: Mesh) -> None:
    """Go on with pretraining on texts, one a line."""
    texts = [line for line in given.train.read_text(encoding="utf-8").splitlines() if line.strip()]
    tokenizer = bertkit.AutoTokenizer.from_pretrained(given.model)
    model, params = read(bertkit.FlaxBertForMaskedLM, given)
    ids = tokenizer(texts, truncation=True, max_length=given.length)["input_ids"]
    rows = packed_rows(ids, given.length)
    count = len(rows["input_ids"]) // given.rows
    state, rng = start(model, params, given.epochs * count, given.rate, mesh), np.random.default_rng(given.seed)
    for epoch in range(given.epochs):
        hidden = masked(rows, tokenizer, rng)
        for step in range(count):
            batch = {name: array[step * given.rows : (step + 1) * given.rows] for name, array in hidden.items()}
            state, loss = train_step(state, batch_on_mesh(batch, mesh), jax.random.PRNGKey(given.seed))
        print(f"epoch {epoch + 1}: loss {loss:.4f}")
    save(model, state, tokenizer, given.out)


def save(model: Any, state: TrainState, tokenizer: Any, folder: Path) -> None:
    """What the classes of all frameworks read."""
    model.save_pretrained(folder, params=jax.device_get(state.params), safe_serialization=True)
    tokenizer.save_pretrained(folder)


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    jobs = parser.add_subparsers(dest="job", required=True)
    for name in ("classify", "pretrain"):
        job = jobs.add_parser(name)
        job.add_argument("train", type=Path)
        if name == "classify":
            job.add_argument("dev", type=Path)
        job.add_argument("--model", required=True)
        job.add_argument("--out", type=Path, required=True)
        job.add_argument("--epochs", type=int, default=3)
        job.add_argument("--rows", type=int, default=32)
        job.add_argument("--length", type=int, default=128)
        job.add_argument("--rate", type=float, default=3e-5)
        job.add_argument("--seed", type=int, default=0)
        job.add_argument("--dtype", default="float32", help="of the computation: bfloat16 on TPUs and recent GPUs")
        job.add_argument("--model-axis", type=int, default=1, help="devices that share a matrix")
    given = parser.parse_args(words)
    {"classify": classify, "pretrain": pretrain}[given.job](given, make_mesh(given.model_axis))


if __name__ == "__main__":
    main()
