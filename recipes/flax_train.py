"""Train BERT in JAX over a mesh of devices, which splits the batch and the matrices.

    python recipes/flax_train.py classify SST-2/train.tsv SST-2/dev.tsv --model google-bert/bert-base-uncased --out sst2
    python recipes/flax_train.py pretrain texts.txt --model google-bert/bert-base-uncased --out more

`classify` fine-tunes on lines of text TAB label, after a header line. `pretrain` trains on masked words. It packs several texts
into each row, with `segment_ids`, so that there is little padding. Both save files that the classes of all frameworks read.

To try meshes on a CPU: XLA_FLAGS=--xla_force_host_platform_device_count=8 python recipes/flax_train.py ... --model-axis 2
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

# Placement on devices.


def make_mesh(model_axis: int = 1) -> Mesh:
    """A mesh of all devices: groups of `model_axis` devices split each matrix, and the groups split the batch."""
    return jax.make_mesh(
        (jax.device_count() // model_axis, model_axis), ("data", "model"), axis_types=(AxisType.Auto,) * 2
    )


def split(path: tuple[str, ...]) -> PartitionSpec:
    """The split of a parameter: the first matrix of each half of a layer by columns, the second by rows, others not at all."""
    *_, module, leaf = path
    if module in ("query", "key", "value") or path[-3] == "intermediate":
        return PartitionSpec(None, "model") if leaf == "kernel" else PartitionSpec("model")
    if module == "dense" and path[-3] == "output" and leaf == "kernel":
        return PartitionSpec("model", None)
    return PartitionSpec()


def on_mesh(tree: Any, mesh: Mesh) -> Any:
    """Put parameters, or the state of an optimizer, on the devices of a mesh."""

    def put(path: Any, leaf: Any) -> Any:
        names = tuple(str(getattr(key, "key", "")) for key in path)
        return jax.device_put(leaf, NamedSharding(mesh, split(("", "", *names)) if jnp.ndim(leaf) else PartitionSpec()))

    return jax.tree_util.tree_map_with_path(put, tree)


def batch_on_mesh(batch: Arrays, mesh: Mesh) -> dict[str, jax.Array]:
    """Split the rows of a batch over the data axis. The number of rows must be a multiple of its size."""
    return {name: jax.device_put(array, NamedSharding(mesh, PartitionSpec("data"))) for name, array in batch.items()}


# Training steps.


def read(cls: Any, args: argparse.Namespace, **fields: Any) -> tuple[Any, Any]:
    """A model without parameters, and the parameters, since each step donates their memory. Missing ones are random."""
    model, params = cls.from_pretrained(args.model, dtype=args.dtype, _do_init=False, **fields)
    return model, model.init_weights(jax.random.PRNGKey(args.seed), params=params)


def start(model: Any, params: Any, steps: int, rate: float, mesh: Mesh) -> TrainState:
    """The first state: AdamW with weight decay for matrices only, and warm-up for a tenth of the steps."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, max(1, steps // 10), steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01, mask=model.decay_mask())
    )
    params = on_mesh(params, mesh)
    opt_state = jax.jit(optimizer.init)(params)  # on the devices of the parameters
    return TrainState(step=0, apply_fn=model.__call__, params=params, tx=optimizer, opt_state=opt_state)


def mean_over(losses: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean of the losses whose label is not -100."""
    counts = labels != -100
    return jnp.where(counts, losses, 0).sum() / jnp.maximum(counts.sum(), 1)


@partial(jax.jit, donate_argnums=0)
def train_step(state: TrainState, batch: dict[str, jax.Array], rng: jax.Array) -> tuple[TrainState, jax.Array]:
    """One training step, and its loss. rng: the key of the run. Each step derives its key from it."""
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
    """The texts and labels of a file with lines of text TAB label, after a header line."""
    lines = [line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return [text for text, _ in lines], [int(label) for _, label in lines]


def classified(tokenizer: Any, texts: Sequence[str], labels: Sequence[int], rows: int, length: int) -> Iterator[Arrays]:
    """Batches of one shape, so that XLA compiles once. Empty rows without a label fill up the last batch."""
    for begin in range(0, len(texts), rows):
        some, some_labels = list(texts[begin : begin + rows]), np.array(labels[begin : begin + rows])
        encoded = tokenizer(
            some + [""] * (rows - len(some)),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="np",
        )
        yield {**encoded, "labels": np.pad(some_labels, (0, rows - len(some_labels)), constant_values=-100)}


def packed_rows(sequences: Sequence[Sequence[int]], length: int) -> Arrays:
    """Pack sequences into rows of `length`, each into the first row where it fits: input_ids and segment_ids, 0 at padding."""
    rows: list[list[Sequence[int]]] = []
    for sequence in sequences:
        piece = sequence[:length]
        row = next((row for row in rows if sum(map(len, row)) + len(piece) <= length), None)
        if row is None:
            rows.append(row := [])
        row.append(piece)
    ids, segments = np.zeros((2, len(rows), length), np.int32)
    for number, row in enumerate(rows):
        flat = np.concatenate([np.asarray(sequence) for sequence in row])
        ids[number, : len(flat)] = flat
        segments[number, : len(flat)] = np.repeat(np.arange(1, len(row) + 1), [len(sequence) for sequence in row])
    return {"input_ids": ids, "segment_ids": segments}


def masked(batch: Arrays, tokenizer: Any, rng: np.random.Generator, chance: float = 0.15) -> Arrays:
    """Select a share of the words: 80 % of them become [MASK], 10 % a random word, 10 % stay. The label of others is -100."""
    ids = batch["input_ids"]
    chosen = (rng.random(ids.shape) < chance) & ~np.isin(ids, tokenizer.all_special_ids) & (batch["segment_ids"] > 0)
    draw = rng.random(ids.shape)
    hidden = np.where(chosen & (draw < 0.8), tokenizer.mask_token_id, ids)
    hidden = np.where(chosen & (draw >= 0.9), rng.integers(0, len(tokenizer), ids.shape), hidden)
    return {**batch, "input_ids": hidden.astype(np.int32), "labels": np.where(chosen, ids, -100).astype(np.int32)}


# The two commands.


def classify(args: argparse.Namespace, mesh: Mesh) -> None:
    """Fine-tune, and print the number of correct answers."""
    texts, labels = read_pairs(args.train)
    tokenizer = bertkit.AutoTokenizer.from_pretrained(args.model)
    model, params = read(bertkit.FlaxBertForSequenceClassification, args, num_labels=max(labels) + 1)
    state = start(model, params, args.epochs * -(-len(texts) // args.rows), args.rate, mesh)
    order = np.random.default_rng(args.seed)
    for epoch in range(args.epochs):
        shuffled = order.permutation(len(texts))
        pairs = [texts[i] for i in shuffled], [labels[i] for i in shuffled]
        for batch in classified(tokenizer, *pairs, args.rows, args.length):
            state, loss = train_step(state, batch_on_mesh(batch, mesh), jax.random.PRNGKey(args.seed))
        print(f"epoch {epoch + 1}: loss {loss:.4f}")
    texts, labels = read_pairs(args.dev)
    answer = jax.jit(lambda params, batch: model(**batch, params=params).logits.argmax(-1))
    correct = 0
    for batch in classified(tokenizer, texts, labels, args.rows, args.length):
        wanted = batch.pop("labels")
        correct += int((np.asarray(answer(state.params, batch_on_mesh(batch, mesh))) == wanted).sum())
    print(f"correct: {correct} of {len(texts)}")
    save(model, state, tokenizer, args.out)


def pretrain(args: argparse.Namespace, mesh: Mesh) -> None:
    """Continue pretraining on texts, one per line."""
    texts = [line for line in args.train.read_text(encoding="utf-8").splitlines() if line.strip()]
    tokenizer = bertkit.AutoTokenizer.from_pretrained(args.model)
    model, params = read(bertkit.FlaxBertForMaskedLM, args)
    ids = tokenizer(texts, truncation=True, max_length=args.length)["input_ids"]
    rows = packed_rows(ids, args.length)
    count = len(rows["input_ids"]) // args.rows
    state, rng = start(model, params, args.epochs * count, args.rate, mesh), np.random.default_rng(args.seed)
    for epoch in range(args.epochs):
        hidden = masked(rows, tokenizer, rng)
        for step in range(count):
            batch = {name: array[step * args.rows : (step + 1) * args.rows] for name, array in hidden.items()}
            state, loss = train_step(state, batch_on_mesh(batch, mesh), jax.random.PRNGKey(args.seed))
        print(f"epoch {epoch + 1}: loss {loss:.4f}")
    save(model, state, tokenizer, args.out)


def save(model: Any, state: TrainState, tokenizer: Any, folder: Path) -> None:
    """Save files that the classes of all frameworks read."""
    model.save_pretrained(folder, params=jax.device_get(state.params), safe_serialization=True)
    tokenizer.save_pretrained(folder)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, and run a command."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("classify", "pretrain"):
        command = commands.add_parser(name)
        command.add_argument("train", type=Path)
        if name == "classify":
            command.add_argument("dev", type=Path)
        command.add_argument("--model", required=True)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--epochs", type=int, default=3)
        command.add_argument("--rows", type=int, default=32)
        command.add_argument("--length", type=int, default=128)
        command.add_argument("--rate", type=float, default=3e-5)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument(
            "--dtype", default="float32", help="type of the computation: bfloat16 on TPUs and recent GPUs"
        )
        command.add_argument("--model-axis", type=int, default=1, help="number of devices that split each matrix")
    args = parser.parse_args(argv)
    {"classify": classify, "pretrain": pretrain}[args.command](args, make_mesh(args.model_axis))


if __name__ == "__main__":
    main()
