"""Questions with random answers, the same on every machine, for the official SQuAD scripts and for bertkit."""

from __future__ import annotations

import random
from typing import NamedTuple

CASES = 400
_WORDS = [
    "the",
    "The",
    "a",
    "an",
    "A.",
    "n",
    "Eiffel",
    "eiffel",
    "tower",
    "tower!",
    "in",
    "1889",
    "apple-tree",
    "é",
    "l'été",
    "—",
    "...",
]
_BLANKS = [" ", "  ", "\t", " \n", "\u00a0"]


class Case(NamedTuple):
    """A batch. `references` may have no answer for a question, `answered` has at least one."""

    predictions: list[str]
    references: list[list[str]]
    answered: list[list[str]]
    no_answer: list[float]
    threshold: float


def case(seed: int) -> Case:
    """Return a random batch."""
    draw = random.Random(seed)
    size = draw.randint(1, 12)
    answered = [[_text(draw) for _ in range(draw.randint(1, 3))] for _ in range(size)]
    references = [answers if draw.random() < 0.6 else [] for answers in answered]
    predictions = [draw.choice([draw.choice(answers), _text(draw), ""]) for answers in answered]
    no_answer = [draw.choice([0.0, 0.25, 0.5, draw.random()]) for _ in range(size)]
    return Case(predictions, references, answered, no_answer, draw.choice([1.0, 0.5, 0.25]))


def _text(draw: random.Random) -> str:
    return "".join(draw.choice(_WORDS) + draw.choice(_BLANKS) for _ in range(draw.randint(0, 5)))
