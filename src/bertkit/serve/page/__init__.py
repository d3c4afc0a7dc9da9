"""The playground: a page for people, on which they try the models of the server.

`index.html` names its style sheet and its scripts. The server sends all as one document, which needs no other address.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_LINK = re.compile(r'<link rel="stylesheet" href="(\w+\.css)">')
_SCRIPT = re.compile(r'<script src="(\w+\.js)"></script>')


@cache
def page() -> tuple[str, dict[str, str]]:
    """The page, and the headers with which it is sent. Only the style and the scripts of these files can run on it.

    >>> text, headers = page()
    >>> "default-src 'none'" in headers["content-security-policy"]
    True
    """
    text = (_FOLDER / "index.html").read_text("utf-8")
    style = _joined(_LINK, text)
    script = _joined(_SCRIPT, text)
    text = _replaced(_LINK, text, f"<style>{style}</style>")
    text = _replaced(_SCRIPT, text, f"<script>{script}</script>")
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "connect-src": "'self'",
        "img-src": "data:",  # the empty icon
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",  # text can become markup nowhere
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return text, headers


def _joined(link: re.Pattern[str], text: str) -> str:
    """The files that the page names, one after the other."""
    return "".join((_FOLDER / name).read_text("utf-8") for name in link.findall(text))


def _replaced(link: re.Pattern[str], text: str, by: str) -> str:
    """The page with `by` in place of the first name of a file, and without the others."""
    before, after = link.split(text, maxsplit=1)[::2]  # without the name between them
    return before + by + link.sub("", after)


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
