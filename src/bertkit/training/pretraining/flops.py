"""The operations of a model for a batch, and how many a device can do in a second.

Counted are the products of matrices, two operations for each multiplication. A step costs three forward passes: one forward, and
twice as much backward. What gradient checkpointing computes again does not count.
"""

from __future__ import annotations

import time

import torch

from bertkit.config import BertConfig
from bertkit.data.batches import Batch

_LARGEST = 8192  # side of the matrices


def step_flops(config: BertConfig, batch: Batch, pairs: bool = True, whole: bool = False) -> float:
    """Return the operations of a step on a batch.

    The end of the last layer and the head are computed at masked tokens and, with `pairs`, at the first token of each row.

    >>> import numpy as np
    >>> from bertkit.data.batches import Row, pack
    >>> batch = pack([Row(np.arange(10), np.zeros(10, int), np.array([3]))])
    >>> step_flops(BertConfig.named("tiny"), batch)
    40461312.0

    Args:
        config: the configuration of the model.
        batch: the batch, with its masked positions.
        pairs: whether there is a loss of the next sentence.
        whole: whether the last layer is computed for all tokens.
    """
    hidden, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    tokens, squares = float(batch.lengths.sum()), float((batch.lengths**2).sum())
    rows = float(len(batch.lengths)) if pairs else 0.0
    masked = float(0 if batch.positions is None else len(batch.positions))
    ends = tokens if whole else masked + rows  # tokens whose last layer is computed to the end
    of_token = 2 * hidden * hidden + 4 * hidden * wide  # output of attention, feed-forward
    total = layers * (6 * hidden * hidden * tokens + 4 * hidden * squares)
    total += of_token * ((layers - 1) * tokens + ends)
    total += masked * (2 * hidden * hidden + 2 * hidden * config.vocab_size)
    total += rows * (2 * hidden * hidden + 4 * hidden)
    return 3 * total


def matrix_limit(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Return the operations per second of a large product of matrices: the most that a model can reach.

    The matrices grow until a product takes a tenth of the time. No random numbers are drawn, so that a run does not depend on the
    measurement.

    Args:
        device: the device.
        dtype: the type of the numbers.
        seconds: the time to measure.
    """
    size, best, spent = 128, 0.0, 0.0
    first = torch.ones(size, size, device=device, dtype=dtype)
    float((first @ first)[0, 0])  # the first product of a process also loads and prepares the library
    while spent < seconds:
        left = torch.full((size, size), 0.5, device=device, dtype=dtype)
        start = time.perf_counter()
        float((left @ left)[0, 0])  # waits for a GPU
        taken = max(time.perf_counter() - start, 1e-9)
        best, spent = max(best, 2 * size**3 / taken), spent + taken
        if taken < seconds / 10 and size < _LARGEST:
            size *= 2
    return best
