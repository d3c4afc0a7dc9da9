"""The PyTorch engine: packed batches, on a CPU or a GPU, in any precision."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import words_of
from bertkit.engines.prepared import Dense, Prepared, can_prepare, prepared, rounded
from bertkit.engines.processor import multiplies_bf16
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import POOLER, Ask
from bertkit.models.torch import loading
from bertkit.models.torch.packing import Packed, arrange
from bertkit.search.settings import GenerationConfig
from bertkit.tensors import Array

_logger = logging.getLogger("bertkit")

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}
_PRECISIONS = (*_TYPES, "int8")
NAMES = {dtype: name for name, dtype in _TYPES.items()}


class TorchEngine:
    """One class of BERT in PyTorch. The engine does not change the model.

    >>> from bertkit.data.batches import Row, pack
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> engine = TorchEngine(model_class("ForTokenClassification")(config).eval())
    >>> rows = [Row(np.array([2, 4, 3]), np.zeros(3, int)), Row(np.array([2, 3]), np.zeros(2, int))]
    >>> engine.run(pack(rows), Ask(("logits",)))["logits"].shape
    (5, 2)
    """

    limits = Limits()

    def __init__(self, model: Any) -> None:
        if getattr(model, "_head", None) is None:
            raise UsageError(f"{type(model).__name__} is not one of the nine classes of BERT: pass one of these.")
        self.model, self.head, self.config = model, model._head, model.config
        self._runs, self._body = model, model.base_model
        self._is_prepared = False
        self.precision = NAMES[next(model.parameters()).dtype]

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> TorchEngine:
        """The engine for a class. It prepares the dense layers, and does not keep the original model.

        On a CPU, only the products of the layers are in bf16 or int8: their sums, the norms, the embeddings and the heads are in
        fp32, which costs little. On a GPU it records small batches as CUDA graphs.
        """
        place = device_of(device)
        kind = type_of(precision, place)
        prepares = can_prepare(place, kind)
        engine = cls(model_of(tensors, config, head, torch.float32 if prepares else kind, place))
        if precision == "int8":
            from bertkit.engines.int8 import quantized

            engine._use(quantized(engine.model))
            engine.precision = precision
        elif prepares:
            engine._use(prepared(engine.model, partial(Prepared, dtype=kind)))
            engine.precision = NAMES[kind]
        elif place.type == "cuda":
            from bertkit.engines.cuda_graphs import Replayed

            engine._use(prepared(engine.model, Dense))
            engine._body, engine._is_prepared = Replayed(engine._body), False
        return engine

    def _use(self, prepared: Any) -> None:
        """Run a copy with other dense layers instead of the model, which is not kept."""
        self._runs, self._body, self._is_prepared, self.model = prepared, prepared.base_model, True, None

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        parameter: torch.nn.Parameter = next(self._runs.parameters())
        return parameter.device

    @property
    def gpus(self) -> int:
        """The number of GPUs of this machine; 0 if the model is not on one."""
        return torch.cuda.device_count() if self.device.type == "cuda" else 0

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers of the layers' products; float32 for int8, of which only they have 8-bit numbers."""
        return _TYPES.get(self.precision, torch.float32)

    def to(self, device: object) -> None:
        """Move the model."""
        self._runs.to(device_of(device))

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Return the requested arrays, as float32 in NumPy."""
        last = self.config.num_hidden_layers
        ask.check(self.head, self._body.pooler is not None, batch.names_words)
        with torch.inference_mode():
            ids, types = self._tensor(batch.input_ids), self._tensor(batch.token_type_ids)
            lengths = [*batch.lengths.tolist(), *self._filler(len(ids))]
            ids, types = (F.pad(x, (0, sum(lengths) - len(x))) for x in (ids, types))
            inputs = arrange(ids, None, types, None, None, lengths, causal=self.config.is_decoder)
            layout, grains = inputs.layout, ask.grains(self.head)
            assert isinstance(layout, Packed)
            places = self._places(batch, layout) if "place" in grains.values() else None
            inputs.wanted = self._wanted(layout.firsts[:0] if places is None else places, layout)
            if "token" in grains.values() or ("place" in grains.values() and places is None):
                inputs.wanted = None  # all tokens
            inner = any(layer != last for layer in ask.layers)
            states = self._body(arranged=inputs, output_hidden_states=inner, output_attentions=False)
            x, found = states.last_hidden_state, {}
            if ask.outputs or ask.log_probs:
                at = x[places] if inputs.wanted is None and places is not None else x
                at = at if places is None else at[: len(places)]
                found = self._runs._outputs(at, states.pooler_output)
            if ask.log_probs:
                words = self._tensor(batch.targets["labels"].values)[:, None]
                found["log_probs"] = found[words_of(self.head)].float().log_softmax(-1).gather(1, words)[:, 0]
            found = {name: y for name, y in found.items() if name in grains}  # without outputs of other grains
            if places is None:
                found = {name: y if grains[name] == "row" else layout.unpack(y) for name, y in found.items()}
            if ask.layers:
                of = {last: layout.unpack(x), **dict(enumerate(states.hidden_states or ()))}
                found["hidden_states"] = torch.stack([of[layer] for layer in ask.layers], dim=1)
            if ask.pooled:
                found["pooler_output"] = states.pooler_output
            sizes = {"row": len(batch.lengths), "token": len(batch.input_ids)}
            sizes["place"] = sizes["token"] if places is None else len(places)
            return {name: found[name][: sizes[grain]].float().cpu().numpy() for name, grain in grains.items()}

    def _filler(self, tokens: int) -> list[int]:
        """The lengths of rows of padding that a batch gets, so that `Prepared` layers see few different numbers of tokens."""
        more = rounded(tokens) - tokens if self._is_prepared else 0
        most = self.config.max_position_embeddings
        return [most] * (more // most) + [more % most] * (more % most > 0)

    def _wanted(self, places: Tensor, layout: Packed) -> Tensor:
        """Places for which the last layer is computed to its end, with further ones for the same reason."""
        count = len(places) + (len(layout.firsts) if self._body.pooler is not None else 0)
        return F.pad(places, (0, rounded(count) - count)) if self._is_prepared else places

    def _places(self, batch: Batch, layout: Packed) -> Tensor | None:
        """The positions in the layout at which words are predicted, [M]; None: all tokens."""
        return None if batch.positions is None else layout.here(self._tensor(batch.positions))

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.int64)).to(self.device)


# Models, devices and types of numbers.


def model_class(head: str) -> Any:
    """The PyTorch class of a head."""
    module = "model" if head == "Model" else "heads"
    return getattr(import_module(f"bertkit.models.torch.{module}"), "Bert" + head)


def model_of(tensors: Tensors, config: BertConfig, head: str, dtype: Any = "auto", device: Any = None) -> Any:
    """A model of the PyTorch class of a head, with the tensors as its parameters."""
    own = {"add_pooling_layer": POOLER + "dense.weight" in tensors} if head == "Model" else {}
    return loading.model_of(model_class(head), config, tensors, dtype, device or torch.device("cpu"), **own)


_AVAILABLE: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}
"""Type of device -> whether PyTorch finds one."""


_NATIVE_BF16: dict[str, Callable[[torch.device], bool]] = {
    "cpu": lambda device: multiplies_bf16(),
    "cuda": lambda device: torch.cuda.get_device_capability(device)[0] >= 8,
    "mps": lambda device: torch.backends.mps.is_macos_or_newer(14, 0),
}
"""Type of device -> whether it multiplies bf16 natively."""


def model_like(model: Any, config: BertConfig, head: str) -> Any:
    """A bertkit model of a head that shares the tensors of another model with the same parameter names."""
    with torch.device("meta"):
        own = model_class(head)(config, **({"add_pooling_layer": model.pooler is not None} if head == "Model" else {}))
    own.load_state_dict(model.state_dict(), assign=True)
    own.tie_weights()
    take_settings(own, model)
    return own.train(model.training)


def take_settings(own: Any, model: Any) -> None:
    """Use the settings of `generate` of another model."""
    if hasattr(own, "generate") and getattr(model, "generation_config", None) is not None:
        own.generation_config = GenerationConfig.from_dict(model.generation_config.to_dict())


def device_of(given: object) -> torch.device:
    """The device for a pipeline's argument: None (a GPU if there is one), -1 (the CPU), 0, "cuda:1", "mps", a torch.device.

    If PyTorch finds no such GPU, it logs a warning and returns the CPU.
    """
    if given is None:
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if _AVAILABLE[name]()))
    name = given
    if isinstance(given, int) and not isinstance(given, bool):
        kind = "mps" if _AVAILABLE["mps"]() and not _AVAILABLE["cuda"]() else "cuda"
        name = "cpu" if given < 0 else f"{kind}:{given}"
    try:
        device = torch.device(name)  # type: ignore[call-overload]
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            received("device", given), ' is invalid: type "cpu", "cuda", "cuda:1", "mps", 0, or -1 for the CPU.'
        ) from error
    if device.type not in _AVAILABLE:
        raise UsageError(received("device", given), f" is not supported: choose one of {', '.join(_AVAILABLE)}.")
    if not _AVAILABLE[device.type]():
        _logger.warning("PyTorch finds no GPU for device %s: using the CPU.", given)
        return torch.device("cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            received("device", given),
            f" does not exist: PyTorch finds {torch.cuda.device_count()} GPUs, and the first is number 0.",
        )
    return torch.device(device)


def type_of(precision: str, device: torch.device) -> torch.dtype:
    """The type of numbers for a precision. "auto" is bf16 if the device multiplies it natively, else fp32.

    In "int8", only the products of the layers have 8-bit numbers, and the others are fp32.
    """
    if precision == "auto":
        precision = "bf16" if _NATIVE_BF16[device.type](device) else "fp32"
    if precision == "int8" and device.type != "cpu":
        raise UsageError(
            received("precision", "int8"),
            " runs on the CPU only: type ",
            Setting("device", "cpu"),
            ", or ",
            Setting("precision", "bf16"),
            ".",
        )
    if precision not in _PRECISIONS:
        known = ", ".join(_PRECISIONS)
        raise UsageError(f"The PyTorch engine has no precision {precision!r}: choose one of auto, {known}.")
    return _TYPES.get(precision, torch.float32)
