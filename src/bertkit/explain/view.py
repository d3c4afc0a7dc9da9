"""What all explanations share: the four views."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bertkit.errors import MissingExtraError
from bertkit.explain.markup import STYLE
from bertkit.hub.disk import whole_file
from bertkit.terminal import Page
from bertkit.training.report.markup import Section, escaped, paragraph
from bertkit.training.report.page import document
from bertkit.training.report.pictures import figure_of, save_png


class Explanation(ABC):
    """Data that people can look at. `str` is the view for a terminal, and Jupyter shows the page of `html`."""

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def text(self, columns: int = 80, colours: bool = False) -> str:
        """Return the view for a terminal.

        Args:
            columns: the width of the terminal.
            colours: whether to use its colours.
        """
        return "\n".join(self._lines(Page(columns, colours)))

    def html(self) -> str:
        """Return a page without scripts, which loads nothing. Its colours are those that the reader's system prefers."""
        title, about = self._title()
        return document(title, paragraph(about, "muted"), self._sections(), "Written by bertkit.", STYLE, images=True)

    def save_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the page of `html` to a file, and return its path."""
        with whole_file(path) as file:
            file.write(self.html().encode())
        return Path(path)

    def png(self, path: str | os.PathLike[str]) -> Path:
        """Draw a picture with matplotlib, write it to a PNG file, and return its path."""
        if find_spec("matplotlib") is None:
            raise MissingExtraError("matplotlib", None, "A picture")
        with figure_of(self._size()) as figure:
            self._draw(figure)
            save_png(figure, Path(path))
        return Path(path)

    def _repr_html_(self) -> str:
        """The page in a frame, as its style must not change the notebook around it.

        The links of a page in a frame lead to places in the notebook, unless the page says that its own address is the base.
        """
        page = self.html().replace("<head>", '<head><base href="about:srcdoc">', 1)
        frame = 'sandbox="" width="100%" height="520" style="border:0;resize:vertical;overflow:auto"'
        return f'<iframe title="{escaped(self._title()[0])}" {frame} srcdoc="{escaped(page)}"></iframe>'

    @abstractmethod
    def _title(self) -> tuple[str, str]:
        """The heading of the page, and one sentence about it."""

    @abstractmethod
    def _lines(self, page: Page) -> list[str]:
        """The lines of the view for a terminal."""

    @abstractmethod
    def _sections(self) -> Sequence[Section]:
        """The parts of the page."""

    @abstractmethod
    def _size(self) -> tuple[float, float]:
        """The width and the height of the picture in inches."""

    @abstractmethod
    def _draw(self, figure: Any) -> None:
        """Draw the picture."""
