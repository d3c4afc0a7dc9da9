"""Group tokens with label scores to words, and words to entities.

`by_tag` groups labels to entities as transformers does: neighbours with the same tag are one entity until the next B-, whatever
their prefixes. `by_scheme` follows the rules of BIO and BIOES, for labels that are valid in that scheme.
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
    """A token or a word."""

    word: str
    scores: NDArray[Any]  # [C]
    start: int  # offset in the text
    end: int
    place: int  # index of the token in its row
    follows: bool  # whether the token continues the word of the token before
    number: int  # number of the word


Tagged = tuple[Unit, str, float]


class Group(NamedTuple):
    """The tokens or words of one entity."""

    name: str
    units: list[Unit]
    scores: list[float]

    def entity(self, join: Join) -> Entity:
        """Return the entity as a dictionary."""
        return {
            "entity_group": self.name,
            "score": sum(self.scores) / len(self.scores),
            "word": join([unit.word for unit in self.units]),
            "start": self.units[0].start,
            "end": self.units[-1].end,
        }


def words_of(units: Sequence[Unit], strategy: str, join: Join) -> list[Unit]:
    """Group tokens to words. The strategy chooses the scores of a word:

    - "first": the scores of the first token.
    - "words": the same, for the words of the text or of the list of words, not for groups of word pieces.
    - "max": the scores of the token with the highest score.
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
    """Group neighbours with the same tag. A B- starts a new group.

    Labels without the prefix B- or I- are treated like I-.
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
    """Group labels that are valid in a scheme to entities."""
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
