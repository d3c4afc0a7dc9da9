"""The protocol of engines, and the table of engines by name. No framework is imported here.

An engine runs one class of BERT on packed batches. It returns the arrays of an `Ask` by name (T tokens, N rows, M positions at
which words are predicted, V vocabulary, H width, K layers):

    outputs of the head   [T, ...] or [N, ...]; logits of words [M, V] at `batch.positions`, or [T, V] without positions
    hidden_states         [T, K, H]
    pooler_output         [N, H]
    log_probs             [M]
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.processor import thread_variables
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
        """The device of the model."""

    @property
    def precision(self) -> str:
        """The type of the model's numbers: "fp32", "bf16", "fp16" or "int8"."""

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> Engine:
        """The engine for a class. `tensors` has all its parameters, by the names in `parameters.py`."""

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Return the requested arrays, as float32."""


class _Home(NamedTuple):
    name: str  # of the class; its module has the name of the engine
    extra: str | None  # bertkit's extra that installs the framework; None: the missing module is a package to install
    file: str | None = None  # of an exported model, which the engine opens with `open_exported`


ENGINES = {
    "numpy": _Home("NumpyEngine", None),
    "torch": _Home("TorchEngine", None),
    "keras": _Home("KerasEngine", "tf"),
    "flax": _Home("FlaxEngine", "flax"),
    "onnx": _Home("OnnxEngine", "onnx", "model.onnx"),
    "openvino": _Home("OpenVinoEngine", "openvino", "openvino_model.xml"),
}


def name_of(engine: Engine) -> str:
    """The name of an engine, by which `engine_class` finds its class."""
    return getattr(engine, "name", type(engine).__module__.rpartition(".")[2])


PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")
"""The types of numbers that an engine may support."""


def engine_class(name: str) -> Any:
    """Import and return the class of an engine."""
    if name not in ENGINES:
        known = f'"auto", {", ".join(map(repr, ENGINES))}'
        raise UsageError(f"Unknown engine {name!r}: choose one of {known}.{did_you_mean(name, ENGINES)}")
    variables = {} if "torch" in sys.modules else thread_variables()
    os.environ.update(variables)
    try:
        return getattr(import_module(f"bertkit.engines.{name}"), ENGINES[name].name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or name, ENGINES[name].extra, Setting("engine", name)) from error
    finally:
        for variable in variables:
            os.environ.pop(variable, None)  # another thread may have done the same


def words_of(head: str) -> str:
    """The name of a head's output that has the logits of words."""
    return next(name for name, output in HEADS[head].outputs.items() if output.grain == "place")


def log_probs(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float32]:
    """The log-probability of each label, from its row of logits: [M, V], [M] -> [M]."""
    top = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=-1)) + top[:, 0]
    chosen: NDArray[np.float32] = (logits[np.arange(len(labels)), labels] - total).astype(np.float32)
    return chosen
