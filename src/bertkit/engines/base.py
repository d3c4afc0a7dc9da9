"""The contract of engines, and how one is found. No framework is named here but by its engine's file.

An engine runs one class of BERT over packed batches. It answers an `Ask` with arrays, by name (T tokens, N rows, M places,
V vocabulary, H width, K layers):

    outputs of the head   of its grain: [T, ...], [N, ...], or [M, V] at `batch.positions`, [T, V] if there are none
    hidden_states         [T, K, H]
    pooler_output         [N, H]
    log_probs             [M]
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.errors import MissingExtraError, Setting, UsageError, did_you_mean
from bertkit.heads import HEADS, Ask
from bertkit.tensors import Array


class Engine(Protocol):
    """One class of BERT with its weights, ready to run."""

    config: BertConfig
    head: str
    limits: Limits

    @property
    def device(self) -> Any:
        """Where it computes."""

    @property
    def precision(self) -> str:
        """The type of its numbers: "fp32", "bf16", "fp16" or "int8"."""

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> Engine:
        """The engine for a class. tensors: by the names of the parameter table, all that the class needs."""

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """The arrays that are asked for, float32."""


class _Home(NamedTuple):
    name: str  # of the class, in the file of the engine's name
    extra: str | None  # that installs its framework; None: what is missing has an install of its own


ENGINES = {
    "numpy": _Home("NumpyEngine", None),
    "torch": _Home("TorchEngine", None),
    "keras": _Home("KerasEngine", "tf"),
    "flax": _Home("FlaxEngine", "flax"),
}


def engine_class(name: str) -> Any:
    """The class of an engine. Its framework is imported now."""
    if name not in ENGINES:
        known = f'"auto", {", ".join(map(repr, ENGINES))}'
        raise UsageError(f"engine={name!r} is not an engine; the engines are {known}.{did_you_mean(name, ENGINES)}")
    try:
        return getattr(import_module(f"bertkit.engines.{name}"), ENGINES[name].name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or name, ENGINES[name].extra, Setting("engine", name)) from error


def words_of(head: str) -> str:
    """The output of a head that scores words."""
    return next(name for name, output in HEADS[head].outputs.items() if output.grain == "place")


def log_probs(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float32]:
    """The log-probability of each label by its row of logits: [M, V], [M] -> [M]."""
    top = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=-1)) + top[:, 0]
    chosen: NDArray[np.float32] = (logits[np.arange(len(labels)), labels] - total).astype(np.float32)
    return chosen
