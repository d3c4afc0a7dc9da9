"""Metrics for language modelling: loss, (pseudo-)perplexity and accuracy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertkit.errors import UsageError
from bertkit.metrics.counts import ratio
from bertkit.metrics.inputs import IGNORED, Numbers, as_array, number_array, numeric

UNDEFINED = float("nan")
"""The loss without tokens, as 0 would mean a perfect model."""

_ROWS = 256
"""Number of rows of logits to convert to double precision at once: 60 MB with BERT's vocabulary."""


class LanguageModelling:
    """Metrics of a masked or causal language model over a stream of batches. Only four numbers are kept.

    >>> scores = LanguageModelling()
    >>> scores.update([[2.0, 0.0], [0.0, 0.0], [9.0, 9.0]], [0, 1, -100])
    >>> {name: round(value, 4) for name, value in scores.compute().items()}
    {'loss': 0.41, 'perplexity': 1.5069, 'accuracy': 0.5, 'tokens': 2}
    """

    def __init__(self) -> None:
        self._log_likelihood = 0.0
        self._tokens = 0
        self._predicted = 0
        self._right = 0

    def update(self, logits: ArrayLike, references: ArrayLike) -> None:
        """Add a batch.

        Args:
            logits: [..., V], of any floating-point dtype.
            references: [...], ids of tokens; -100 is ignored.
        """
        rows, targets = _counted(logits, references)
        self.add(_gathered(rows, targets))
        self._predicted += len(targets)
        self._right += int((rows.argmax(axis=-1) == targets).sum())

    def add(self, log_likelihoods: ArrayLike) -> None:
        """Add log probabilities of tokens that were computed elsewhere. `compute` then returns no `accuracy`."""
        values = number_array(log_likelihoods, "log_likelihoods")
        self._log_likelihood += float(values.sum())
        self._tokens += values.size

    def compute(self) -> dict[str, float]:
        """Return `loss` (the mean over tokens), `perplexity`, `accuracy` and the number of `tokens`."""
        loss = -self._log_likelihood / self._tokens if self._tokens else UNDEFINED
        accuracy = {"accuracy": ratio(self._right, self._predicted)} if self._predicted == self._tokens else {}
        return {"loss": loss, "perplexity": _exp(loss), **accuracy, "tokens": self._tokens}


def log_likelihoods(logits: ArrayLike, references: ArrayLike) -> Numbers:
    """Return the log probability of each token whose reference is not -100 [N].

    >>> log_likelihoods([[0.0, 0.0], [9.0, 9.0]], [1, -100]).round(4).tolist()
    [-0.6931]

    Args:
        logits: [..., V].
        references: [...], ids of tokens; -100 is ignored.
    """
    return _gathered(*_counted(logits, references))


def perplexity(log_likelihoods: ArrayLike) -> float:
    """Return the perplexity: exp of the negative mean log probability.

    If each log probability is of a token given the tokens before it, this is the perplexity of a causal language model. If it is
    of a masked token given all others, this is the pseudo-perplexity of a masked language model. For several texts, pass all log
    probabilities together.

    >>> round(perplexity([-0.6931, -0.6931]), 3)
    2.0
    """
    values = number_array(log_likelihoods, "log_likelihoods")
    return _exp(-float(values.mean())) if values.size else UNDEFINED


def _exp(loss: float) -> float:
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _counted(logits: ArrayLike, references: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Return rows of logits [N, V] and their target ids [N], without ignored positions."""
    scores, targets = numeric(logits, "logits"), as_array(references, "references")
    if not targets.size and not scores.size:
        return np.empty((0, 1)), np.empty(0, np.int64)
    if scores.shape[:-1] != targets.shape or (targets.size and targets.dtype.kind not in "iu"):
        raise UsageError(
            f"logits have the shape {scores.shape} and references {targets.shape}, of type {targets.dtype}. "
            "Pass a row of logits for each reference; references are ids."
        )
    counts = targets != IGNORED
    rows, ids = scores[counts], targets[counts].astype(np.int64)
    if ids.size and (ids.min() < 0 or ids.max() >= rows.shape[-1]):
        raise UsageError(
            f"references are from {ids.min()} to {ids.max()}, but logits are for ids from 0 to {rows.shape[-1] - 1}. "
            f"Use {IGNORED} for tokens to ignore."
        )
    return rows, ids


@np.errstate(invalid="ignore")
def _gathered(rows: NDArray[np.generic], targets: NDArray[np.int64]) -> Numbers:
    """Return the log probability of each target [N], some rows at a time to save memory."""
    found = np.empty(len(targets))
    for start in range(0, len(targets), _ROWS):
        part = slice(start, start + _ROWS)
        block = rows[part].astype(np.float64)
        block -= block.max(axis=-1, keepdims=True)  # avoids overflow in exp
        of_target = np.take_along_axis(block, targets[part, None], axis=-1)[:, 0]
        found[part] = of_target - np.log(np.exp(block).sum(axis=-1))
    return found
