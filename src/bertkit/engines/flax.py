"""The engine of the Flax classes. XLA compiles once for each shape, so rows, lengths and places are rounded up to a few.

    lengths   16, 32, 64, ... to the most positions       rows   1, 2, 4, ... to 4,096 tokens       places   16, 32, 64, ...

For 512 positions that is at most 39 compilations of the layers and 9 of a head, however many lengths there are in a day; where
words are predicted, up to 45 more of what takes their places out, which is quick to compile.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import words_of
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import POOLER, Ask
from bertkit.models.flax import heads
from bertkit.models.flax.attention import Inputs
from bertkit.models.flax.model import Mode, bert
from bertkit.models.flax.pretrained import FlaxBertPreTrainedModel
from bertkit.models.flax.tree import placed
from bertkit.tensors import Array

_TYPES = {"fp32": jnp.float32, "bf16": jnp.bfloat16, "fp16": jnp.float16}
_NAMES = {jnp.dtype(dtype): name for name, dtype in _TYPES.items()}
_SHORTEST = 16


class FlaxEngine:
    """One class of BERT in JAX, over the parameters of a model.

    >>> from bertkit.data.batches import Row, pack
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> engine = FlaxEngine(heads.FlaxBertForTokenClassification(config))
    >>> rows = [Row(np.array([2, 4, 3]), np.zeros(3, int)), Row(np.array([2, 3]), np.zeros(2, int))]
    >>> engine.run(pack(rows), Ask(("logits",)))["logits"].shape
    (5, 2)
    """

    def __init__(self, model: FlaxBertPreTrainedModel) -> None:
        self.model, self.head, self.config, self._params = model, model._head, model.config, model.params
        self.limits = Limits(buckets=lengths_to(self.config.max_position_embeddings))
        self._body: Any = jax.jit(partial(_body, self.config, self.head, Mode(model.dtype)), static_argnames="layers")
        self._top: Any = jax.jit(partial(_top, model), static_argnames="names")
        self._taken: Any = jax.jit(partial(_taken))

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> FlaxEngine:
        """The engine for a class. Each parameter is copied once, from the mapped file to the device."""
        place = device_of(device)
        dtype = type_of(precision, place)
        pooler = POOLER + "dense.weight" in tensors or head != "Model"
        model = model_class(head)(config, dtype=dtype, _do_init=False, add_pooling_layer=pooler)
        params = placed(tensors, model._paths(), lambda array: jnp.array(array, dtype, device=place))
        model._params, model._initialized = params, True
        return cls(model)

    @property
    def device(self) -> Any:
        """Where it computes."""
        (device,) = jax.tree.leaves(self._params)[0].devices()
        return device

    @property
    def precision(self) -> str:
        """The type of its numbers, by its short name."""
        return _NAMES[jnp.dtype(self.model.dtype)]

    @property
    def compilations(self) -> int:
        """How many shapes there have been so far."""
        return int(sum(compiled._cache_size() for compiled in (self._body, self._taken, self._top)))

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """The arrays that are asked for, float32. Rows, lengths and places are rounded up, and cut again."""
        ask.check(self.head, self.model._pools, batch.names_words)
        names = (*ask.outputs, *["log_probs"][: ask.log_probs])
        grains, count = ask.grains(self.head), len(batch.lengths)
        longest, rows = int(batch.lengths.max(initial=1)), power_of_two(count)
        length = min((bucket for bucket in self.limits.buckets if bucket >= longest), default=longest)
        real = np.arange(length) < np.pad(batch.lengths, (0, rows - count))[:, None]  # [N, L]
        ids, types = (_grid(values, real) for values in (batch.input_ids, batch.token_type_ids))
        states, pooled, inner = self._body(self._params, ids, types, real, layers=ask.layers)
        tokens = np.flatnonzero(real)  # cells of the grid
        places = tokens if batch.positions is None else tokens[batch.positions]
        kept: dict[str, Any] = {"row": slice(count), "token": tokens, "place": slice(len(places))}
        arrays = {
            name: np.asarray(x, np.float32)[kept[grains[name]]]
            for name, x in self._made(names, {grains[name] for name in names}, states, pooled, places, batch).items()
        }
        if ask.layers:
            arrays["hidden_states"] = np.asarray(inner, np.float32)[real]
        if ask.pooled:
            arrays["pooler_output"] = np.asarray(pooled, np.float32)[:count]
        return arrays

    def _made(
        self, names: tuple[str, ...], grains: set[Any], states: Any, pooled: Any, places: Array, batch: Batch
    ) -> dict[str, Any]:
        """The outputs of the head, of all cells of the grid or of the places. What no output is made of has one shape."""
        if not names:
            return {}
        none = np.zeros((1, self.config.hidden_size), np.float32)
        x = self._taken(states, _longer(places)) if "place" in grains else states if "token" in grains else none
        words = batch.targets["labels"].values if "log_probs" in names else places[:0]
        found: dict[str, Any] = self._top(
            self._params, x, pooled if "row" in grains else none, _longer(words), names=names
        )
        return found


def _body(
    config: BertConfig, head: str, mode: Mode, params: Any, ids: Any, types: Any, real: Any, layers: tuple[int, ...]
) -> tuple[Any, Any, Any]:
    """States [N * L, H], pooled vectors [N, H] and states of inner layers [N, L, K, H]."""
    inputs = Inputs(input_ids=ids, token_type_ids=types, attention_mask=real)
    mode = Mode(mode.dtype, states=bool(layers))
    states = bert(config, params if head == "Model" else params["bert"], inputs, mode)
    inner = jnp.stack([states.hidden_states[layer] for layer in layers], axis=2) if states.hidden_states else None
    return states.last_hidden_state.reshape(-1, config.hidden_size), states.pooler_output, inner


def _top(
    model: FlaxBertPreTrainedModel, params: Any, x: Any, pooled: Any, labels: Any, names: tuple[str, ...]
) -> dict[str, Any]:
    """The outputs of the head that are wanted, of states [M, H] and pooled vectors [N, H]."""
    made = model._outputs(model.config, params, x, pooled, None) if names else {}
    if "log_probs" in names:
        scores = jax.nn.log_softmax(made[words_of(model._head)].astype(jnp.float32))
        made["log_probs"] = jnp.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    return {name: made[name] for name in names}


def _taken(states: Any, cells: Any) -> Any:
    return states[cells]


def _longer(numbers: Array) -> Array:
    """Rounded up in length with zeros: to a power of two, 16 at least."""
    return np.pad(numbers, (0, max(power_of_two(len(numbers)), _SHORTEST) - len(numbers))).astype(np.int32)


def _grid(values: Array, real: Array) -> Array:
    """[T] -> [N, L], zero at padding."""
    whole = np.zeros(real.shape, np.int32)
    whole[real] = values
    return whole


def lengths_to(most: int) -> tuple[int, ...]:
    """The lengths that rows are padded to.

    >>> lengths_to(100)
    (16, 32, 64, 100)
    """
    lengths = [_SHORTEST << power for power in range(most.bit_length()) if _SHORTEST << power < most]
    return (*lengths, most)


def power_of_two(count: int) -> int:
    """The least power of two that is as large.

    >>> power_of_two(5), power_of_two(1), power_of_two(0)
    (8, 1, 1)
    """
    return 1 << max(count - 1, 0).bit_length()


def model_class(head: str) -> Any:
    """The Flax class of a head."""
    return getattr(heads, "FlaxBert" + head.replace("LMHeadModel", "ForCausalLM"))


def device_of(given: object) -> Any:
    """A device as pipelines take it: None (the first of JAX), -1 or "cpu", 0, "cuda:1", a device of JAX."""
    if given is None:
        return jax.devices()[0]
    if isinstance(given, jax.Device):
        return given
    name = "cpu" if given == -1 else f"{jax.default_backend()}:{given}" if isinstance(given, int) else str(given)
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (IndexError, RuntimeError, ValueError) as error:
        there = ", ".join(f'"{device.platform}:{device.id}"' for device in jax.devices())
        raise UsageError(received("device", given), f" is not a device of JAX here: type {there}.") from error


def type_of(precision: str, device: Any) -> Any:
    """The type of numbers. "auto": bf16 on GPUs and TPUs, fp32 on a processor."""
    if precision == "auto":
        precision = "fp32" if device.platform == "cpu" else "bf16"
    if precision not in _TYPES:
        own, known = Setting("engine", "flax"), ", ".join(_TYPES)
        raise UsageError(own, " has no ", received("precision", precision), f": type one of {known}.")
    return _TYPES[precision]
