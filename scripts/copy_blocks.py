"""Copy changed blocks of code of the English pages into their translations, which show the same ones.

    python scripts/copy_blocks.py

A page with another number of blocks than its translation is named, and left as it is: its text has changed too.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
TRANSLATED = re.compile(r"\.(ko|ja)(?=\.md$)")


def main() -> None:
    """Write each page whose blocks differ, and print its name."""
    for path in sorted(DOCS.rglob("*.md")):
        english = path.with_name(TRANSLATED.sub("", path.name))
        if english == path:
            continue
        text, blocks = path.read_text(encoding="utf-8"), BLOCK.findall(english.read_text(encoding="utf-8"))
        if len(BLOCK.findall(text)) != len(blocks):
            print(f"{path}: another number of blocks than {english.name}")
            continue
        rest = iter(blocks)
        copied = BLOCK.sub(lambda _, rest=rest: next(rest), text)  # type: ignore[misc]
        if copied != text:
            path.write_text(copied, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
