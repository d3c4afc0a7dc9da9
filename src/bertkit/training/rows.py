"""Gradients of few rows: those of a word embedding, of which a step reads a few hundred rows.

By default, PyTorch makes such a gradient as large as the vocabulary. To fill it with zeros, and to read it for its norm, can
cost a quarter of a step of a small model. Here the gradient has the rows of the words of a step only, and the updates are the
same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

_PART = 2**18
"""Numbers of a matrix that are updated at a time: with their gradient and moments, they fit into the cache of a core."""


@contextmanager
def word_rows(model: Any) -> Iterator[None]:
    """Within this, gradients of the word embedding have the rows of the words that a forward reads.

    Has no effect if the embedding is also the vocabulary projection, whose gradient has all rows.
    """
    words = model.get_input_embeddings()
    shared = sum(own is getattr(words, "weight", None) for _, own in model.named_parameters(remove_duplicate=False)) > 1
    if shared or type(words) is not nn.Embedding or words.sparse:
        yield
        return
    words.sparse = True
    try:
        yield
    finally:
        words.sparse = False


def clip(parameters: Iterable[nn.Parameter], most: float) -> Tensor:
    """Scale gradients so that their norm is at most `most`, and return the norm that they had."""
    own = [parameter for parameter in parameters if parameter.grad is not None]
    for parameter in own:
        if parameter.grad.is_sparse:  # type: ignore[union-attr]
            parameter.grad = parameter.grad.coalesce()  # type: ignore[union-attr]
    gradients = [_numbers(parameter.grad) for parameter in own]
    norm = nn.utils.get_total_norm(gradients)
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    if most < math.inf:
        torch._foreach_mul_(gradients, factor)
    return norm


def _numbers(gradient: Any) -> Tensor:
    found: Tensor = gradient.values() if gradient.is_sparse else gradient
    return found


class RowAdamW(torch.optim.AdamW):
    """Fused AdamW, also for gradients of few rows.

    A matrix with such a gradient is updated in parts, so that its gradient never exists as a whole.

    >>> words = nn.Embedding(9, 4, sparse=True)
    >>> optimizer = RowAdamW(words.parameters(), lr=0.1, fused=True)
    >>> words(torch.tensor([3, 3, 7])).sum().backward()
    >>> optimizer.step()
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters."""
        few = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    few.append((group, parameter, parameter.grad.coalesce()))
                    parameter.grad = None  # the optimizer of PyTorch leaves it out
        loss: float | None = super().step(closure)
        for group, parameter, gradient in few:
            self._update(group, parameter, gradient)
        return loss

    def _update(self, group: dict[str, Any], parameter: nn.Parameter, gradient: Tensor) -> None:
        state = self.state[parameter]
        if not state:
            step = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state.update(step=step, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
        height = max(1, _PART // parameter.shape[1])
        cuts = torch.arange(0, len(parameter) + height, height, device=parameter.device)
        numbers, rows = gradient.indices()[0], gradient.values()
        begins = torch.searchsorted(numbers, cuts).tolist()
        whole = rows.new_zeros(height, parameter.shape[1])
        for at, begin, end in zip(cuts.tolist(), begins, begins[1:], strict=False):
            part, here = slice(at, at + height), numbers[begin:end] - at
            own = whole[: len(parameter[part])]
            own[here] = rows[begin:end]
            step = state["step"].clone()
            adamw(
                [parameter[part]],
                [own],
                [state["exp_avg"][part]],
                [state["exp_avg_sq"][part]],
                [],
                [step],
                foreach=False,
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
            own[here] = 0
        state["step"] += 1
