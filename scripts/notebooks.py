"""Write the notebooks of the tutorial from its pages, and what their blocks print and draw into the pages.

    python scripts/notebooks.py           write docs/tutorial/*.ipynb, from the pages as they are
    python scripts/notebooks.py record    first run the English pages as notebooks, and write the outputs into all pages;
                                          `record vectors` runs one page

A block of Python is a cell. Directly after it, a block of text is what it prints, and a picture what it draws. All else is prose.
So a page has all that its notebook has. `record` needs nbclient and ipykernel, and the built-in model.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "tutorial"

CELL = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<text>.*?)^```\n)?(?:\n!\[(?P<about>[^]]*)\]\((?P<picture>\S+\.png)\)\n)?",
    re.MULTILINE | re.DOTALL,
)
DOWNLOAD = re.compile(r"^\[[^]]*\]\(\S+\.ipynb\)\n\n", re.MULTILINE)
LINK = re.compile(r"\[([^]]*)\]\((?!\w+:)[^)]*\)")


class Output(NamedTuple):
    """What a cell printed, and its picture as base64."""

    text: str = ""
    picture: str = ""


def pages() -> list[Path]:
    """Return the pages of all languages."""
    return sorted(PAGES.glob("*.md"))


def notebook(page: Path) -> dict[str, Any]:
    """Return the notebook of a page, in the format 4.5 of Jupyter."""
    cells = list(_cells(page))
    return {
        "cells": [{"id": str(number), "metadata": {}, **cell} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cells(page: Path) -> Iterator[dict[str, Any]]:
    text = DOWNLOAD.sub("", page.read_text(encoding="utf-8"))
    end = 0
    for count, found in enumerate(CELL.finditer(text), 1):
        yield from _prose(text[end : found.start()])
        outputs = _outputs(found, page.parent)
        yield {"cell_type": "code", "execution_count": count, "source": _lines(found["code"]), "outputs": outputs}
        end = found.end()
    yield from _prose(text[end:])


def _prose(text: str) -> Iterator[dict[str, Any]]:
    """Yield a cell without links to other files, which a downloaded notebook does not have beside it."""
    if text.strip():
        yield {"cell_type": "markdown", "source": _lines(LINK.sub(r"\1", text))}


def _outputs(found: re.Match[str], folder: Path) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = []
    if found["text"]:
        lines = found["text"].splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    picture = folder / (found["picture"] or "")
    if picture.is_file():  # not before the first run
        drawn = base64.b64encode(picture.read_bytes()).decode()
        data = {"image/png": drawn, "text/plain": [found["about"]]}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    return outputs


def _lines(text: str) -> list[str]:
    return text.strip("\n").splitlines(keepends=True)


def written(page: Path) -> str:
    """Return the file of the notebook of a page."""
    return json.dumps(notebook(page), ensure_ascii=False, indent=1) + "\n"


def run(text: str, folder: Path) -> list[Output]:
    """Run the file of a notebook in a folder, and return what its cells print and draw. An error in a cell is an error here."""
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(made, kernel_name="python3", timeout=1800, startup_timeout=600, resources=where).execute()
    return [_output(cell.outputs) for cell in made.cells if cell.cell_type == "code"]


def _output(outputs: list[Any]) -> Output:
    """Leave out messages, which are no part of the answer."""
    text, picture = "", ""
    for one in outputs:
        data = one.get("data", {})
        picture = data.get("image/png", picture)
        if one.output_type == "stream" and one.name == "stdout":
            text += one.text
        elif "text/plain" in data and "image/png" not in data:
            text += f"{data['text/plain']}\n"
    return Output(text, picture)


def record(page: Path) -> None:
    """Run an English page, and write its outputs into it and its pictures beside it."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = iter(run(written(page), Path(folder)))

    def block(found: re.Match[str]) -> str:
        output = next(outputs)
        parts = [f"```python\n{found['code']}```\n"]
        if output.text:
            parts.append(f"```text\n{output.text.rstrip()}\n```\n")
        if bool(found["picture"]) != bool(output.picture):
            raise SystemExit(
                f"{page}: the picture of a block and its line ![...](NAME.png) belong together:\n{found['code']}"
            )
        if found["picture"]:
            (page.parent / found["picture"]).write_bytes(base64.b64decode(output.picture))
            parts.append(f"![{found['about']}]({found['picture']})\n")
        return "\n".join(parts)

    page.write_text(CELL.sub(block, page.read_text(encoding="utf-8")), encoding="utf-8")


def main(words: list[str]) -> None:
    """Write the notebooks, with `record` after running them."""
    english = {page.stem: page for page in pages() if "." not in page.stem}
    if words[:1] not in ([], ["record"]) or not set(words[1:]) <= set(english):
        raise SystemExit(__doc__)
    if words:
        for name in words[1:] or english:
            print(f"running {name}", flush=True)
            record(english[name])
        subprocess.run([sys.executable, str(ROOT / "scripts" / "copy_blocks.py")], check=True)
    for page in pages():
        page.with_suffix(".ipynb").write_text(written(page), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
