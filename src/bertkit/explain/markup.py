"""Pieces of HTML for explanations: tables of colours, small pictures of arrays, and lines between tokens."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from bertkit.tensors import Array
from bertkit.terminal import cut
from bertkit.training.report.drawings import shortened
from bertkit.training.report.markup import escaped

MARKED = 45
"""The percentage of colour under text, which stays readable on it, on a light and on a dark page."""

STYLE = """
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.grid{overflow:auto;max-height:85vh;position:relative}
.grid table{border-collapse:separate;border-spacing:1px;font-size:.75rem}
.grid th,.grid td{padding:0;border:0;max-width:none}
.grid th{font-weight:400;white-space:nowrap;color:var(--ink)}
.grid thead th{writing-mode:vertical-rl;text-orientation:sideways;transform:rotate(180deg);
text-align:left;vertical-align:top;padding:.2rem 0}
.grid tbody th{text-align:right;padding-right:.3rem}
.grid td{min-width:1.5em;height:1.5em;padding:0 .15rem;white-space:nowrap;
text-align:center;vertical-align:middle;font-variant-numeric:tabular-nums}
.plus{background:color-mix(in srgb,var(--blue) calc(var(--v)*1%),var(--card))}
.minus{background:color-mix(in srgb,var(--orange) calc(var(--v)*1%),var(--card))}
.grid>img{width:min(100%,40rem);image-rendering:pixelated;border:1px solid var(--line)}
.flow{display:flex;flex-wrap:wrap;gap:.35rem;padding:0;margin:.4rem 0;list-style:none}
.flow>li{border:1px solid var(--line);border-radius:.3rem;padding:.15rem .45rem;overflow-wrap:anywhere}
.flow small{display:block;color:var(--muted)}
.flow code{font-size:.875rem}
.flow .row{display:flex;flex-wrap:wrap;gap:.2rem .7rem}
.heads{border-spacing:4px;border-collapse:separate}
.heads th,.heads td{padding:0;border:0;text-align:center;vertical-align:middle;max-width:none}
.heads a{display:block;border:1px solid var(--line)}
.heads img{display:block;width:3.2rem;height:3.2rem;image-rendering:pixelated}
.bar{display:inline-block;height:.7em;border-radius:1px}
.blue{background:var(--blue)}
.orange{background:var(--orange)}
.map{border:1px solid var(--line)}
.map text{font-size:12px;fill:var(--ink)}
:focus-visible{outline:2px solid var(--blue);outline-offset:1px}
"""
"""Rules for the pieces below, after those of the page."""

_BLUE = (66, 133, 214)  # readable on a light and on a dark page
_MOST_POINTS = 128
_STRENGTHS = 5
_WIDEST = 24
_WEAKEST = 0.05
"""The attention from which a line is drawn."""


def grid(rows: Sequence[str], columns: Sequence[str], values: Array, caption: str, digits: int | None = None) -> str:
    """Return a table whose cells are blue for positive and orange for negative values.

    Args:
        rows: the names of the rows.
        columns: the names of the columns.
        values: [rows, columns], from -1 to 1.
        caption: what the table shows.
        digits: of the numbers in the cells; None: only screen readers get the numbers, with two digits.
    """
    head = "".join(f'<th scope="col">{escaped(_named(name))}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escaped(_named(name))}</th>{"".join(_cell(value, digits) for value in row)}</tr>'
        for name, row in zip(rows, values.tolist(), strict=True)
    )
    return (
        f'<div class="grid" tabindex="0" role="group" aria-label="{escaped(caption)}"><table>'
        f"<caption>{escaped(caption)}</caption><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _named(name: str) -> str:
    """The name of a row or a column, of at most 24 letters, or 12 characters of Chinese, Japanese or Korean."""
    return cut(shortened(name, _WIDEST), _WIDEST)


def _cell(value: float, digits: int | None) -> str:
    number = f"{value:.{2 if digits is None else digits}f}"
    text = f'<span class="hidden">{number}</span>' if digits is None else number
    strength = (90 if digits is None else MARKED) * min(abs(value), 1)
    return f'<td class="{"minus" if value < 0 else "plus"}" style="--v:{strength:.0f}">{text}</td>'


def image(values: Array, label: str) -> str:
    """Return a picture of values [rows, columns] from 0 to 1, more opaque for a larger one. It has at most 128 by 128 points."""
    source = base64.b64encode(png(smaller(values))).decode()
    return f'<img alt="{escaped(label)}" src="data:image/png;base64,{source}">'


def smaller(values: Array, most: int = _MOST_POINTS) -> Array:
    """Return values [..., rows, columns] with at most so many rows and columns, each the largest of neighbours.

    >>> smaller(np.eye(512)).shape
    (128, 128)
    """
    for axis in (-2, -1):
        if (size := values.shape[axis]) > most:
            values = np.maximum.reduceat(values, np.linspace(0, size, most, endpoint=False).astype(int), axis)
    return values


def png(values: Array) -> bytes:
    r"""Return a PNG file with one point for each value [rows, columns] from 0 to 1: blue, and transparent at 0.

    >>> png(np.eye(2))[:4]
    b'\x89PNG'
    """
    levels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 8, 3, 0, 0, 0)  # 8 bits of a palette
    lines = np.pad(levels, ((0, 0), (1, 0))).tobytes()  # the first byte of a line names its filter, none
    chunks = [
        (b"IHDR", header),
        (b"PLTE", bytes(_BLUE) * 256),
        (b"tRNS", bytes(range(256))),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def lines(left: Sequence[str], right: Sequence[str], weights: Array, label: str) -> str:
    """Return a drawing of lines from each token on the left to those on the right that it attends to, the darker the more.

    Args:
        left: the tokens that attend.
        right: the tokens that are attended to.
        weights: [left, right], from 0 to 1. Weights below 0.05 have no line.
        label: what the drawing shows, for screen readers.
    """
    paths: list[list[str]] = [[] for _ in range(_STRENGTHS)]
    for row, column in np.argwhere(weights >= _WEAKEST).tolist():
        strength = min(int(weights[row, column] * _STRENGTHS), _STRENGTHS - 1)
        paths[strength].append(f"M112 {_height(row)}L208 {_height(column)}")
    drawn = "".join(
        f'<path d="{"".join(each)}" stroke-opacity="{(number + 1) / _STRENGTHS:.1f}"/>'
        for number, each in enumerate(paths)
        if each
    )
    height = _height(max(len(left), len(right)))
    start = f'<svg role="img" aria-label="{escaped(label)}" viewBox="0 0 320 {height}" style="max-width:24rem"'
    strokes = f'<g stroke="var(--blue)" stroke-width="1.5" fill="none">{drawn}</g>'
    names = _names(left, 106, "end") + _names(right, 214, "start")
    return f'{start} font-size="11" fill="var(--ink)">{strokes}{names}</svg>'


def _height(place: int) -> int:
    return 10 + 16 * place


def _names(tokens: Sequence[str], x: int, anchor: str) -> str:
    return (
        f'<g text-anchor="{anchor}">'
        + "".join(
            f'<text x="{x}" y="{_height(place) + 4}">{escaped(shortened(name, 16))}</text>'
            for place, name in enumerate(tokens)
        )
        + "</g>"
    )
