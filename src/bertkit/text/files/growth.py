"""A limit on how much the normalizer or the decoder of a `tokenizer.json` may lengthen a text.

A few steps that each replace one character by a hundred would make gigabytes of a short text.
"""

from __future__ import annotations

import binascii
from collections import Counter
from collections.abc import Mapping
from typing import Any

from bertkit.errors import TokenizerError

MOST_STEPS = 10_000
MOST_GROWTH = 200
"""The maximum number of characters that may replace one character. The longest Unicode decomposition has 18."""

MOST_PREPENDED = 10_000


class _Growth:
    """The number of characters that each character becomes. Steps are added from the last to the first."""

    def __init__(self) -> None:
        self._of: dict[str, float] = {}
        self._others = 1.0
        self.prepended = 0.0

    def most(self) -> float:
        return max(self._others, max(self._of.values(), default=1.0))

    def add(self, step: Mapping[str, Any]) -> None:
        kind = step.get("type")
        if kind == "Prepend":
            self.prepended += self._whole(step.get("prepend"))
        elif kind == "Replace":
            self._replace(step.get("pattern"), self._whole(step.get("content")))
        elif kind == "Precompiled":
            self._set_all(self.most() * _longest(step.get("precompiled_charsmap")))
        else:
            self._set_all(self.most())

    def _whole(self, text: object) -> float:
        counts = Counter(text if isinstance(text, str) else "")
        return sum(count * self._of.get(char, self._others) for char, count in counts.items())

    def _replace(self, pattern: object, content: float) -> None:
        spelled = pattern.get("String") if isinstance(pattern, Mapping) else pattern
        if (
            not isinstance(spelled, str) or not spelled
        ):  # it may match any character, and the empty text between characters
            self._set_all(max(self.most(), content) + (content if content > 1 else 0))
            return
        for char in set(spelled):
            self._of[char] = max(self._of.get(char, self._others), content / len(spelled))

    def _set_all(self, growth: float) -> None:
        self._of, self._others = {}, growth


def check_growth(part: object, inner: str, where: str) -> None:
    """Raise TokenizerError for a normalizer or decoder that lengthens texts too much. `inner` is its key for nested steps."""
    steps = _steps(part, inner)
    if len(steps) > MOST_STEPS:
        raise TokenizerError(f"{where} has {inner} of {len(steps):,} steps; up to {MOST_STEPS:,} are accepted.")
    growth = _Growth()
    for step in reversed(steps):
        growth.add(step)
        if growth.most() > MOST_GROWTH or growth.prepended > MOST_PREPENDED:
            raise TokenizerError(
                f"{where} has {inner} that replace one character by more than {MOST_GROWTH}, or insert more than "
                f"{MOST_PREPENDED:,} characters: a short text would use all memory."
            )


def _steps(part: object, inner: str) -> list[Mapping[str, Any]]:
    """Return the steps of nested sequences as one list."""
    waiting, steps = [part], []
    while waiting:
        step = waiting.pop()
        if isinstance(step, Mapping) and isinstance(step.get(inner), list):
            waiting += reversed(step[inner])
        elif isinstance(step, Mapping):
            steps.append(step)
    return steps


def _longest(charsmap: object) -> int:
    """Return the length of the longest text in a SentencePiece map, which is a size, a trie of that size, and the texts."""
    try:
        content = binascii.a2b_base64(charsmap) if isinstance(charsmap, str) else b""
    except ValueError:
        return 1
    texts = content[4 + int.from_bytes(content[:4], "little") :]
    return max((len(text.decode(errors="replace")) for text in texts.split(b"\0")), default=1) or 1
