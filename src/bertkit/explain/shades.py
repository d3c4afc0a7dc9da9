"""Arrays in a terminal, and in pictures by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertkit.tensors import Array
from bertkit.terminal import Page, cut, straight
from bertkit.training.report.drawings import shortened
from bertkit.training.report.pictures import BLUE, CARD

_SHADES = ("··", "░░", "▒▒", "▓▓", "██")
_WIDEST = 16
_WEAKEST = 0.05
_MOST = 48
"""Rows and columns of a picture whose names can be read."""


def shaded(rows: Sequence[str], columns: Sequence[str], values: Array, page: Page) -> list[str]:
    r"""Return lines with a cell for each value, darker for a larger one. Columns that do not fit are left out.

    >>> print("\n".join(shaded(["a", "b"], ["a", "b"], np.array([[1.0, 0], [0.3, 0.7]]), Page())))
         0 1
      a  ██··
      b  ▒▒▓▓

    Args:
        rows: the names of the rows.
        columns: the names of the columns, of which only the number is shown.
        values: [rows, columns], from 0 to 1.
        page: the width of the terminal.
    """
    names = [cut(name, _WIDEST) for name in rows]
    room = max((page.columns - 4 - _WIDEST) // 2, 1)
    seen = np.clip(values[:, :room], 0, 1)
    levels = np.where(seen < _WEAKEST, 0, np.ceil(seen * (len(_SHADES) - 1))).astype(int)
    cells = ["".join(_SHADES[level] for level in row) for row in levels.tolist()]
    numbers = "".join(f"{number % 10:<2}" for number in range(min(len(columns), room)))
    found = straight([("", numbers), *zip(names, cells, strict=True)])
    if len(columns) > room:
        found.append(page.paint(f"  {len(columns) - room} more columns do not fit.", "dim"))
    return found


def heat(axes: Any, rows: Sequence[str], columns: Sequence[str], values: Array) -> None:
    """Draw values [rows, columns] from 0 to 1 on the axes of matplotlib, bluer for a larger one."""
    from matplotlib.colors import LinearSegmentedColormap

    axes.imshow(values, cmap=LinearSegmentedColormap.from_list("blue", [CARD, BLUE]), vmin=0, vmax=1, aspect="auto")
    axes.grid(False)
    axes.hlines(np.arange(0.5, len(rows) - 1), -0.5, len(columns) - 0.5, color=CARD, linewidth=0.6)
    axes.vlines(np.arange(0.5, len(columns) - 1), -0.5, len(rows) - 0.5, color=CARD, linewidth=0.6)
    axes.set_xticks(range(len(columns)), _readable(columns), fontsize=7, rotation=90)
    axes.set_yticks(range(len(rows)), _readable(rows), fontsize=7)


def _readable(names: Sequence[str]) -> list[str]:
    return [shortened(name, 16) if len(names) <= _MOST else "" for name in names]
