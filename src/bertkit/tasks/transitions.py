"""Find the best valid sequence of labels in a scheme such as BIO or BIOES, with the Viterbi algorithm."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import Setting, UsageError
from bertkit.metrics.schemes import OUTSIDE, Scheme, scheme_of

_NEVER = -1e30


def best_path(scores: NDArray[Any], names: Mapping[int, str]) -> list[int]:
    """Return the valid sequence of labels with the largest product of probabilities.

    >>> names = {0: "O", 1: "B-PER", 2: "I-PER"}
    >>> best_path(np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]), names)
    [1, 2]
    """
    if not len(scores):
        return []
    allowed, first, last = transitions(tuple(names[index] for index in range(len(names))))
    logs = np.log(np.maximum(np.asarray(scores, np.float64), 1e-300))
    total = np.where(first, logs[0], _NEVER)
    sources_of = []
    for step in logs[1:]:
        through = total[:, None] + np.where(allowed, 0.0, _NEVER)
        sources_of.append(through.argmax(axis=0))
        total = through.max(axis=0) + step
    path = [int(np.where(last, total, total + _NEVER).argmax())]
    for sources in reversed(sources_of):
        path.append(int(sources[path[-1]]))
    return path[::-1]


def transitions(names: tuple[str, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which label may follow which [C, C], which labels may be first [C], and which may be last [C]."""
    scheme = scheme_for(names)
    tags = [scheme.tag(name) or OUTSIDE for name in names]
    allowed = np.array([[scheme.may_follow(before, tag) for tag in tags] for before in tags])
    first = np.array([scheme.may_follow(OUTSIDE, tag) for tag in tags])
    last = np.array([scheme.may_follow(tag, OUTSIDE) for tag in tags])
    return allowed, first, last


def scheme_for(names: Collection[str]) -> Scheme:
    """Return the scheme of a model's labels."""
    scheme = scheme_of(names)
    if scheme is None:
        raise UsageError(
            Setting("constrained", True),
            f" needs labels in BIO or BIOES, but the labels are {', '.join(names)}: leave constrained out.",
        )
    return scheme
