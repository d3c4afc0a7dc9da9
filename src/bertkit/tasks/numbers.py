"""Functions on arrays that several tasks use."""

from __future__ import annotations

from numbers import Real
from typing import Literal

import numpy as np

from bertkit.tensors import Array

Merge = Literal["mean", "max", "first", "vote"]
MERGES = ("mean", "max", "first", "vote")


def is_number(value: object) -> bool:
    """Return whether a value is a real number, and not a boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)


def softmax(logits: Array) -> Array:
    """Return the softmax along the last axis, in float32 or a wider type."""
    logits = np.asarray(logits, np.result_type(logits, np.float32))
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = exponents / exponents.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: Array) -> Array:
    """Return the sigmoid of each logit, without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(logits))
    return np.where(np.asarray(logits) >= 0, 1 / (1 + small), small / (1 + small))


def log_softmax(logits: Array) -> Array:
    """Return the logarithm of the softmax along the last axis."""
    logits = np.asarray(logits, np.result_type(logits, np.float32))
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def largest(scores: Array, count: int) -> list[int]:
    """Return the indices of the largest scores in descending order. Of equal scores, the lower index is first.

    >>> largest(np.array([0.1, 0.5, 0.2, 0.5]), 3)
    [1, 3, 2]
    """
    if count < len(scores) // 4:
        least = np.partition(scores, len(scores) - count)[len(scores) - count] if count else np.inf
        some = np.flatnonzero(scores >= least)
    else:
        some = np.arange(len(scores))
    best: list[int] = some[np.argsort(-scores[some], kind="stable")][:count].tolist()
    return best


def merged(logits: Array, how: Merge) -> Array:
    """Combine the logits of windows [W, C] to the logits of their text [C].

    With "vote" each result is the logarithm of the share of windows in which that label is the best.
    """
    if len(logits) == 1 or how == "first":
        return np.asarray(logits[0])
    if how == "vote":
        votes = np.bincount(logits.argmax(axis=-1), minlength=logits.shape[-1]) / len(logits)
        return np.log(np.maximum(votes, 1e-12)).astype(np.float32)
    return np.asarray(logits.mean(axis=0) if how == "mean" else logits.max(axis=0))
