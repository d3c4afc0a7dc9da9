"""How much the answers of a model in one setting are those in another: labels and words, the numbers beside them, vectors.

An answer has words (a label, a token, the text of an answer) and numbers (a score for each of them), or is a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bertkit.tensors import Array

Kind = Literal["words", "numbers", "vectors"]

_NEAR = 0.01
"""How much numbers may differ that count as the same answer."""

_ENTITY = {"entity", "entity_group"}
"""Fields of the items of a list that is not ranked: all of its items are the answer."""


_ROWS = 256
"""The number of vectors that are compared with all others at once."""

_EQUAL = 1e-6
"""How much two cosines may differ that count as equal."""


@dataclass(frozen=True)
class Agreement:
    """How much some answers are those of a reference."""

    same: (
        float  # share of examples with the same answer: first label or word, all entities, near number, nearest vector
    )
    mean: float  # difference of the numbers
    worst: float
    cosine: float | None = None  # the lowest, of vectors


def agreement(reference: Sequence[Any], answers: Sequence[Any], kind: Kind = "words") -> Agreement:
    """Compare answers with those of a reference, example by example.

    >>> agreement([[{"label": "A", "score": 0.75}]], [[{"label": "A", "score": 0.5}, {"label": "B", "score": 0.5}]])
    Agreement(same=1.0, mean=0.25, worst=0.25, cosine=None)

    Args:
        reference: the answers of the reference.
        answers: the answers to compare, to the same examples.
        kind: "words" such as labels, with numbers beside them; "numbers" such as those of regression; "vectors" [H].
    """
    if kind == "vectors":
        return _of_vectors(np.array(reference, np.float64), np.array(answers, np.float64))  # None in JSON is NaN
    pairs = list(zip(reference, answers, strict=True))
    gaps = [list(_gaps(one, other)) for one, other in pairs]
    same = [_words(one) == _words(other) for one, other in pairs]
    if kind == "numbers":
        same = [equal and max(own, default=0) <= _NEAR for equal, own in zip(same, gaps, strict=True)]
    return Agreement(float(np.mean(same)), *_mean_and_worst(np.array([gap for own in gaps for gap in own])))


def mean_vectors(answers: Sequence[Any]) -> Array:
    """The vector of each answer, [H], or the mean of its vectors, [L, H]: [N, H]."""
    arrays = [np.asarray(answer, np.float64) for answer in answers]
    return np.stack([array.reshape(-1, array.shape[-1]).mean(0) for array in arrays])


def _of_vectors(theirs: Array, own: Array) -> Agreement:
    """Compare vectors [N, H]. The answer of a vector is the nearest other one, in cosine. Any of several equal texts is right."""
    unit, own_unit = _unit(theirs), _unit(own)
    same = []
    for start in range(0, len(unit), _ROWS):
        cosines, own_cosines = (_to_others(x, start) for x in (unit, own_unit))
        chosen = np.take_along_axis(cosines, own_cosines.argmax(1)[:, None], 1)[:, 0]
        same.append(chosen >= cosines.max(1) - _EQUAL)
    gaps, cosine = np.abs(theirs - own), float((unit * own_unit).sum(1).min())
    return Agreement(float(np.mean(np.concatenate(same))), *_mean_and_worst(gaps), cosine)


def _to_others(unit: Array, start: int) -> Array:
    """The cosines of some vectors with all, [_ROWS, N]. That of a vector with itself is -2."""
    cosines: Array = unit[start : start + _ROWS] @ unit.T
    np.fill_diagonal(cosines[:, start:], -2)
    return cosines


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def _mean_and_worst(gaps: Array) -> tuple[float, float]:
    return (round(float(gaps.mean()), 12), round(float(gaps.max()), 12)) if gaps.size else (0.0, 0.0)


def _words(answer: Any) -> Any:
    """The words of an answer, without its numbers. Of a ranked list, these are the words of the first item."""
    if isinstance(answer, Mapping):
        ranked = isinstance(answer.get("scores"), list)
        return answer["labels"][0] if ranked else tuple(_words(answer[name]) for name in sorted(answer))
    if isinstance(answer, (list, tuple)):
        if answer and all(isinstance(one, float) for one in answer):
            return int(np.argmax(answer))
        ranked = all(isinstance(one, Mapping) and not _ENTITY & one.keys() for one in answer)
        return tuple(map(_words, answer[:1] if ranked else answer))
    return None if isinstance(answer, float) else answer


def _gaps(reference: Any, answer: Any) -> Iterator[float]:
    """The differences of the numbers that stand beside the same words."""
    theirs, own = dict(_numbers(reference)), dict(_numbers(answer))
    return (abs(theirs[name] - own[name]) for name in theirs if name in own)


def _numbers(answer: Any, name: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], float]]:
    """Yield each number with what names it: the words beside it, and the field that it is in."""
    if isinstance(answer, float):
        yield name, answer
    elif isinstance(answer, Mapping):
        yield from _numbers_of_fields(answer, name)
    elif isinstance(answer, (list, tuple)):
        for place, one in enumerate(answer):
            yield from _numbers(one, name if isinstance(one, Mapping) else (*name, place))


def _numbers_of_fields(answer: Mapping[str, Any], name: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], float]]:
    labels, scores = answer.get("labels"), answer.get("scores")
    if isinstance(labels, list) and isinstance(scores, list):
        yield from (((*name, label), score) for label, score in zip(labels, scores, strict=True))
        return
    beside = tuple(value for _, value in sorted(answer.items()) if isinstance(value, (str, int)))
    for field, value in answer.items():
        yield from _numbers(value, (*name, *beside, field))
