"""The Flax engine. XLA compiles once for each shape, so the numbers of rows, tokens and places are rounded up to a few.

    length   16, 32, 64, ... up to max_position_embeddings     rows   1, 2, 4, ... up to 4,096 tokens     places   16, 32, 64, ...

Places are the positions at which words are predicted. For 512 positions, the layers are compiled at most 39 times, a head 9
times, and the small program that selects the states at places 45 times, for any sequence of batches.
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
from bertkit.models.flax.arguments import Arguments
from bertkit.models.flax.model import Mode, bert
from bertkit.models.flax.pretrained import FlaxBertPreTrainedModel
from bertkit.models.flax.tree import placed
from bertkit.tensors import Array

_TYPES = {"fp32": jnp.float32, "bf16": jnp.bfloat16, "fp16": jnp.float16}
_NAMES = {jnp.dtype(dtype): name for name, dtype in _TYPES.items()}
_SHORTEST = 16


class FlaxEngine:
    """One class of BERT in JAX. The engine does not change the model.

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
        self._run_body: Any = jax.jit(
            partial(_run_body, self.config, self.head, Mode(model.dtype)), static_argnames="layers"
        )
        self._run_head: Any = jax.jit(partial(_run_head, model), static_argnames="names")
        self._select: Any = jax.jit(partial(_select))

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
        """The device of the parameters."""
        (device,) = jax.tree.leaves(self._params)[0].devices()
        return device

    @property
    def precision(self) -> str:
        """The short name of the type of the computation."""
        return _NAMES[jnp.dtype(self.model.dtype)]

    @property
    def compilations(self) -> int:
        """The number of compilations so far."""
        return int(sum(compiled._cache_size() for compiled in (self._run_body, self._select, self._run_head)))

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Return the requested arrays, as float32 in NumPy."""
        ask.check(self.head, self.model._has_pooler, batch.names_words)
        names = (*ask.outputs, *["log_probs"][: ask.log_probs])
        grains, count = ask.grains(self.head), len(batch.lengths)
        longest, rows = int(batch.lengths.max(initial=1)), power_of_two(count)
        length = min((bucket for bucket in self.limits.buckets if bucket >= longest), default=longest)
        real = np.arange(length) < np.pad(batch.lengths, (0, rows - count))[:, None]  # [N, L]
        ids, types = (_grid(values, real) for values in (batch.input_ids, batch.token_type_ids))
        states, pooled, inner = self._run_body(self._params, ids, types, real, layers=ask.layers)
        tokens = np.flatnonzero(real)  # cells of the grid
        places = tokens if batch.positions is None else tokens[batch.positions]
        kept: dict[str, Any] = {"row": slice(count), "token": tokens, "place": slice(len(places))}
        arrays = {
            name: np.asarray(x, np.float32)[kept[grains[name]]]
            for name, x in self._outputs(names, {grains[name] for name in names}, states, pooled, places, batch).items()
        }
        if ask.layers:
            arrays["hidden_states"] = np.asarray(inner, np.float32)[real]
        if ask.pooled:
            arrays["pooler_output"] = np.asarray(pooled, np.float32)[:count]
        return arrays

    def _outputs(
        self, names: tuple[str, ...], grains: set[Any], states: Any, pooled: Any, places: Array, batch: Batch
    ) -> dict[str, Any]:
        """The outputs of the head, for all cells of the grid or for the places."""
        if not names:
            return {}
        unused = np.zeros((1, self.config.hidden_size), np.float32)  # of one shape, so that it needs no compilation
        x = self._select(states, _padded(places)) if "place" in grains else states if "token" in grains else unused
        words = batch.targets["labels"].values if "log_probs" in names else places[:0]
        pooled = pooled if "row" in grains else unused
        found: dict[str, Any] = self._run_head(self._params, x, pooled, _padded(words), names=names)
        return found


def _run_body(
    config: BertConfig, head: str, mode: Mode, params: Any, ids: Any, types: Any, real: Any, layers: tuple[int, ...]
) -> tuple[Any, Any, Any]:
    """Last states [N * L, H], pooled vectors [N, H], and states of K layers [N, L, K, H]."""
    given = Arguments(input_ids=ids, token_type_ids=types, attention_mask=real)
    mode = Mode(mode.dtype, keeps_states=bool(layers))
    states = bert(config, params if head == "Model" else params["bert"], given, mode)
    inner = jnp.stack([states.hidden_states[layer] for layer in layers], axis=2) if states.hidden_states else None
    return states.last_hidden_state.reshape(-1, config.hidden_size), states.pooler_output, inner


def _run_head(
    model: FlaxBertPreTrainedModel, params: Any, x: Any, pooled: Any, labels: Any, names: tuple[str, ...]
) -> dict[str, Any]:
    """The outputs of the head with these names, from states [M, H] and pooled vectors [N, H]."""
    outputs = model._outputs(model.config, params, x, pooled, None)
    if "log_probs" in names:
        scores = jax.nn.log_softmax(outputs[words_of(model._head)].astype(jnp.float32))
        outputs["log_probs"] = jnp.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    return {name: outputs[name] for name in names}


def _select(states: Any, cells: Any) -> Any:
    return states[cells]


def _padded(numbers: Array) -> Array:
    """Pad with zeros to a power of two, at least 16."""
    return np.pad(numbers, (0, max(power_of_two(len(numbers)), _SHORTEST) - len(numbers))).astype(np.int32)


def _grid(values: Array, real: Array) -> Array:
    """[T] -> [N, L], zeros at padding."""
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
    """The smallest power of two that is not less than count.

    >>> power_of_two(5), power_of_two(1), power_of_two(0)
    (8, 1, 1)
    """
    return 1 << max(count - 1, 0).bit_length()


def model_class(head: str) -> Any:
    """The Flax class of a head."""
    return getattr(heads, "FlaxBert" + head.replace("LMHeadModel", "ForCausalLM"))


def device_of(given: object) -> Any:
    """The device for a pipeline's argument: None (the first of JAX), -1 or "cpu", 0, "cuda:1", a jax.Device."""
    if given is None:
        return jax.devices()[0]
    if isinstance(given, jax.Device):
        return given
    name = "cpu" if given == -1 else f"{jax.default_backend()}:{given}" if isinstance(given, int) else str(given)
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (IndexError, RuntimeError, ValueError) as error:
        known = ", ".join(f'"{device.platform}:{device.id}"' for device in jax.devices())
        raise UsageError(received("device", given), f" is invalid: choose one of {known}.") from error


def type_of(precision: str, device: Any) -> Any:
    """The type of numbers for a precision. "auto" is bf16 on a GPU or TPU, and fp32 on a CPU."""
    if precision == "auto":
        precision = "fp32" if device.platform == "cpu" else "bf16"
    if precision not in _TYPES:
        known = ", ".join(_TYPES)
        raise UsageError(
            Setting("engine", "flax"),
            " does not support ",
            received("precision", precision),
            f": choose one of auto, {known}.",
        )
    return _TYPES[precision]
