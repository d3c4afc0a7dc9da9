"""Initial weights with which the heads of the first layer attend to nearby tokens.

With random weights, every head attends to all tokens equally, and a model learns only which words are frequent in the text.
This can take most of a short run, because a masked word becomes predictable only when a head finds its neighbours. Here positions
are waves (a sine and a cosine for each frequency), and a head finds the token at a distance from the start: its keys have the
waves of a position, and its queries those of the position at the distance. All weights are trained as usual.
"""

from __future__ import annotations

import math
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor

from bertkit.config import BertConfig
from bertkit.parameters import kept_heads

_SHARE = 0.7
"""The share of positions in the variance of the embeddings. The rest is that of words and token types."""

_SCORE = 6.0
"""The score of the token at the distance, before the softmax. Scores of others are around zero."""

_DISTANCES = (-1, 1, -2, 2)
"""The distances of the heads, from the first head on, in turn."""

_LONGEST = 20
"""The length of the longest wave in queries and keys. Longer ones do not tell neighbours apart."""


def can_start_nearby(config: BertConfig) -> bool:
    """Whether the model has embeddings of positions, and a layer.

    >>> can_start_nearby(BertConfig()), can_start_nearby(BertConfig(position_embedding_type="relative_key"))
    (True, False)
    """
    return config.position_embedding_type == "absolute" and config.num_hidden_layers > 0


@torch.no_grad()
def start_nearby(model: Any) -> None:
    """Change the initial embeddings of positions, and add to the queries and keys of the first layer.

    Args:
        model: a new model of the PyTorch classes, for which `can_start_nearby` is true.
    """
    config, base = model.config, model.base_model
    waves = config.hidden_size // 2
    frequencies = math.pi * 10000.0 ** -(torch.arange(waves) / waves)  # [waves]
    positions = base.embeddings.position_embeddings.weight  # [positions, hidden]
    positions.zero_()
    positions[:, : 2 * waves] = _waves(torch.arange(len(positions)), frequencies)
    positions *= config.initializer_range * math.sqrt(2 * _SHARE / (1 - _SHARE))

    layer, heads = base.encoder.layer[0].attention.self, len(kept_heads(config, 0))
    width = config.hidden_size // config.num_attention_heads
    short = int((frequencies > 2 * math.pi / _LONGEST).sum())
    chosen = torch.linspace(0, short - 1, width // 2).round().long()  # the waves of a head
    gain = math.sqrt(_SCORE * math.sqrt(width) / max(width // 2, 1) / (2 * _SHARE))
    queries, keys = (x.weight.view(heads, width, config.hidden_size) for x in (layer.query, layer.key))
    for head, distance in enumerate(islice(cycle(_DISTANCES), heads)):
        for row, wave in enumerate(chosen.tolist()):
            rows, columns = slice(2 * row, 2 * row + 2), slice(2 * wave, 2 * wave + 2)
            keys[head, rows, columns] += gain * torch.eye(2)
            queries[head, rows, columns] += gain * _turn(float(frequencies[wave]) * distance)


def _waves(positions: Tensor, frequencies: Tensor) -> Tensor:
    """The sine and cosine of each frequency, next to each other: [positions, 2 * waves]."""
    angles = positions[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def _turn(angle: float) -> Tensor:
    """The matrix that turns the sine and cosine of x into those of x + angle."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return torch.tensor([[cosine, sine], [-sine, cosine]])
