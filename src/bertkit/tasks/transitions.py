"""The best sequence of labels among those that are valid in BIO or BIOES (Viterbi).

BIO     B-X I-X I-X O B-X        I-X only after B-X or I-X
BIOES   B-X I-X E-X O S-X        and an entity that begins must end
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import Setting, UsageError

_BEGIN, _INSIDE, _END, _SINGLE = ("B",), ("I",), ("E", "L"), ("S", "U")
_NEVER = -1e30


def best_path(scores: NDArray[Any], names: Mapping[int, str]) -> list[int]:
    """The labels of a sequence whose product of probabilities is the largest among those that are valid.

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
    """Which label may follow which [C, C], and which may be the first and the last [C]."""
    parts = [_parts(name) for name in names]
    if not any(prefix in _BEGIN for prefix, _ in parts):
        raise UsageError(
            Setting("constrained", True),
            f" is for labels in BIO or BIOES, and the labels are {', '.join(names)}: leave constrained out.",
        )
    ended = any(prefix in (*_END, *_SINGLE) for prefix, _ in parts)
    allowed = np.array([[_may_follow(before, after, ended) for after in parts] for before in parts])
    first = np.array([_may_follow(("O", ""), part, ended) for part in parts])
    last = np.array([_may_follow(part, ("O", ""), ended) for part in parts])
    return allowed, first, last


def _parts(name: str) -> tuple[str, str]:
    prefix, dash, tag = name.partition("-")
    return (prefix, tag) if dash and prefix in (*_BEGIN, *_INSIDE, *_END, *_SINGLE) else ("O", name)


def _may_follow(before: tuple[str, str], after: tuple[str, str], ended: bool) -> bool:
    is_open = before[0] in (*_BEGIN, *_INSIDE)
    if after[0] in (*_INSIDE, *_END):
        return is_open and before[1] == after[1]
    return not (is_open and ended)
