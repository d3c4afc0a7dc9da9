"""Pictures by matplotlib, drawn once: as a PNG file, and as SVG whose colours follow the style of the page.

matplotlib writes the colours of `COLOURS` as numbers into the SVG. They are then replaced by variables of the page's style sheet.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bertkit.hub.disk import whole_file
from bertkit.training.report.markup import escaped

COLOURS = {
    "ink": "#1f2328",
    "muted": "#59636e",
    "line": "#d1d9e0",
    "blue": "#2a6fbb",
    "orange": "#bc4c00",
    "card": "#fffffe",
}
"""The name of a variable in the style sheet -> its light colour, which must be unique."""

INK, MUTED, LINE, BLUE, ORANGE, CARD = COLOURS.values()

_SMALLEST = 0.7
"""How much a picture may shrink on a narrow screen. A larger one scrolls, as smaller text could not be read."""

Paint = Callable[[Any], None]
"""Draws on the axes of matplotlib."""

_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bertkit",  # the same picture has the same ids
    "text.parse_math": False,  # $ in labels is a dollar sign
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}


_OWN = "DejaVu Sans"
_SCRIPTS = (
    "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans KR", "Noto Sans SC", "NanumGothic",
    "Apple SD Gothic Neo", "Hiragino Sans", "PingFang SC", "Malgun Gothic", "Yu Gothic", "Microsoft YaHei", "Noto Sans Arabic",
    "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
"""Fonts for scripts that matplotlib's own fonts lack, as systems name them."""


def families(first: str = _OWN) -> list[str]:
    """The fonts of a picture: one of matplotlib's own, and those of this system for the characters that it lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [*dict.fromkeys((first, _OWN)), *(name for name in _SCRIPTS if name in installed)]


@contextmanager
def figure_of(size: tuple[float, float]) -> Iterator[Any]:
    """A figure of matplotlib in the style of the pictures, to draw on and to save in the block.

    Args:
        size: width and height in inches.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**_STYLE, "font.family": families()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box is drawn, as for emoji
        yield Figure(figsize=size, layout="constrained")


def save_png(figure: Any, path: Path) -> None:
    """Write a figure to a PNG file, which appears when it is complete."""
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=160, facecolor="white")


class Pictures:
    """Draws the pictures of a report into a folder, if matplotlib is installed.

    Args:
        folder: where the PNG files are written. It is created with the first picture. None: no files are written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.available = find_spec("matplotlib") is not None

    def draw(self, name: str, caption: str, paint: Paint, size: tuple[float, float] = (4.4, 2.9)) -> str:
        """Draw a picture, write it as `name`.png, and return it as HTML, or an empty string without matplotlib.

        Args:
            name: the name of the PNG file without its ending.
            caption: the text under the picture.
            paint: draws on the axes.
            size: width and height in inches.
        """
        if not self.available:
            return ""
        svg = io.BytesIO()
        with figure_of(size) as figure:
            paint(figure.subplots())
            figure.savefig(svg, format="svg", transparent=True)
            if self._folder is not None:
                self._folder.mkdir(exist_ok=True)
                save_png(figure, self._folder / f"{name}.png")
        picture = _for_page(svg.getvalue().decode(), name, caption)
        return f'<figure tabindex="0">{picture}<figcaption>{escaped(caption)}</figcaption></figure>'


def _for_page(svg: str, name: str, caption: str) -> str:
    """Turn a file of matplotlib into an element of an HTML page, with ids that no other picture has."""
    svg = re.sub(r"(?s)<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg[svg.index("<svg") :])
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for variable, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    width = float(svg.split(' width="')[1].split("pt")[0])
    style = f"max-width:{width:.0f}pt;min-width:{_SMALLEST * width:.0f}pt"
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escaped(caption)}" style="{style}"', 1)
