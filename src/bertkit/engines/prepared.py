"""Copies of a model for inference: queries, keys and values are one product, and on a CPU weights have oneDNN's own layout.

The layout matters most for small batches, which would take more time to read weights in the usual one than to multiply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.models.torch.copies import copied
from bertkit.models.torch.model import ACTIVATION, BertSelfAttention, LayerCall

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
    """One or more dense layers with the same input, followed by an activation, with numbers of the type `dtype`."""

    def __init__(
        self, layers: Sequence[nn.Linear], activation: str | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        weight = torch.cat([layer.weight.detach().to(dtype) for layer in layers])
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self.bias = torch.cat([layer.bias.detach().to(dtype) for layer in layers])
        self.name, self.formula = ("none", "") if activation is None else _FUSED[activation]

    def forward(self, x: Tensor) -> Tensor:
        """[T, inputs] of any type -> [T, outputs of all layers] of the type of the layer."""
        multiply = torch.ops.mkldnn._linear_pointwise.default
        y: Tensor = multiply(x.to(self.bias.dtype), self.weight, self.bias, self.name, [], self.formula)
        return y


class Dense(nn.Module):
    """One or more dense layers with the same input, on any device, with weights in PyTorch's own layout."""

    def __init__(self, layers: Sequence[nn.Linear], activation: str | None = None) -> None:
        super().__init__()
        self.weight, self.bias = layers[0].weight, layers[0].bias
        if len(layers) > 1:
            self.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
            self.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), requires_grad=False)
        self.activation = nn.Identity() if activation is None else ACTIVATION[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """[T, inputs] -> [T, outputs of all layers]."""
        y: Tensor = self.activation(F.linear(x, self.weight, self.bias))
        return y


class FusedSelfAttention(nn.Module):
    """Self-attention whose queries, keys and values are one product. It returns no weights, and keeps nothing for next steps."""

    def __init__(self, own: BertSelfAttention, product: nn.Module) -> None:
        super().__init__()
        self.own, self.product = own, product
        del own.query, own.key, own.value

    def forward(self, x: Tensor, call: LayerCall) -> tuple[Tensor, None]:
        """[T, H] -> [T, A * D], and None for the weights."""
        absolute = self.own.position_embedding_type == "absolute"
        y = self.product(x) if absolute else self.product(x).to(x.dtype)  # as the embeddings of distances
        q, k, v = y.unflatten(-1, (3, -1, self.own.head_size)).unbind(-3)
        bias = None if absolute else self.own.distance_bias(q, k, call.layout)
        return call.attend(q, k, v, call.layout, bias, 0.0).flatten(-2), None


def can_prepare(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether there are `Prepared` layers of a type of numbers: on a CPU, float32, and bfloat16 if oneDNN has its products."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    half = dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return bool(half) or dtype == torch.float32


def prepared(model: Any, product: Callable[..., nn.Module] = Prepared) -> Any:
    """A copy of a model for inference, with other dense layers. It shares all other parameters with the model.

    product: makes the layer of some dense layers with the same input, and of the name of an activation.
    """
    twin = copied(model)
    for layer in twin.base_model.encoder.layer:
        own, output = layer.attention.self, layer.attention.output
        layer.attention.self = FusedSelfAttention(own, product([own.query, own.key, own.value]))
        output.dense = product([output.dense])
        layer.intermediate = product([layer.intermediate.dense], twin.config.hidden_act)
        layer.output.dense = product([layer.output.dense])
    return twin
