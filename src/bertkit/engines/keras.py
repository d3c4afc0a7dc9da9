"""The TensorFlow engine: rectangular batches, run by a graph for each kind of request.

Without XLA, one graph takes batches of all shapes. With XLA, each shape is compiled once. Rows are padded to one of LENGTHS
then, and the number of rows to a power of two.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import words_of
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import POOLER, Ask
from bertkit.models.keras.inputs import arrange
from bertkit.tensors import Array

LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""The lengths that rows are padded to for XLA."""

_POLICIES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class KerasEngine:
    """One class of BERT in TensorFlow. The engine does not change the model.

    >>> from bertkit.data.batches import Row, pack
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> engine = KerasEngine(model_class("ForTokenClassification")(config))
    >>> rows = [Row(np.array([2, 4, 3]), np.zeros(3, int)), Row(np.array([2, 3]), np.zeros(2, int))]
    >>> engine.run(pack(rows), Ask(("logits",)))["logits"].shape
    (5, 2)
    """

    def __init__(self, model: Any, jit_compile: bool = False, device: str = "") -> None:
        if getattr(model, "_head", None) is None:
            raise UsageError(f"{type(model).__name__} is not one of the nine classes of BERT: pass one of these.")
        self.model, self.head, self.config = model, model._head, model.config
        self.jit_compile, self.device = jit_compile, device
        longest = self.config.max_position_embeddings
        self._lengths = tuple(sorted({min(length, longest) for length in (*LENGTHS, longest)})) if jit_compile else ()
        self.limits = Limits(rectangle=True, buckets=self._lengths)
        self._graphs: dict[Any, Any] = {}

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> KerasEngine:
        """The engine for a class. The precision "auto" is fp32."""
        place, wanted = device_of(device), "fp32" if precision == "auto" else precision
        if wanted not in _POLICIES:
            raise UsageError(
                f"The TensorFlow engine has no precision {precision!r}: choose one of auto, {', '.join(_POLICIES)}."
            )
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(_POLICIES[wanted])
        try:
            with tf.device(place):
                own = {"add_pooling_layer": POOLER + "dense.weight" in tensors} if head == "Model" else {}
                return cls(model_class(head)._of_tensors(config, tensors, **own), device=place)
        finally:
            keras.config.set_dtype_policy(before)

    @property
    def precision(self) -> str:
        """The type of the model's numbers."""
        return {name: short for short, name in _POLICIES.items()}[self.model.bert.compute_dtype]

    @property
    def graphs(self) -> int:
        """The number of graphs so far."""
        return sum(graph.experimental_get_tracing_count() for graph in self._graphs.values())

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Return the requested arrays, as float32 in NumPy. The batch is run as one rectangle."""
        ask.check(self.head, self.model.bert.pooler is not None, batch.names_words)
        grains, rows = ask.grains(self.head), len(batch.lengths)
        longest = int(batch.lengths.max(initial=1))
        length = min((bucket for bucket in self._lengths if bucket >= longest), default=longest)
        columns, height = np.arange(length), self._padded(rows)
        real = np.zeros((height, length), bool)
        real[:rows] = columns < batch.lengths[:, None]
        ids, types, words = np.zeros((3, height, length), np.int32)
        ids[real], types[real] = batch.input_ids, batch.token_type_ids
        cells = np.flatnonzero(real)  # the positions of the tokens
        at_places = batch.positions is not None and "place" in grains.values()
        places = cells[batch.positions] if at_places else cells[:0]
        if ask.log_probs:
            words.reshape(-1)[places] = batch.targets["labels"].values
        given = np.zeros(self._padded(len(places)) if at_places else 0, np.int32)
        given[: len(places)] = places
        found = self._graph(ask, at_places)(ids, types, real, given, words)
        answers = {}
        for name, grain in grains.items():
            array = found[name].numpy()
            if grain == "row":
                answers[name] = array[:rows]
            elif grain == "place" and at_places:
                answers[name] = array[: len(places)]
            else:
                answers[name] = array.reshape(-1, *array.shape[2:])[cells]
        return answers

    def _padded(self, count: int) -> int:
        """The count, with XLA rounded up to a power of two."""
        return 1 << (count - 1).bit_length() if self.jit_compile and count else count

    def _graph(self, ask: Ask, at_places: bool) -> Any:
        """The graph for a kind of request."""
        key = (ask, at_places)
        if key not in self._graphs:
            rectangle = tf.TensorSpec([None, None], tf.int32)
            signature = [
                rectangle,
                rectangle,
                tf.TensorSpec([None, None], tf.bool),
                tf.TensorSpec([None], tf.int32),
                rectangle,
            ]

            def forward(ids: Any, types: Any, real: Any, places: Any, words: Any) -> dict[str, Any]:
                with tf.device(self.device):
                    found = self._forward(ask, at_places, ids, types, real, places, words)
                    return {name: tf.cast(array, tf.float32) for name, array in found.items()}

            self._graphs[key] = tf.function(
                forward,
                jit_compile=self.jit_compile,
                autograph=False,
                input_signature=None if self.jit_compile else signature,
            )
        return self._graphs[key]

    def _forward(
        self, ask: Ask, at_places: bool, ids: Any, types: Any, real: Any, places: Any, words: Any
    ) -> dict[str, Any]:
        model, last, grains = self.model, self.config.num_hidden_layers, ask.grains(self.head)
        inputs = arrange(ids, real, types, None, None, causal=self.config.is_decoder)
        inner = any(layer != last for layer in ask.layers)
        states = model.bert(arranged=inputs, output_hidden_states=inner, output_attentions=False)
        x, found = states.last_hidden_state, {}
        if at_places:
            x = tf.gather(tf.reshape(x, (-1, x.shape[-1])), places)[None]  # [1, M, H]
        if ask.outputs or ask.log_probs:
            found = model._outputs(x, states.pooler_output)
            found = {
                name: y[0] if at_places and grains.get(name, "place") == "place" else y for name, y in found.items()
            }
        if ask.log_probs:
            labels = tf.gather(tf.reshape(words, (-1,)), places)
            scores = tf.nn.log_softmax(tf.cast(found[words_of(self.head)], tf.float32))
            found["log_probs"] = tf.gather(scores, labels, batch_dims=1)
        if ask.layers:
            of = {last: states.last_hidden_state, **dict(enumerate(states.hidden_states or ()))}
            found["hidden_states"] = tf.stack([of[layer] for layer in ask.layers], axis=2)
        if ask.pooled:
            found["pooler_output"] = states.pooler_output
        return {
            name: found[name][:, 0] if self.head == "ForMultipleChoice" and name == "logits" else found[name]
            for name in grains
        }


def model_class(head: str) -> Any:
    """The TensorFlow class of a head."""
    room = "model" if head == "Model" else "heads"
    return getattr(import_module(f"bertkit.models.keras.{room}"), "TFBert" + head)


def device_of(given: object) -> str:
    """The device for a pipeline's argument: None (TensorFlow chooses), -1 (the CPU), 0, "cuda:1", "GPU:1"."""
    if given is None:
        return ""
    if isinstance(given, int) and not isinstance(given, bool):
        given = "cpu" if given < 0 else f"GPU:{given}"
    kind, _, number = str(given).lower().lstrip("/").partition(":")
    kind = "gpu" if kind == "cuda" else kind
    if kind not in ("cpu", "gpu") or not (number or "0").isdigit():
        raise UsageError(received("device", given), ' is invalid: type "cpu", "gpu", 0, or -1 for the CPU.')
    gpus = len(tf.config.list_physical_devices("GPU"))
    if kind == "gpu" and int(number or 0) >= gpus:
        advice = Setting("device", "cpu")
        raise UsageError(
            received("device", given), f" does not exist: TensorFlow finds {gpus} GPUs. Type ", advice, "."
        )
    return f"/{kind.upper()}:{number or 0}"
