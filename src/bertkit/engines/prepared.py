"""Dense layers for inference on a processor: weights in the order in which oneDNN multiplies, activations in the same pass.

It counts most where a batch is small: reading the weights in their usual order then costs more than the product.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

_FUSED = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "swish": ("swish", ""),
    "tanh": ("tanh", ""),
}
"""Activation -> its name in oneDNN, and which of its formulas."""

_ROWS = 2048
"""Tokens that the order is best for. Fewer and more were as fast with it."""


class Prepared(nn.Module):
    """A dense layer, and an activation after it."""

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
    """Whether the processor and the type of the model's numbers allow it."""
    weight = next(model.parameters())
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    half = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return bool(half) or weight.dtype == torch.float32


def prepared(model: Any) -> Any:
    """A copy of a model for inference, whose layers are prepared. It shares all else with the model, which stays as it is."""
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
    """A module with the same parameters, in which a part can be replaced."""
    twin = copy.copy(module)
    twin._modules = {name: child and _with_own_modules(child) for name, child in module._modules.items()}
    return twin
