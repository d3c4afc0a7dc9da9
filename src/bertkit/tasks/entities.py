"""Tokens with the scores of their labels -> words -> entities.

There are two ways from labels to entities. `by_tag` joins neighbours as transformers does: neighbours of the same tag are one
entity, whatever their prefixes, until the next B-. `by_scheme` reads BIO and BIOES as defined, for labels that are valid in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.metrics.schemes import OUTSIDE, Scheme

Entity = dict[str, Any]
Join = Callable[[list[str]], str]


class Unit(NamedTuple):
    """A token, or a word."""

    word: str
    scores: NDArray[Any]  # [C]
    start: int  # in the text
    end: int
    place: int  # of the token in its row
    follows: bool  # whether it continues the word of the token before
    number: int  # of its word


Tagged = tuple[Unit, str, float]


class Group(NamedTuple):
    """Neighbours that are one entity."""

    name: str
    units: list[Unit]
    scores: list[float]

    def entity(self, join: Join) -> Entity:
        """The entity as a dictionary."""
        return {
            "entity_group": self.name,
            "score": sum(self.scores) / len(self.scores),
            "word": join([unit.word for unit in self.units]),
            "start": self.units[0].start,
            "end": self.units[-1].end,
        }


def words_of(units: Sequence[Unit], strategy: str, join: Join) -> list[Unit]:
    """Tokens -> words. The scores of a word are, by the strategy:

    - "first", "words": those of the first token. A word of "words" is one of the text, or of the list of words.
    - "max": those of the token with the highest score.
    - "average": the mean over the tokens.
    """
    groups: list[list[Unit]] = []
    for unit in units:
        continues = unit.number == groups[-1][-1].number if groups and strategy == "words" else unit.follows
        if groups and continues:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return [_word(group, strategy, join) for group in groups]


def _word(group: list[Unit], strategy: str, join: Join) -> Unit:
    first = group[0]
    scores = first.scores
    if strategy == "max":
        scores = max((unit.scores for unit in group), key=lambda scores: scores.max())
    elif strategy == "average" and len(group) > 1:
        scores = np.mean([unit.scores for unit in group], axis=0)
    return first._replace(word=join([unit.word for unit in group]), scores=scores, end=group[-1].end)


def by_tag(tagged: Sequence[Tagged]) -> list[Group]:
    """Neighbours of the same tag; a B- begins the next one.

    Labels that have neither B- nor I- count as inside.
    """
    groups: list[Group] = []
    before = None
    for unit, name, score in tagged:
        begins, tag = name.startswith("B-"), name[2:] if name[:2] in ("B-", "I-") else name
        if groups and tag == before and not begins:
            groups[-1].units.append(unit)
            groups[-1].scores.append(score)
        else:
            groups.append(Group(name.split("-", 1)[-1], [unit], [score]))
        before = tag
    return groups


def by_scheme(tagged: Sequence[Tagged], scheme: Scheme) -> list[Group]:
    """Entities of labels that are valid in a scheme."""
    groups: list[Group] = []
    before = OUTSIDE
    for unit, name, score in tagged:
        tag = scheme.tag(name) or OUTSIDE
        if scheme.continues(before, tag):
            groups[-1].units.append(unit)
            groups[-1].scores.append(score)
        else:
            groups.append(Group(name.partition("-")[2] or name, [unit], [score]))
        before = tag
    return groups
