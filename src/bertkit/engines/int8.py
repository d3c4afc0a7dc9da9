"""Dense layers of the PyTorch engine with 8-bit numbers, on a CPU.

A weight has a scale for each output, and an input has a scale for each token, so that an answer does not depend on the other
texts of its batch. A trained BERT has a few channels with much larger numbers than the rest, which would take the range of a
token for themselves. So each channel is divided by a factor, and the weights that it meets are multiplied by it. The factor is
the geometric mean of what makes the channel, and what makes its weights as large as those of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from bertkit.engines.prepared import prepared
from bertkit.errors import Setting, UsageError
from bertkit.models.torch.model import ACTIVATION

_BLOCK = 512
"""The number of tokens whose intermediate results stay in the cache of a CPU."""

_TINY = 1e-12

_SHAPES = ((1, 64, 16), (16, 64, 16), (512, 768, 64))
"""Tokens, inputs and outputs of the products that are tried: oneDNN has different code for few and for many."""

_ZERO = 128
"""The unsigned number of zero. Without AMX, oneDNN has no fast product of signed inputs on CPUs with AVX-512."""

_SEED, _SAMPLE = 0, (16, 64)
"""The sentences of random tokens, and their length, that measure how large the numbers of a channel are."""


@cache
def largest_integer() -> int:
    """The largest 8-bit number of a weight.

    It is 127 if the CPU adds products of 8-bit numbers as 32-bit ones. Older CPUs add two of them as 16-bit numbers, which is
    exact only with weights of 7 bits: 2 * 255 * 63 < 2**15.
    """
    try:
        exact = {most: all(_is_exact(most, *shape) for shape in _SHAPES) for most in (127, 63)}
    except (AttributeError, RuntimeError) as error:
        raise UsageError(
            "PyTorch has no 8-bit products for this CPU: type ", Setting("precision", "fp32"), "."
        ) from error
    if not any(exact.values()):
        raise UsageError(
            "The 8-bit products of PyTorch are not exact on this CPU: type ", Setting("precision", "fp32"), "."
        )
    return 127 if exact[127] else 63


def _is_exact(most: int, tokens: int, inputs: int, outputs: int) -> bool:
    """Whether the CPU multiplies the largest 8-bit numbers exactly, with a weight of `most`."""
    x = torch.full((tokens, inputs), _ZERO + 127, dtype=torch.uint8)
    weight = torch.full((outputs, inputs), most, dtype=torch.int8)
    y = _multiply(x, _packed(weight), torch.ones(outputs), torch.zeros(outputs, dtype=torch.int32))
    return bool((y == 127 * most * inputs).all())


class Int8(nn.Module):
    """One or more dense layers with the same input, followed by an activation."""

    def __init__(self, sizes: dict[Tensor, Tensor], layers: Sequence[nn.Linear], activation: str | None = None) -> None:
        super().__init__()
        weight = torch.cat([layer.weight.detach() for layer in layers])
        self.balance = (_floored(weight.abs().amax(0)) / _floored(sizes[layers[0].weight])).sqrt()  # [inputs]
        weight = weight / self.balance
        self.scales = weight.abs().amax(1).clamp(min=_TINY) / largest_integer()  # [outputs]
        self.weight = _packed((weight / self.scales[:, None]).round().to(torch.int8))
        self.zeros = torch.zeros(len(weight), dtype=torch.int32)
        self.bias = torch.cat([layer.bias.detach() for layer in layers])
        self.activation = None if activation is None else ACTIVATION[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """[T, inputs] -> [T, outputs of all layers]."""
        y = x.new_empty(*x.shape[:-1], len(self.bias))
        for some, result in zip(
            torch.split(x.flatten(0, -2), _BLOCK), torch.split(y.flatten(0, -2), _BLOCK), strict=True
        ):
            balanced = some * self.balance
            scale = balanced.abs().amax(1, keepdim=True).mul_(1 / 127).clamp_(min=_TINY)  # [t, 1]
            signed = balanced.div_(scale).round_().to(torch.int8)  # PyTorch is 8 times as slow from float to uint8
            unsigned = signed.view(torch.uint8).add_(_ZERO)  # modulo 256
            product = _multiply(unsigned, self.weight, self.scales, self.zeros)
            torch.addcmul(self.bias, product, scale, out=result)
            if self.activation is not None:
                result.copy_(self.activation(result))
        return y


def _floored(sizes: Tensor) -> Tensor:
    """Sizes of channels, at least a hundredth of their mean: what is zero for random tokens may be large for real ones."""
    return sizes.clamp(min=max(float(sizes.mean()) / 100, _TINY))


def quantized(model: Any) -> Any:
    """A copy of a float32 model for inference, with `Int8` layers. It shares all other parameters with the model."""
    return prepared(model, partial(Int8, channel_sizes(model)))


def channel_sizes(model: Any) -> dict[Tensor, Tensor]:
    """{weight of a dense layer: the largest magnitude in each channel of its input, [inputs]}, for sentences of random tokens."""
    sizes: dict[Tensor, Tensor] = {}

    def record(layer: nn.Linear, inputs: tuple[Tensor]) -> None:
        found = inputs[0].detach().abs().flatten(0, -2)
        sizes[layer.weight] = found.nan_to_num(0, 0, 0).amax(0)  # without NaN and infinity in rows of the table

    config, (rows, length) = model.config, _SAMPLE
    shape = (rows, min(length, config.max_position_embeddings))
    ids = torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(_SEED))
    layers = [module for module in model.base_model.encoder.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_pre_hook(record) for layer in layers]
    try:
        with torch.inference_mode():
            model.base_model(ids, return_dict=True)
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


def _packed(weight: Tensor) -> Tensor:
    """An 8-bit weight [outputs, inputs] in oneDNN's own layout."""
    packed: Tensor = torch.ops.onednn.qlinear_prepack(weight, [_BLOCK, weight.shape[1]])
    return packed


def _multiply(x: Tensor, weight: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """[t, inputs], unsigned, and a packed weight -> [t, outputs] as float32, times the scale of each output."""
    multiply = torch.ops.onednn.qlinear_pointwise.default
    y: Tensor = multiply(x, 1.0, _ZERO, weight, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")
    return y
