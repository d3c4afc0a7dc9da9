"""Copies of a model that share its parameters, and have other layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def copied(module: Any, change: Callable[[Any], Any] = lambda module: module) -> Any:
    """A copy of a module that shares its parameters, and whose submodules can be replaced.

    change: returns what replaces a module inside, or the module itself.
    """
    twin = copy.copy(module)
    twin._modules = {
        name: None if child is None else change(copied(child, change)) for name, child in module._modules.items()
    }
    return twin


class SmallProduct(nn.Module):
    """A dense layer for few rows on a CPU, by oneDNN with the weight as it is.

    torch.nn.Linear calls another library, which took up to four times as long for 1 to 64 rows on an AMD CPU with AVX2.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]. Gradients are not computed."""
        multiply = torch.ops.mkldnn._linear_pointwise.default
        y: Tensor = multiply(x, self.weight, self.bias, "none", [], "")
        return y


def for_few_rows(model: Any) -> Any:
    """A copy of a model for batches of few tokens: on a CPU its float32 dense layers are `SmallProduct`."""
    if not torch.backends.mkldnn.is_available() or torch.is_autocast_enabled("cpu"):
        return model
    return copied(model, lambda module: SmallProduct(module) if _is_plain(module) else module)


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is a dense layer with a plain parameter in float32 on the CPU, without hooks or a forward of its own."""
    if type(module) is not nn.Linear or type(module.weight) is not nn.Parameter or "forward" in vars(module):
        return False
    if module.weight.device.type != "cpu" or module.weight.dtype != torch.float32:
        return False
    everywhere = torch.nn.modules.module
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return not any((*hooks, everywhere._global_forward_hooks, everywhere._global_forward_pre_hooks))
