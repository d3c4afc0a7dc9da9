"""The cross-entropy of words over a large vocabulary, computed for some positions at a time.

The usual way holds the logits of all positions, their float32 copy, their probabilities and their gradients: four tensors [M, V].
Here the forward pass goes over chunks of positions. For each it computes logits, loss, and already the gradients of states,
weight and bias, and drops the logits. The backward pass only scales these gradients.

M masked tokens   C positions of a chunk   H hidden   V vocabulary
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_ELEMENTS = {"cpu": 2**23, "cuda": 2**26}
"""The most logits that exist at a time. On a GPU small products are slow."""


def word_loss(states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of words, 0 without positions. It never holds a tensor [M, V].

    Within autocast the products are computed in its type. Softmax, loss and the sums of gradients are float32.

    >>> states, weight, bias = torch.ones(2, 3), torch.eye(4, 3), torch.zeros(4)
    >>> labels = torch.tensor([0, 3])
    >>> torch.allclose(word_loss(states, weight, bias, labels), torch.nn.functional.cross_entropy(states @ weight.T, labels))
    True

    Args:
        states: [M, H].
        weight: the vocabulary projection [V, H].
        bias: [V].
        labels: the true words [M].
    """
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    loss: Tensor = _WordLoss.apply(states, weight, bias, labels, dtype, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return loss


@torch.no_grad()
def word_scores(states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log probabilities of the true words [M], and the most probable words [M].

    >>> word_scores(torch.ones(1, 2), torch.eye(3, 2), torch.zeros(3), torch.tensor([1]))[0].exp().round(decimals=2)
    tensor([0.4200])
    """
    scores, best = [states.new_empty(0, dtype=torch.float32)], [labels[:0]]
    for some in _chunks(states, weight):
        logs = (states[some] @ weight.to(states.dtype).T + bias.to(states.dtype)).log_softmax(-1, torch.float32)
        scores.append(logs.gather(1, labels[some, None])[:, 0])
        best.append(logs.argmax(-1))
    return torch.cat(scores), torch.cat(best)


def _chunks(states: Tensor, weight: Tensor) -> Iterator[slice]:
    """Yield slices of the positions, of nearly equal sizes."""
    count, most = len(states), max(_ELEMENTS.get(states.device.type, 2**23) // len(weight), 1)
    size = -(-count // max(-(-count // most), 1)) or 1
    return (slice(at, min(at + size, count)) for at in range(0, count, size))


class _WordLoss(torch.autograd.Function):
    """`word_loss`, with the gradients made in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        dtype: torch.dtype,
        needs_gradients: bool,
    ) -> Tensor:
        total = states.new_zeros((), dtype=torch.float32)
        scale = 1 / max(len(states), 1)
        x, words, shift = states.to(dtype), weight.to(dtype), bias.to(dtype)
        gradients = _Gradients(states, weight, bias) if needs_gradients else None
        for some in _chunks(states, weight):
            logits = torch.addmm(shift, x[some], words.T)  # [C, V]
            logs = logits.log_softmax(-1, torch.float32)
            total -= logs.gather(1, labels[some, None]).sum()
            if gradients is not None:
                slope = logs.exp_()  # the probabilities, less 1 at the true word
                slope[torch.arange(len(slope), device=slope.device), labels[some]] -= 1
                gradients.add(some, slope.mul_(scale), x, words)
        if gradients is not None:
            ctx.save_for_backward(gradients.states, gradients.weight, gradients.bias)
        return total * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        return (*(gradient * slopes[0] for gradient in ctx.saved_tensors), None, None, None)


class _Gradients:
    """The gradients of states, weight and bias, which grow chunk by chunk."""

    def __init__(self, states: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.states, self.weight, self.bias = torch.empty_like(states), torch.zeros_like(weight), torch.zeros_like(bias)

    def add(self, some: slice, slope: Tensor, x: Tensor, words: Tensor) -> None:
        """Add a chunk. slope: the gradient of its logits [C, V], float32. x, words: states and weight as they were multiplied."""
        self.bias += slope.sum(0)
        slope = slope.to(x.dtype)
        self.states[some] = slope @ words
        if x.dtype == self.weight.dtype:
            self.weight.addmm_(slope.T, x[some])
        else:
            self.weight += slope.T @ x[some]
