"""Canonical decomposition (NFD) and composition (NFC) with tables of a fixed Unicode version (Unicode Standard Annex #15).

`unicodedata.normalize` does the same with the tables of the running Python. Callers normalize only *clusters*, a character
and the marks that may combine with it: most texts have few, and they repeat, so results are cached.
"""

from __future__ import annotations

import re
from itertools import accumulate

from bertkit.text.wordpiece.unicode import Unicode

# Hangul syllables are not in the tables: leading consonant, vowel and trailing consonant are digits of the code point.
_SYLLABLE, _LEADING, _VOWEL, _TRAILING = 0xAC00, 0x1100, 0x1161, 0x11A7
_LEADINGS, _VOWELS, _TRAILINGS = 19, 21, 28  # trailing consonant 0 means no trailing consonant


class Canonical:
    """Canonical decomposition and composition with the given tables."""

    def __init__(self, tables: Unicode) -> None:
        self._tables = tables
        self._pairs = {
            parts: chr(code)
            for code, parts in tables.decomposition.items()
            if len(parts) == 2 and code not in tables.excluded
        }
        self._seconds = {parts[1] for parts in self._pairs}

    def decompose(self, text: str) -> str:
        r"""Return the text in NFD.

        >>> from bertkit.text.wordpiece.unicode import tables
        >>> [f"{ord(char):x}" for char in Canonical(tables("slow")).decompose("\u1ea5가")]
        ['61', '302', '301', '1100', '1161']
        """
        parts = self._parts(text) if len(text) == 1 else "".join(map(self._parts, text))
        if len(parts) == 1:
            return parts
        return "".join(parts[position] for position in self._order(parts))

    def compose(self, text: str) -> str:
        """Return the NFC of a text in NFD. A mark combines with the last starter unless a mark of its class is in between."""
        composed: list[str] = []
        starter, last = -1, 0  # the position of the starter; the combining class of the last character in `composed`
        for char in text:
            combining = self.combining(char)
            if starter >= 0 and (last < combining or last == 0) and (joint := self._joint(composed[starter], char)):
                composed[starter] = joint
                continue
            if combining == 0:
                starter = len(composed)
            last = combining
            composed.append(char)
        return "".join(composed)

    def traced(self, cluster: str) -> list[tuple[str, int]]:
        """Return the characters of the NFD, each with the position in the cluster that the `tokenizers` library gives it.

        These positions differ from the true ones where marks are reordered: the library counts the first character of each
        decomposition as a step in the original, in the new order.
        """
        parts = [(part, number == 0) for char in cluster for number, part in enumerate(self._parts(char))]
        moved = [parts[position] for position in self._order("".join(part for part, _ in parts))]
        steps = accumulate(first for _, first in moved)
        return [(part, step - 1) for (part, _), step in zip(moved, steps, strict=True)]

    def combining(self, char: str) -> int:
        """Return the combining class: 0 for a starter, otherwise the order of the mark after a starter."""
        return self._tables.combining.get(ord(char), 0)

    def joins(self, char: str) -> bool:
        """Whether a character may combine with those before it: a mark, or the second part of a composed character."""
        first = self._parts(char)[0]
        return (
            self.combining(first) > 0
            or first in self._seconds
            or 0 <= ord(first) - _VOWEL < _VOWELS
            or 0 < ord(first) - _TRAILING < _TRAILINGS
        )

    def clusters(self) -> re.Pattern[str]:
        """Return a pattern for clusters: a character and all following ones that may combine with it. Spaces do not combine."""
        candidates = {*self._tables.combining, *self._tables.decomposition, *map(ord, self._seconds)}
        candidates |= {*range(_VOWEL, _VOWEL + _VOWELS), *range(_TRAILING, _TRAILING + _TRAILINGS)}
        joining = "".join(sorted(char for char in map(chr, candidates) if self.joins(char)))
        return re.compile(f"[^ {joining}]?[{joining}]+")

    def _parts(self, char: str) -> str:
        """Return the full decomposition of one character, in the order of the tables."""
        number = ord(char) - _SYLLABLE
        if 0 <= number < _LEADINGS * _VOWELS * _TRAILINGS:
            open_syllable, trailing = divmod(number, _TRAILINGS)
            leading, vowel = divmod(open_syllable, _VOWELS)
            parts = chr(_LEADING + leading) + chr(_VOWEL + vowel)
            return parts + chr(_TRAILING + trailing) if trailing else parts
        pair = self._tables.decomposition.get(ord(char))
        return char if pair is None else "".join(map(self._parts, pair))

    def _order(self, text: str) -> list[int]:
        """Return the positions of the characters in canonical order: each starter, then its marks sorted by class."""
        classes = [self.combining(char) for char in text]
        starters = list(accumulate(combining == 0 for combining in classes))
        return sorted(range(len(text)), key=lambda position: (starters[position], classes[position]))

    def _joint(self, first: str, second: str) -> str | None:
        """Return the composition of two characters, or None."""
        leading, vowel = ord(first) - _LEADING, ord(second) - _VOWEL
        if 0 <= leading < _LEADINGS and 0 <= vowel < _VOWELS:
            return chr(_SYLLABLE + (leading * _VOWELS + vowel) * _TRAILINGS)
        syllable, trailing = ord(first) - _SYLLABLE, ord(second) - _TRAILING
        is_open = 0 <= syllable < _LEADINGS * _VOWELS * _TRAILINGS and syllable % _TRAILINGS == 0
        if is_open and 0 < trailing < _TRAILINGS:
            return chr(ord(first) + trailing)
        return self._pairs.get(first + second)
