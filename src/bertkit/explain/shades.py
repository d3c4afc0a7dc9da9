"""Arrays in a terminal, and in pictures by matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bertkit.explain.markup import smaller
from bertkit.tensors import Array
from bertkit.terminal import Page, cut, straight
from bertkit.training.report.pictures import BLUE, CARD

_SHADES = ("··", "░░", "▒▒", "▓▓", "██")
_WIDEST = 16
_WEAKEST = 0.05
_MOST = 48
"""Rows and columns of a picture whose names can be read."""
_MOST_POINTS = 1_024
"""The same of a picture without names."""
_MOST_ROWS = 128
"""Rows in a terminal."""


def shaded(rows: Sequence[str], columns: Sequence[str], values: Array, page: Page) -> list[str]:
    r"""Return lines with a cell for each value, darker for a larger one.

    Columns that do not fit are left out, and rows after the first 128.

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
    names = [cut(name, _WIDEST) for name in rows[:_MOST_ROWS]]
    room = max((page.columns - 4 - _WIDEST) // 2, 1)
    seen = np.clip(values[:_MOST_ROWS, :room].astype(float), 0, 1)
    levels = np.where(seen < _WEAKEST, 0, np.ceil(seen * (len(_SHADES) - 1))).astype(int)
    cells = ["".join(_SHADES[level] for level in row) for row in levels.tolist()]
    numbers = "".join(f"{number % 10:<2}" for number in range(min(len(columns), room)))
    found = straight([("", numbers), *zip(names, cells, strict=True)])
    if len(columns) > room:
        found.append(page.paint(f"  {len(columns) - room} more columns do not fit.", "dim"))
    if len(rows) > _MOST_ROWS:
        found.append(page.paint(f"  {len(rows) - _MOST_ROWS:,} more rows are not shown.", "dim"))
    return found


def heat(axes: Any, rows: Sequence[str], columns: Sequence[str], values: Array) -> None:
    """Draw values [rows, columns] from 0 to 1 on the axes of matplotlib, bluer for a larger one."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("blue", [CARD, BLUE])
    extent = (-0.5, len(columns) - 0.5, len(rows) - 0.5, -0.5)
    points = smaller(values, _MOST_POINTS).astype(float)
    axes.imshow(points, cmap=colours, vmin=0, vmax=1, aspect="auto", extent=extent)
    axes.grid(False)
    _name(axes.xaxis, columns, partial(axes.vlines, ymin=-0.5, ymax=len(rows) - 0.5), rotation=90)
    _name(axes.yaxis, rows, partial(axes.hlines, xmin=-0.5, xmax=len(columns) - 0.5))


def _name(axis: Any, names: Sequence[str], between: Callable[..., Any], **style: Any) -> None:
    """Write names on an axis and draw lines between their cells. If there are too many to read, the axis has numbers."""
    if len(names) <= _MOST:
        axis.set_ticks(range(len(names)), [cut(name, _WIDEST) for name in names], fontsize=7, **style)
        between(np.arange(0.5, len(names) - 1), color=CARD, linewidth=0.6)
