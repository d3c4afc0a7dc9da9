"""What BERT's three normalizations know about characters, read from unicode.txt beside this file.

Python brings the tables of the Unicode version of its own year, and a tokenizer that looked there would change its ids
with the next Python. So the tables are pinned: Unicode 14.0, and where the `tokenizers` package differs, what it does.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Compat = Literal["fast", "slow", "google"]

_FILE = Path(__file__).with_name("unicode.txt")


class CodePoints:
    """A set of code points, kept as the bounds of its ranges: one hundred ranges are two hundred numbers.

    >>> hangul = CodePoints([0xAC00, 0xD7A4])  # from the first one on, up to and without the second
    >>> ord("한") in hangul, ord("a") in hangul
    (True, False)
    """

    def __init__(self, bounds: list[int]) -> None:
        self.bounds = bounds

    def __contains__(self, code: int) -> bool:
        return bisect_right(self.bounds, code) % 2 == 1

    def pattern(self) -> str:
        """The ranges as they stand between the brackets of a regular expression."""
        starts, stops = self.bounds[::2], self.bounds[1::2]
        return "".join(f"\\U{start:08x}-\\U{stop - 1:08x}" for start, stop in zip(starts, stops, strict=True))

    def __xor__(self, other: CodePoints) -> CodePoints:
        """The code points that are in one of the two sets: those bounds that both have fall out."""
        return CodePoints(sorted(set(self.bounds) ^ set(other.bounds)))


@dataclass(frozen=True)
class Unicode:
    """The tables of one of the three behaviours."""

    removed: CodePoints  # by clean_text
    blank: CodePoints  # where words part
    punctuation: CodePoints
    mark: CodePoints  # what strip_accents takes away: non-spacing marks
    cased: CodePoints  # a sigma after one of these ends a word
    ignorable: CodePoints  # what may stand between them
    excluded: CodePoints  # what is never the result of a composition
    lower: dict[int, str]
    decomposition: dict[int, str]  # by one step
    combining: dict[int, int]  # classes; a code point that is absent has class 0


@functools.cache
def tables(compat: Compat) -> Unicode:
    """The tables of a behaviour, read once."""
    lines = _lines()

    def codes(name: str) -> CodePoints:
        return _codes(lines[name]) ^ _codes(lines.get(f"{compat}.{name}", ""))

    lower, decomposition = _lower(lines["lower"]), _decomposition(lines["decomposition"])
    combining = _combining(lines["combining"])
    if compat == "fast":
        lower |= _lower(lines["fast.lower"])
        for code in _numbers(lines["fast.undecomposed"]):
            del decomposition[code]
        for code in _numbers(lines["fast.classless"]):
            del combining[code]
    return Unicode(
        removed=codes("removed"),
        blank=codes("blank"),
        punctuation=codes("punctuation"),
        mark=codes("mark"),
        cased=codes("cased"),
        ignorable=codes("ignorable"),
        excluded=codes("excluded"),
        lower=lower,
        decomposition=decomposition,
        combining=combining,
    )


def _lines() -> dict[str, str]:
    lines = _FILE.read_text(encoding="ascii").splitlines()
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines if not line.startswith("#"))}


def _range(item: str) -> range:
    """`30-39`, `41` or `100-12E/2` as a range."""
    codes, _, step = item.partition("/")
    first, _, last = codes.partition("-")
    return range(int(first, 16), int(last or first, 16) + 1, int(step or 1))


def _codes(line: str) -> CodePoints:
    ranges = map(_range, line.split())
    return CodePoints([bound for codes in ranges for bound in (codes.start, codes.stop)])


def _numbers(line: str) -> Iterator[int]:
    return (code for item in line.split() for code in _range(item))


def _items(line: str) -> Iterator[tuple[str, str]]:
    for item in line.split():
        codes, _, value = item.partition(":")
        yield codes, value


def _lower(line: str) -> dict[int, str]:
    lower = {}
    for codes, value in _items(line):
        for code in _range(codes):
            lower[code] = chr(code + int(value, 16)) if value[0] in "+-" else _string(value)
    return lower


def _decomposition(line: str) -> dict[int, str]:
    return {int(code, 16): _string(value) for code, value in _items(line)}


def _combining(line: str) -> dict[int, int]:
    return {code: int(value, 16) for codes, value in _items(line) for item in codes.split(",") for code in _range(item)}


def _string(value: str) -> str:
    return "".join(chr(int(code, 16)) for code in value.split(","))
