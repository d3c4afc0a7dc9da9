"""The layout of text in a terminal: columns that are straight in any script, bars, colours."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_COLOURS = {
    "bold": "1",
    "dim": "2",
    "marked": "1;30;43",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
BAR = 20  # columns
_EIGHTHS = " ▏▎▍▌▋▊▉"


class Page(NamedTuple):
    """The width of a terminal, and whether to use colours."""

    columns: int = 80
    colours: bool = False

    def paint(self, text: str, colour: str) -> str:
        """A text in a colour, or the text unchanged if the page has no colours."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colours and text else text


def page_of_stdout() -> Page:
    """The page of the terminal. Colours are off with NO_COLOR, with TERM=dumb, and if the output is not a terminal."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return Page(shutil.get_terminal_size().columns, not plain)


def bar(share: float) -> str:
    """A number from 0 to 1 as a bar.

    >>> bar(0.5), bar(0.0263)
    ('██████████', '▌')
    """
    eighths = round(min(max(share, 0.0), 1.0) * BAR * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def straight(rows: Iterable[Sequence[str]], right: Sequence[int] = (), indent: str = "  ") -> list[str]:
    """Rows of cells as lines with straight columns. The columns with a number in `right` are aligned right, others left.

    >>> straight([("a", "1.5"), ("한국", "12.5")], right=[1])
    ['  a      1.5', '  한국  12.5']
    """
    lines = list(rows)
    widths = [max(map(_seen, column)) for column in zip(*lines, strict=True)]
    return [indent + _line(cells, widths, right) for cells in lines]


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    padded = []
    for number, (cell, most) in enumerate(zip(cells, widths, strict=True)):
        blank = " " * (most - _seen(cell))
        padded.append(blank + cell if number in right else cell + blank)
    return "  ".join(padded).rstrip()


def _seen(cell: str) -> int:
    """The width of a cell without its colour codes."""
    return width(_PAINT.sub("", cell))


def cut(text: str, columns: int) -> str:
    """A text, shortened to so many columns.

    >>> cut("as long as it is", 10)
    'as long a…'
    """
    text = shown(text)
    if width(text) <= columns:
        return text
    kept = text[:columns]
    while kept and width(kept) > columns - 1:
        kept = kept[:-1]
    return kept + "…"


def shown(text: str) -> str:
    """A text in which invisible characters and those that move the cursor are escaped, such as controls and lone surrogates."""
    return "".join(
        character if character.isprintable() or character == _JOINER else repr(character)[1:-1] for character in text
    )


_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_SKIN = range(0x1F3FB, 0x1F400)
_JAMO_INSIDE = frozenset(
    [*range(0x1160, 0x1200), *range(0xD7B0, 0xD7FC)]
)  # Hangul vowels and final consonants, which combine with the letter before them


def width(text: str) -> int:
    r"""How many columns of a terminal a text takes.

    >>> width("abc"), width("한국"), width("e\u0301"), width("👩\u200d👧"), width("☕")
    (3, 4, 1, 2, 2)
    """
    total = last = 0
    before = ""
    for character in text:
        last = _columns(character, before, last)
        before = character
        total += last
    return total


def _columns(character: str, before: str, last: int) -> int:
    """The columns that a character adds after the character `before`, which took `last` columns."""
    if character == _EMOJI_STYLE:
        return int(last == 1)
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf") or ord(character) in _JAMO_INSIDE:
        return 0
    if (category == "So" and before == _JOINER) or (ord(character) in _SKIN and last == 2):
        return 0  # it combines with the characters before it into one emoji
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
