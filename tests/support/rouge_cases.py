"""Random summaries with one or several references, from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

COUNT = 200
_WORDS = ["the", "The", "cats", "cat", "running", "runs", "ran", "relational", "relation", "don't", "co-operate"]
_WORDS += ["3.5", "x", "naïve", "über", "a", "is", "was", "flies", "dying", "İ"]
_JOINS = (" ", " ", " ", ", ", ". ", "\n", "\n\n", "-", "_")
_SPECIAL = ["", " ", "\n", "...", "日本", "The cat sat.\nIt slept."]


def cases() -> Iterator[tuple[str, list[str]]]:
    """Yield a summary and its references."""
    rng = random.Random(0)

    def text() -> str:
        if rng.random() < 0.1:
            return rng.choice(_SPECIAL)
        return "".join(rng.choice(_WORDS) + rng.choice(_JOINS) for _ in range(rng.randint(1, 25)))

    for _ in range(COUNT):
        yield text(), [text() for _ in range(rng.choice([1, 1, 1, 2, 3]))]
