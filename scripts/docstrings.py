"""An extension of mkdocstrings: docstrings as they are written in the package become Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

SESSION = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
NAME = r"\w+(?: \[[^\]]*\])?"
ARGUMENTS = re.compile(rf"^({NAME}(?:, {NAME})*): ", re.MULTILINE)


def paragraph(text: str) -> str:
    """Return a paragraph with an item of a list for each argument."""
    before, *found = re.split(r"^(?=\0)", ARGUMENTS.sub(lambda name: f"\0{name[1]}\0", text), flags=re.MULTILINE)
    items = []
    for item in found:
        _, name, meaning = item.rstrip("\n").split("\0")
        items.append(f"- **{name}**: {meaning}".replace("\n", "\n  "))
    return "\n\n".join(part for part in (before.rstrip("\n"), "\n".join(items)) if part)


def markdown(text: str) -> str:
    """Return a docstring with its sessions in blocks of code, and a list of its arguments."""
    text = SESSION.sub(lambda session: f"\n\n```python\n{session[0]}\n```\n\n", text)
    parts = re.split(r"\n\s*\n", text)
    return "\n\n".join(part if part.startswith("```") else paragraph(part) for part in parts if part.strip())


class Docstrings(Extension):
    """Change each docstring when it is read."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
