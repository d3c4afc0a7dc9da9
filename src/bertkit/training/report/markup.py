"""Pieces of HTML. Every text from data is escaped here."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bertkit.training.record import is_number

_SHORT = 280
"""Characters of a text that are shown before the rest is folded."""


class Section(NamedTuple):
    """A part of the page."""

    anchor: str
    title: str
    body: str


def escaped(value: object) -> str:
    """Escape a text for HTML.

    >>> escaped("</script> & 'more'")
    '&lt;/script&gt; &amp; &#x27;more&#x27;'
    """
    return html.escape(str(value))


def number(value: object) -> str:
    """Format a number of a table. What is not a number is returned as text.

    >>> [number(value) for value in (0.871234, 12345, 83.333, float("nan"), None, 1.8e-05)]
    ['0.8712', '12,345', '83.33', '–', '–', '1.80e-05']
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if not is_number(value):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value and abs(value) < 0.001:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Return a table. Columns of numbers are aligned to the right; texts are escaped."""
    lines = [list(row) for row in rows]
    kinds = ["number" if all(map(_is_cell_number, column)) else "" for column in zip(*lines, strict=True)] or [
        ""
    ] * len(head)
    top = "".join(
        f'<th scope="col" class="{kind}">{escaped(name)}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in lines)
    title = f"<caption>{escaped(caption)}</caption>" if caption else ""
    inner = f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return scrolling(inner, caption or ", ".join(head))


def scrolling(body: str, label: str) -> str:
    """Return HTML that scrolls sideways if it is too wide, also by the keyboard. `label` is its name for screen readers."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escaped(label)}">{body}</div>'


def _is_cell_number(value: object) -> bool:
    return value is None or is_number(value)


def _cell(value: object) -> str:
    if _is_cell_number(value):
        return f'<td class="number">{number(value)}</td>'
    return f'<td dir="auto">{escaped(value) or "(empty)"}</td>'


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values."""
    body = "".join(
        f'<tr><th scope="row">{escaped(name)}</th><td dir="auto">{escaped(number(value))}</td></tr>'
        for name, value in rows
    )
    return scrolling(f'<table class="facts"><tbody>{body}</tbody></table>', "facts")


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return element("p", escaped(text), kind)


def element(tag: str, body: str, kind: str = "") -> str:
    """Return an element around HTML. `kind` is its class in the style sheet.

    >>> element("b", "1 &lt; 2", "good")
    '<b class="good">1 &lt; 2</b>'
    """
    start = f'{tag} class="{kind}"' if kind else tag
    return f"<{start}>{body}</{tag}>"


def folded(summary: str, body: str, is_open: bool = False) -> str:
    """Return HTML that the reader can open and close."""
    return f"<details{' open' if is_open else ''}><summary>{escaped(summary)}</summary>{body}</details>"


def text(value: str) -> str:
    """Return a text of the data. A long text is shortened, and followed by the whole text to unfold."""
    if len(value) <= _SHORT:
        return f'<span class="text" dir="auto">{escaped(value)}</span>'
    start = value[:_SHORT].rsplit(" ", 1)[0]
    whole = folded(f"all {len(value):,} characters", f'<div class="text" dir="auto">{escaped(value)}</div>')
    return f'<span class="text" dir="auto">{escaped(start)} …</span>{whole}'
