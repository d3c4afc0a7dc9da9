"""A hook of MkDocs: headings of a translated page have the anchors of the English page, so links need no translation."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

NO_TEXT = re.compile(r"^(```.*?^```[ \t]*$|<!--.*?-->)", re.MULTILINE | re.DOTALL)
"""Blocks of code and comments: lines in them that start with # are no headings."""

HEADING = re.compile(r"^(#{1,6}) +(.*?) *$", re.MULTILINE)
TRANSLATED = re.compile(r"\.(ko|ja)(?=\.md$)")


def headings(text: str) -> list[tuple[int, str]]:
    """Return the level and the text of each heading of a page."""
    return [(len(marks), title) for marks, title in HEADING.findall(NO_TEXT.sub("", text))]


def anchors(text: str) -> list[str]:
    r"""Return the anchor of each heading of a page.

    >>> anchors("# Long texts\n## `on_long`, in short\n## Long texts")
    ['long-texts', 'on_long-in-short', 'long-texts_1']
    """
    found: list[str] = []
    for _, title in headings(text):
        plain = unicodedata.normalize("NFKD", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)).encode("ascii", "ignore")
        own = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain.decode()).strip().lower())
        earlier = sum(re.fullmatch(rf"{re.escape(own)}(_\d+)?", other) is not None for other in found)
        found.append(f"{own}_{earlier}" if earlier else own)
    return found


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Give the headings of a translated page the anchors of the English page, one after the other."""
    path = Path(page.file.abs_src_path)
    english = path.with_name(TRANSLATED.sub("", path.name))
    if english == path:
        return markdown
    names = iter(anchors(english.read_text(encoding="utf-8")))
    parts = NO_TEXT.split(markdown)  # text, block, text, ...
    for place in range(0, len(parts), 2):
        parts[place] = HEADING.sub(lambda found: f"{found[0].rstrip()} {{ #{next(names, 'more')} }}", parts[place])
    return "".join(parts)
