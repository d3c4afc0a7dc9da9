"""Compare the speed of the TensorFlow and Flax classes with other libraries, in tokens a second.

    python benchmarks/frameworks.py [--only inference training] [--layers 2] [--rows 8] [--length 128] [--rounds 5]
                                    [--transformers4 FOLDER] [--keras-hub FOLDER] [--json FILE]

The model is a classifier with two labels and BERT-base's width, random weights, float32 and the default dropout. Every second row
is half padding, which counts as tokens. Inference is one call of a compiled graph, training one step of Adam. Each
implementation has a separate process. They take turns, one at a time, in alternating order. A speed is the median of the rounds.
A ratio is the time of the first implementation divided by that of another, the median of the rounds: for wall time, and for
CPU time, which is more reliable if other programs are running.

Libraries that cannot be installed beside bertkit are installed in a folder, which is put before the environment:

    pip install --target FOLDER --no-deps "transformers==4.57.6" "tf-keras==2.21.0" "tokenizers<0.23" "huggingface-hub<1"
    pip install --target FOLDER --no-deps keras-hub
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, as its tokenizers.py hides the package tokenizers

import numpy as np

Runs = dict[str, Callable[[], Any]]
"""{"inference": runs one forward, "training": runs one step}. Each returns when the computation is done."""


@dataclass(frozen=True)
class Task:
    """The sizes of the model and the batch."""

    layers: int
    rows: int
    length: int

    @property
    def sizes(self) -> dict[str, int]:
        """Fields of a configuration."""
        return {"num_hidden_layers": self.layers, "num_labels": 2}

    def batch(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Inputs [rows, length] and labels [rows]."""
        rng = np.random.default_rng(0)
        lengths = np.where(np.arange(self.rows) % 2, self.length // 2, self.length)
        mask = np.arange(self.length) < lengths[:, None]
        ids = np.where(mask, rng.integers(1000, 30000, mask.shape), 0)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return {name: array.astype(np.int32) for name, array in inputs.items()}, rng.integers(0, 2, self.rows)


@dataclass(frozen=True)
class Implementation:
    """make: returns the runs of a task. folder: the option with the folder of its packages; None: they are installed."""

    framework: str
    make: Callable[[Task], Runs]
    folder: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------------------------ TensorFlow


def tf_ours(task: Task, xla: bool = False) -> Runs:
    """The bertkit class, without XLA by default."""
    import keras

    import bertkit

    model = bertkit.TFBertForSequenceClassification(bertkit.BertConfig(**task.sizes))
    model.compile(keras.optimizers.Adam(1e-5), jit_compile=xla)
    return _of_keras(model, lambda outputs: outputs.logits, *task.batch(), xla)


def tf_transformers(task: Task) -> Runs:
    """The class of transformers 4.57.6."""
    import tf_keras
    import transformers

    model = transformers.TFBertForSequenceClassification(transformers.BertConfig(**task.sizes))
    model.compile(tf_keras.optimizers.Adam(1e-5))
    return _of_keras(model, lambda outputs: outputs.logits, *task.batch(), xla=False)


def tf_keras_hub(task: Task, xla: bool = True) -> Runs:
    """The classifier of keras-hub, with XLA by default."""
    import keras
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=30522, num_layers=task.layers, num_heads=12, hidden_dim=768, intermediate_dim=3072
    )
    model = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-5), loss=loss, jit_compile=xla)
    inputs, labels = task.batch()
    names = {"input_ids": "token_ids", "attention_mask": "padding_mask", "token_type_ids": "segment_ids"}
    return _of_keras(model, lambda outputs: outputs, {names[name]: x for name, x in inputs.items()}, labels, xla)


def _of_keras(model: Any, logits: Callable[[Any], Any], inputs: Any, labels: Any, xla: bool) -> Runs:
    import tensorflow as tf

    given = {name: tf.constant(array) for name, array in inputs.items()}
    forward = tf.function(lambda x: logits(model(x, training=False)), jit_compile=xla)
    with_labels = {**given, "labels": tf.constant(labels)} if "input_ids" in given else given
    separate = None if "input_ids" in given else labels
    return {
        "inference": lambda: forward(given).numpy(),
        "training": lambda: model.train_on_batch(with_labels, separate),
    }


# ------------------------------------------------------------------------------------------------------------------------ Flax


def flax_ours(task: Task) -> Runs:
    """The bertkit class, compiled by `jax.jit`."""
    import bertkit

    return _of_flax(bertkit.FlaxBertForSequenceClassification(bertkit.BertConfig(**task.sizes)), task)


def flax_transformers(task: Task) -> Runs:
    """The class of transformers 4.57.6."""
    import transformers

    return _of_flax(transformers.FlaxBertForSequenceClassification(transformers.BertConfig(**task.sizes)), task)


def _of_flax(model: Any, task: Task) -> Runs:
    """Inference, and a training step that splits the random key and donates the memory of its state."""
    import jax
    import optax

    inputs, labels = task.batch()
    adam = optax.adam(1e-5)
    forward = jax.jit(lambda params, inputs: model(**inputs, params=params).logits)

    def step(params: Any, kept: Any, rng: Any, inputs: Any, labels: Any) -> tuple[Any, Any, Any]:
        rng, dropout_rng = jax.random.split(rng)

        def loss(params: Any) -> Any:
            logits = model(**inputs, params=params, dropout_rng=dropout_rng, train=True).logits
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        updates, kept = adam.update(jax.grad(loss)(params), kept)
        return optax.apply_updates(params, updates), kept, rng

    compiled, params = jax.jit(step, donate_argnums=(0, 1, 2)), model.params
    state = [jax.tree.map(jax.numpy.copy, params), adam.init(params), jax.random.PRNGKey(0)]

    def training() -> None:
        state[:] = compiled(*state, inputs, labels)
        jax.block_until_ready(state)

    return {"inference": lambda: np.asarray(forward(params, inputs)), "training": training}


# -------------------------------------------------------------------------------------------------------------- implementations

KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}
IMPLEMENTATIONS = {
    "bertkit tf": Implementation("tf", tf_ours),
    "bertkit tf, XLA": Implementation("tf", lambda task: tf_ours(task, xla=True)),
    "transformers 4.57.6 tf": Implementation("tf", tf_transformers, "transformers4", KERAS_2),
    "keras-hub": Implementation("tf", lambda task: tf_keras_hub(task, xla=False), "keras_hub"),
    "keras-hub, XLA": Implementation("tf", tf_keras_hub, "keras_hub"),
    "bertkit flax": Implementation("flax", flax_ours),
    "transformers 4.57.6 flax": Implementation("flax", flax_transformers, "transformers4"),
}
"""The others of a framework are compared with its first."""


class Process:
    """A separate process that runs an implementation."""

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        folder = IMPLEMENTATIONS[name].folder
        folders = [str(getattr(given, folder))] if folder else []
        path = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
        words = [sys.executable, __file__, "--serve", name, *_words(given)]
        environment = {
            **os.environ,
            **IMPLEMENTATIONS[name].environment,
            "PYTHONPATH": path,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.name = name
        self.process = subprocess.Popen(
            words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def seconds(self, kind: str) -> np.ndarray:
        """Wall time and CPU time of one run, [2]. kind: "inference" or "training"."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("seconds "):
                return np.array([float(word) for word in line.split()[1:]])
        raise SystemExit(f"{self.name!r} stopped. To see why: echo {kind} | python {__file__} --serve {self.name!r}")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def _words(given: argparse.Namespace) -> list[str]:
    return ["--layers", str(given.layers), "--rows", str(given.rows), "--length", str(given.length)]


def serve(name: str, task: Task) -> None:
    """Run "inference" or "training" for each line of stdin, and print the times."""
    runs = IMPLEMENTATIONS[name].make(task)
    for line in sys.stdin:
        began = time.perf_counter(), time.process_time()
        runs[line.strip()]()
        print("seconds", time.perf_counter() - began[0], time.process_time() - began[1], flush=True)


def processes(framework: str, given: argparse.Namespace) -> dict[str, Process]:
    """The implementations that are installed or whose folder was passed."""
    some = {name: one for name, one in IMPLEMENTATIONS.items() if one.framework == framework}
    return {name: Process(name, given) for name, one in some.items() if not one.folder or getattr(given, one.folder)}


def measure(running: dict[str, Process], kind: str, rounds: int, tokens: int) -> dict[str, dict[str, float]]:
    """Tokens a second of each implementation, and its speed relative to the first."""
    names, found = list(running), {name: [] for name in running}
    for name in names:
        for _ in range(2):  # the first run compiles
            running[name].seconds(kind)
    for number in range(rounds):
        for name in names[:: -1 if number % 2 else 1]:
            found[name].append(running[name].seconds(kind))
    first = np.array(found[names[0]])  # [rounds, 2]
    figures = {}
    for name, times in found.items():
        wall, cpu = np.median(first / np.array(times), axis=0)
        speed = tokens / statistics.median(float(seconds[0]) for seconds in times)
        figures[name] = {"tokens a second": speed, "times the first": wall, "in CPU time": cpu}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    frameworks = sorted({one.framework for one in IMPLEMENTATIONS.values()})
    parser.add_argument("--frameworks", nargs="+", default=frameworks, choices=frameworks)
    parser.add_argument("--only", nargs="+", default=["inference", "training"], choices=["inference", "training"])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--transformers4", type=Path, help="folder with transformers 4.57.6")
    parser.add_argument("--keras-hub", type=Path, help="folder with keras-hub")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, Task(given.layers, given.rows, given.length))
        return
    figures: dict[str, Any] = {}
    for framework in given.frameworks:
        running = processes(framework, given)
        for kind in given.only:
            measured = figures[f"{framework} {kind}"] = measure(running, kind, given.rounds, given.rows * given.length)
            print(f"\n{framework}, {kind}, {given.rows} x {given.length}, {given.layers} layers")
            print(f"  {'':<28}{'tokens/s':>10}{'times the first':>18}{'in CPU time':>20}")
            for name, (speed, wall, cpu) in ((name, one.values()) for name, one in measured.items()):
                print(f"  {name:<28}{speed:10.0f}{wall:18.2f}{cpu:20.2f}")
        for process in running.values():
            process.close()
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
