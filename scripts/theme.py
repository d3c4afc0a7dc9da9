"""A hook of MkDocs: what the theme lacks. Each language has its own search, and the search has no role of a dialog.

The translations build one index of all pages. Here, it is split: NAME/search/search_index.json has the pages in NAME/, for its language, and pages in
NAME/ take NAME/ as the base of the search.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

LANGUAGES = ("ko", "ja")
"""The folders of the translations."""

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
            {**page, "location": page["location"].removeprefix(start)} for page in pages if page["location"].startswith(start)
        ]
    return {**index, "config": {**index["config"], "lang": names}, "docs": own}


@event_priority(-200)  # after the plugin of the translations, which writes the index of all pages last
def on_post_build(config: Any, **_: Any) -> None:
    """Write an index for each language."""
    site = Path(config["site_dir"])
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    for language in ("en", *LANGUAGES):
        path = (site if language == "en" else site / language) / "search" / "search_index.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(of_language(index, language), ensure_ascii=False, separators=(",", ":")), "utf-8")


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Mend a page."""
    output = output.replace(' data-md-component="search" role="dialog"', ' data-md-component="search"', 1)
    return based(output) if page.url.split("/")[0] in LANGUAGES else output


def based(output: str) -> str:
    """Return a page whose search begins in the folder of its language.

    >>> based('<script id="__config" type="application/json">{"annotate": null, "base": "../.."}')
    '<script id="__config" type="application/json">{"annotate": null, "base": ".."}'
    >>> based('<script id="__config" type="application/json">{"base": ".."}')
    '<script id="__config" type="application/json">{"base": "."}'
    """
    return _BASE.sub(lambda found: found[1] + (found[2].removeprefix("..").removeprefix("/") or "."), output, count=1)
