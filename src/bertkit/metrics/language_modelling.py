"""How well hidden words are guessed: loss, (pseudo-)perplexity and accuracy, from sums."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertkit.errors import UsageError
from bertkit.metrics.counts import ratio
from bertkit.metrics.inputs import IGNORED, Numbers, as_array, number_array, numeric

UNDEFINED = float("nan")
"""The loss of nothing; 0 would be a perfect one."""

_ROWS = 256
"""That many rows of logits at once are brought to double precision: 60 MB with BERT's vocabulary."""


class LanguageModelling:
    """The scores of a masked or causal language model over a stream of batches. It keeps four numbers.

    >>> scores = LanguageModelling()
    >>> scores.update([[2.0, 0.0], [0.0, 0.0], [9.0, 9.0]], [0, 1, -100])
    >>> {name: round(value, 4) for name, value in scores.compute().items()}
    {'loss': 0.41, 'perplexity': 1.5069, 'accuracy': 0.5, 'tokens': 2}
    """

    def __init__(self) -> None:
        self._log_likelihood = 0.0
        self._tokens = 0
        self._guessed = 0
        self._right = 0

    def update(self, logits: ArrayLike, references: ArrayLike) -> None:
        """Take in a batch.

        Args:
            logits: [..., V], of any type of floating-point numbers.
            references: [...], ids of words; -100 does not count.
        """
        rows, targets = _counted(logits, references)
        self.add(_gathered(rows, targets))
        self._guessed += len(targets)
        self._right += int((rows.argmax(axis=-1) == targets).sum())

    def add(self, log_likelihoods: ArrayLike) -> None:
        """Take in log-probabilities of words where they were computed elsewhere; without an `accuracy`."""
        values = number_array(log_likelihoods, "log_likelihoods")
        self._log_likelihood += float(values.sum())
        self._tokens += values.size

    def compute(self) -> dict[str, float]:
        """`loss` (a mean a token), `perplexity`, `accuracy` and `tokens` of all that came."""
        loss = -self._log_likelihood / self._tokens if self._tokens else UNDEFINED
        accuracy = {"accuracy": ratio(self._right, self._guessed)} if self._guessed == self._tokens else {}
        return {"loss": loss, "perplexity": _exp(loss), **accuracy, "tokens": self._tokens}


def log_likelihoods(logits: ArrayLike, references: ArrayLike) -> Numbers:
    """The log-probability of each word that counts, one after the other.

    >>> log_likelihoods([[0.0, 0.0], [9.0, 9.0]], [1, -100]).round(4).tolist()
    [-0.6931]

    Args:
        logits: [..., V].
        references: [...], ids of words; -100 does not count.
    """
    return _gathered(*_counted(logits, references))


def perplexity(log_likelihoods: ArrayLike) -> float:
    """Among how many words, all equally likely, the model chooses on average: exp of minus the mean.

    Where each log-probability is of a word given those before it, this is the perplexity. Where it is of a word that was hidden
    alone, given all others, it is the pseudo-perplexity of a masked language model; over many texts, put their words together.

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
    """Rows of logits [N, V] with the word [N] that each should have found."""
    scores, targets = numeric(logits, "logits"), as_array(references, "references")
    if not targets.size and not scores.size:
        return np.empty((0, 1)), np.empty(0, np.int64)
    if scores.shape[:-1] != targets.shape or (targets.size and targets.dtype.kind not in "iu"):
        raise UsageError(
            f"logits have the shape {scores.shape} and references {targets.shape}, of type {targets.dtype}. "
            "A row of logits for each reference is accepted, and references are ids."
        )
    counts = targets != IGNORED
    rows, ids = scores[counts], targets[counts].astype(np.int64)
    if ids.size and (ids.min() < 0 or ids.max() >= rows.shape[-1]):
        raise UsageError(
            f"references go from {ids.min()} to {ids.max()}, and logits are for ids from 0 to {rows.shape[-1] - 1}. "
            f"Accepted besides: {IGNORED} for words that do not count."
        )
    return rows, ids


@np.errstate(invalid="ignore")
def _gathered(rows: NDArray[np.generic], targets: NDArray[np.int64]) -> Numbers:
    """The logarithms of the softmax at the targets, some rows at a time."""
    found = np.empty(len(targets))
    for start in range(0, len(targets), _ROWS):
        part = slice(start, start + _ROWS)
        block = rows[part].astype(np.float64)
        block -= block.max(axis=-1, keepdims=True)  # so that exp cannot overflow
        of_target = np.take_along_axis(block, targets[part, None], axis=-1)[:, 0]
        found[part] = of_target - np.log(np.exp(block).sum(axis=-1))
    return found
