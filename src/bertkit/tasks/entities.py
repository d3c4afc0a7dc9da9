"""Tokens with the scores of their labels -> words -> entities.

Two ways lead from labels to entities. `by_tag` joins neighbours as transformers does: the same tag, whatever its prefix, goes
on until a B- begins anew. `by_scheme` reads BIO and BIOES as they are meant, and is for labels that keep to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Entity = dict[str, Any]
Join = Callable[[list[str]], str]


class Unit(NamedTuple):
    """A token, or a word."""

    word: str
    scores: NDArray[Any]  # [C]
    start: int  # in the text
    end: int
    place: int  # of the token in its row
    follows: bool  # whether it goes on with the word of the token before
    number: int  # of its word


Tagged = tuple[Unit, str, float]


class Group(NamedTuple):
    """Neighbours that make an entity."""

    name: str
    units: list[Unit]
    scores: list[float]

    def entity(self, join: Join) -> Entity:
        """As it is returned."""
        return {
            "entity_group": self.name,
            "score": sum(self.scores) / len(self.scores),
            "word": join([unit.word for unit in self.units]),
            "start": self.units[0].start,
            "end": self.units[-1].end,
        }


def words_of(units: Sequence[Unit], strategy: str, join: Join) -> list[Unit]:
    """Tokens -> words, each with scores that the strategy makes of those of its tokens.

    - "first", "words": those of the first token. A word of "words" is one of the text, or one that came split.
    - "max": those of the token that is surest.
    - "average": their mean.
    """
    groups: list[list[Unit]] = []
    for unit in units:
        goes_on = unit.number == groups[-1][-1].number if groups and strategy == "words" else unit.follows
        if groups and goes_on:
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
    """Neighbours of the same tag; a B- begins anew.

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


def by_scheme(tagged: Sequence[Tagged]) -> list[Group]:
    """Entities of labels in BIO, or in BIOES with L- for E- and U- for S- as well."""
    groups: list[Group] = []
    goes_on = False
    for unit, name, score in tagged:
        prefix, _, tag = name.partition("-")
        tag = tag or name
        if goes_on and prefix in ("I", "E", "L") and tag == groups[-1].name:
            groups[-1].units.append(unit)
            groups[-1].scores.append(score)
        else:
            groups.append(Group(tag, [unit], [score]))
        goes_on = prefix in ("B", "I")
    return groups
