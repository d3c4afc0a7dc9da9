"""A hook of MkDocs: what the theme lacks. Each language has its own search, the keyboard and screen readers reach all of a page.

The translations build one index of all pages. Here, it is split: NAME/search/search_index.json has the pages in NAME/, and these
take NAME/ as the base of the search.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LANGUAGES = ("ko", "ja")
"""The folders of the translations."""

_MENU = {"ko": "메뉴", "ja": "メニュー"}
_WRONG = {
    # no dialog: the page beside it can be used
    'data-md-component="search" role="dialog"': 'data-md-component="search"',
    # the script of the theme clicks on a label at Enter
    '<label class="md-header__button md-icon" for="__drawer">': (
        '<label class="md-header__button md-icon" for="__drawer" tabindex="0" role="button" aria-label="{menu}">'
    ),
}
"""HTML of the theme, and what it should be."""

_MARKUP = (
    # the label in the menu is empty where a section has a page of its own; the title is not
    (re.compile(r' id="__nav_\d+_label"'), ""),
    (re.compile(r'<label class="md-nav__title" for="(__nav_\d+)"'), r'\g<0> id="\1_label"'),
    # wide tables scroll, also by the keyboard
    (re.compile(r"<table>"), '<table tabindex="0">'),
    (re.compile(r"<th([^>]*)></th>"), r"<td\1></td>"),
)
"""Patterns in a page, and what they become."""

_CODE = re.compile(r"<code>.*?</code>", re.DOTALL)
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
_TO_FILE = re.compile(r'<a href="([^"#:]+)(#[^"]*)?">[\w/]+\.md</a>')
_PICTURE = re.compile(r'<img alt="[^"]*" src="([^":]+\.(?:png|svg))" />')
_WIDE = 800
"""Pixels of a picture that is not shrunk to the width of a phone, but scrolls."""
_COPY = '("nav",{class:"md-code__nav"})'
"""The element that the theme's script adds around a copy button. It becomes a div, because it is not navigation."""

_BASE = re.compile(r'(<script id="__config" type="application/json">\{.*?"base": ")([^"]*)')


def of_language(index: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Return the index of the pages in one language, whose locations begin at its folder.

    >>> pages = [{"location": "a.html"}, {"location": "ko/a.html"}]
    >>> of_language({"config": {}, "docs": pages}, "ko")
    {'config': {'lang': ['en', 'ko']}, 'docs': [{'location': 'a.html'}]}
    >>> of_language({"config": {}, "docs": pages}, "en")
    {'config': {'lang': ['en']}, 'docs': [{'location': 'a.html'}]}
    """
    folders = tuple(f"{one}/" for one in LANGUAGES)
    pages: Sequence[Mapping[str, Any]] = index["docs"]
    if language == "en":
        names, own = ["en"], [page for page in pages if not page["location"].startswith(folders)]
    else:
        start = f"{language}/"
        names = ["en", language]  # the names in code are English
        own = [
            {**page, "location": page["location"].removeprefix(start)}
            for page in pages
            if page["location"].startswith(start)
        ]
    return {**index, "config": {**index["config"], "lang": names}, "docs": own}


def options(code: str) -> str:
    """Return HTML of code in which no line ends within the name of an option.

    >>> options("<code>bertkit run --batch-size 8</code>")
    '<code>bertkit run <span class="option">--batch-size</span> 8</code>'
    """
    return _OPTION.sub(r'<span class="option">\g<0></span>', code)


def width(picture: Path) -> int:
    """Return the width of a PNG or SVG file."""
    data = picture.read_bytes()
    if picture.suffix == ".png":
        return int.from_bytes(data[16:20], "big")
    found = re.search(rb'<svg[^>]* width="(\d+)', data)
    assert found, f"{picture} has no width"
    return int(found[1])


def on_env(env: Any, files: Any, **_: Any) -> None:
    """Keep the titles of the pages, which are known when all are read."""
    _titles.update((file.dest_uri, file.page.title) for file in files.documentation_pages())


_titles: dict[str, str] = {}
"""Titles by the address of the page."""


def on_post_build(config: Any, **_: Any) -> None:
    """Write an index for each language, and mend the theme's script."""
    site = Path(config["site_dir"])
    (script,) = site.glob("assets/javascripts/bundle.*.min.js")
    text = script.read_text(encoding="utf-8")
    assert _COPY in text or _COPY.replace("nav", "div", 1) in text, f"{script} has no {_COPY}"
    script.write_text(text.replace(_COPY, _COPY.replace("nav", "div", 1)), encoding="utf-8")
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    for language in ("en", *LANGUAGES):
        path = (site if language == "en" else site / language) / "search" / "search_index.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(of_language(index, language), ensure_ascii=False, separators=(",", ":")), "utf-8")


# After the translations, which write the index of all pages last.
on_post_build.mkdocs_priority = -200  # type: ignore[attr-defined]


def on_post_page(output: str, page: Any, config: Any, **_: Any) -> str:
    """Mend the search, the menu, the tables, the links, the pictures and the code of a page."""
    language = page.url.split("/")[0]
    for wrong, right in _WRONG.items():
        output = output.replace(wrong, right.format(menu=_MENU.get(language, "Menu")), 1)
    for pattern, becomes in _MARKUP:
        output = pattern.sub(becomes, output)
    folder = posixpath.dirname(page.url)

    def at(link: str) -> str:
        return posixpath.normpath(posixpath.join(folder, link))

    def titled(found: re.Match[str]) -> str:
        return f'<a href="{found[1]}{found[2] or ""}">{_titles[at(found[1])]}</a>'

    def linked(found: re.Match[str]) -> str:
        wide = width(Path(config["docs_dir"]) / at(found[1])) > _WIDE
        return f'<a class="wide" href="{found[1]}">{found[0]}</a>' if wide else found[0]

    output = _TO_FILE.sub(titled, output)
    output = _PICTURE.sub(linked, output)
    output = _CODE.sub(lambda found: options(found[0]), output)
    return based(output) if language in LANGUAGES else output


def based(output: str) -> str:
    """Return a page whose search begins in the folder of its language.

    >>> based('<script id="__config" type="application/json">{"annotate": null, "base": "../.."}')
    '<script id="__config" type="application/json">{"annotate": null, "base": ".."}'
    >>> based('<script id="__config" type="application/json">{"base": ".."}')
    '<script id="__config" type="application/json">{"base": "."}'
    """
    return _BASE.sub(lambda found: found[1] + (found[2].removeprefix("..").removeprefix("/") or "."), output, count=1)
