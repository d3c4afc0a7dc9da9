"""Dense layers of a model that only infers, on a processor: weights in the order in which oneDNN multiplies, activations in the
same pass. It counts most where a batch is small, where reading the weights in their usual order costs more than the product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bertkit.models.torch.model import BertEncoder

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

PRODUCT = "mkldnn._linear_pointwise.default"
"""The operation, as it calls itself."""

_ROWS = 2048
"""Tokens that the order is best for. Fewer and more were as fast with it."""


class Prepared(nn.Module):
    """A dense layer, and an activation behind it."""

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


def prepare(encoder: BertEncoder, activation: str) -> None:
    """Prepare all layers for inference, where the processor and the type of their numbers allow it. There is no way back."""
    weight = next(encoder.parameters())
    half = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    here = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
    if not here or not (half or weight.dtype == torch.float32):
        return
    layers: list[Any] = list(encoder.layer)
    for layer in layers:
        layer.intermediate = Prepared(layer.intermediate.dense, activation)
        for module, name in (
            (layer.attention.self, "query"),
            (layer.attention.self, "key"),
            (layer.attention.self, "value"),
            (layer.attention.output, "dense"),
            (layer.output, "dense"),
        ):
            setattr(module, name, Prepared(getattr(module, name)))
