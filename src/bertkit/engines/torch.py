"""The PyTorch engine: packed batches, on a CPU or a GPU, in any precision."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import words_of
from bertkit.engines.processor import multiplies_bf16
from bertkit.errors import UsageError, received
from bertkit.heads import POOLER, Ask
from bertkit.models.torch import loading
from bertkit.models.torch.packing import Packed, arrange
from bertkit.tensors import Array

_logger = logging.getLogger("bertkit")

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


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

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> TorchEngine:
        """The engine for a class. On a CPU it prepares the dense layers, and does not keep the original model."""
        place = device_of(device)
        engine = cls(model_of(tensors, config, head, type_of(precision, place), place))
        if can_prepare(engine.model):
            engine._runs, engine.model = prepared(engine.model), None
            engine._body, engine._is_prepared = engine._runs.base_model, True
        return engine

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        parameter: torch.nn.Parameter = next(self._runs.parameters())
        return parameter.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's numbers."""
        parameter: torch.nn.Parameter = next(self._runs.parameters())
        return parameter.dtype

    @property
    def precision(self) -> str:
        """The short name of `dtype`."""
        return _NAMES[self.dtype]

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


# Dense layers for inference on a CPU: weights in oneDNN's own layout, activations fused with the product. This matters most
# for small batches, which would take more time to read weights in the usual layout than to multiply.

_FUSED = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "swish": ("swish", ""),
    "tanh": ("tanh", ""),
}
"""Activation -> its name and the variant of its formula in oneDNN."""

_ROWS = 2048
"""The number of tokens for which the layout is chosen. Other numbers of tokens are as fast with it."""


def rounded(tokens: int) -> int:
    """The number of tokens up to the next of 16 equal steps between two powers of 2; the same up to 32.

    oneDNN compiles a product for each number of rows, and keeps some 0.4 MB of code for it.

    >>> [rounded(tokens) for tokens in (0, 1, 31, 32, 33, 100, 2049, 4096)]
    [0, 1, 31, 32, 34, 100, 2176, 4096]
    """
    step = max(1, 1 << (tokens.bit_length() - 5)) if tokens > 31 else 1
    return tokens + -tokens % step


class Prepared(nn.Module):
    """A dense layer, followed by an activation."""

    def __init__(self, dense: nn.Linear, activation: str | None = None) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(dense.weight.detach(), _ROWS)
        self.bias = dense.bias.detach()
        self.name, self.formula = ("none", "") if activation is None else _FUSED[activation]

    def forward(self, x: Tensor) -> Tensor:
        """[T, inputs] -> [T, outputs]."""
        multiply = torch.ops.mkldnn._linear_pointwise.default
        y: Tensor = multiply(x, self.weight, self.bias, self.name, [], self.formula)
        return y


def can_prepare(model: nn.Module) -> bool:
    """Whether the model is on a CPU, and its type of numbers works with `Prepared` layers."""
    weight = next(model.parameters())
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    half = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return bool(half) or weight.dtype == torch.float32


def prepared(model: Any) -> Any:
    """A copy of a model for inference, with `Prepared` layers. It shares all other parameters with the model."""
    twin = _with_own_modules(model)
    for layer in twin.base_model.encoder.layer:
        layer.intermediate = Prepared(layer.intermediate.dense, twin.config.hidden_act)
        for module, name in (
            (layer.attention.self, "query"),
            (layer.attention.self, "key"),
            (layer.attention.self, "value"),
            (layer.attention.output, "dense"),
            (layer.output, "dense"),
        ):
            setattr(module, name, Prepared(getattr(module, name)))
    return twin


def _with_own_modules(module: Any) -> Any:
    """A copy of a module that shares its parameters, and whose submodules can be replaced."""
    twin = copy.copy(module)
    twin._modules = {name: child and _with_own_modules(child) for name, child in module._modules.items()}
    return twin


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


def model_like(model: Any, config: BertConfig, head: str) -> Any:
    """A bertkit model of a head that shares the tensors of another model with the same parameter names."""
    with torch.device("meta"):
        own = model_class(head)(config, **({"add_pooling_layer": model.pooler is not None} if head == "Model" else {}))
    own.load_state_dict(model.state_dict(), assign=True)
    own.tie_weights()
    return own.train(model.training)


def device_of(given: object) -> torch.device:
    """The device for a pipeline's argument: None (a GPU if possible), -1 (the CPU), 0, "cuda:1", "mps", a torch.device.

    If PyTorch finds no such GPU, it logs a warning and returns the CPU.
    """
    if given is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
    """The type of numbers for a precision. "auto" is bf16 if the hardware multiplies it natively, else fp32."""
    if precision == "auto":
        gpu = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
        native = gpu or (device.type == "cpu" and multiplies_bf16())
        precision = "bf16" if native else "fp32"
    if precision not in _TYPES:
        raise UsageError(f"The PyTorch engine has no precision {precision!r}: choose one of auto, {', '.join(_TYPES)}.")
    return _TYPES[precision]
