"""Unicode tables for BERT's three normalizations, read from unicode.txt in this folder.

The tables of `unicodedata` change with the version of Python, and ids would change with them. So the version is fixed:
Unicode 14.0, with the differences of the `tokenizers` package for "fast".
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
    """A set of code points, stored as the bounds of its ranges.

    >>> hangul = CodePoints([0xAC00, 0xD7A4])  # start (included) and stop (excluded) of each range
    >>> ord("한") in hangul, ord("a") in hangul
    (True, False)
    """

    def __init__(self, bounds: list[int]) -> None:
        self.bounds = bounds

    def __contains__(self, code: int) -> bool:
        return bisect_right(self.bounds, code) % 2 == 1

    def pattern(self) -> str:
        """Return the ranges in the syntax of a character class of a regular expression, without the brackets."""
        starts, stops = self.bounds[::2], self.bounds[1::2]
        return "".join(f"\\U{start:08x}-\\U{stop - 1:08x}" for start, stop in zip(starts, stops, strict=True))

    def __xor__(self, other: CodePoints) -> CodePoints:
        """Return the code points that are in exactly one of the two sets."""
        return CodePoints(sorted(set(self.bounds) ^ set(other.bounds)))


@dataclass(frozen=True)
class Unicode:
    """The tables of one value of `compat`."""

    removed: CodePoints  # by clean_text
    blank: CodePoints  # whitespace
    punctuation: CodePoints
    mark: CodePoints  # non-spacing marks, which strip_accents removes
    cased: CodePoints  # letters with a case, for the final sigma
    ignorable: CodePoints  # characters that are ignored next to a sigma
    excluded: CodePoints  # characters that are not composed again after decomposition
    lower: dict[int, str]
    decomposition: dict[int, str]  # one step; the parts may have decompositions too
    combining: dict[int, int]  # combining classes; code points that are not listed have class 0


@functools.cache
def tables(compat: Compat) -> Unicode:
    """Return the tables of a value of `compat`. They are read once."""
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
    """Parse `30-39`, `41` or `100-12E/2` as a range."""
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
