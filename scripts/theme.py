"""A hook of MkDocs: what the theme lacks. Each language has its own search, and the keyboard reaches the menu of a phone.

The translations build one index of all pages. Here, it is split: NAME/search/search_index.json has the pages in NAME/, and these
take NAME/ as the base of the search.
"""

from __future__ import annotations

import json
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


def on_post_build(config: Any, **_: Any) -> None:
    """Write an index for each language."""
    site = Path(config["site_dir"])
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    for language in ("en", *LANGUAGES):
        path = (site if language == "en" else site / language) / "search" / "search_index.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(of_language(index, language), ensure_ascii=False, separators=(",", ":")), "utf-8")


# After the translations, which write the index of all pages last.
on_post_build.mkdocs_priority = -200  # type: ignore[attr-defined]


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Mend the search, the button of the menu, and the tables of a page."""
    language = page.url.split("/")[0]
    for wrong, right in _WRONG.items():
        output = output.replace(wrong, right.format(menu=_MENU.get(language, "Menu")), 1)
    output = output.replace("<table>", '<table tabindex="0">')  # wide tables scroll, also by the keyboard
    return based(output) if language in LANGUAGES else output


def based(output: str) -> str:
    """Return a page whose search begins in the folder of its language.

    >>> based('<script id="__config" type="application/json">{"annotate": null, "base": "../.."}')
    '<script id="__config" type="application/json">{"annotate": null, "base": ".."}'
    >>> based('<script id="__config" type="application/json">{"base": ".."}')
    '<script id="__config" type="application/json">{"base": "."}'
    """
    return _BASE.sub(lambda found: found[1] + (found[2].removeprefix("..").removeprefix("/") or "."), output, count=1)
