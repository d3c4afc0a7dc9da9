"""The tutorial: its notebooks are those of its pages, and run. They need nothing but the package, with its built-in model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pages
import pytest

TUTORIAL = pages.DOCS / "tutorial"
ENGLISH = [page for page in pages.pages() if page.parent == TUTORIAL]
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return pages.script("notebooks")


def alike(text: str) -> str:
    """Replace the numbers with decimals, which differ a little between machines, and the widths of columns with them.

    Such an output is measured: only its number of lines is compared. All others are compared as they are.
    """
    return "\n" * text.rstrip().count("\n") if re.search(r"\d\.\d", text) else text.rstrip()


def test_notebooks_are_those_of_the_pages(script: ModuleType) -> None:
    """After a change of a page: `python scripts/notebooks.py`. It runs the blocks, too, with the word `record`."""
    made = {page.with_suffix(".ipynb"): script.written(page) for page in script.pages()}
    assert len(made) == len(ENGLISH) * (1 + len(pages.LANGUAGES)) > 0
    assert set(TUTORIAL.glob("*.ipynb")) == set(made)
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is not the notebook of its page"
        assert path.stat().st_size <= MOST_BYTES
        nbformat.validate(json.loads(text))
        assert f"]({path.name})" in path.with_suffix(".md").read_text(encoding="utf-8") or path.stem.count(".")


def test_all_blocks_are_cells(script: ModuleType) -> None:
    """A block that the script missed would be prose in the notebook, and never run."""
    for page in script.pages():
        cells = script.notebook(page)["cells"]
        found = pages.blocks(page.read_text(encoding="utf-8"))
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        outputs = [one["output_type"] for cell in cells for one in cell.get("outputs", [])]
        assert code == [block.text.rstrip("\n") for block in found if block.language == "python"], page
        assert outputs.count("stream") == sum(block.language == "text" for block in found), page
        assert outputs.count("display_data") == page.read_text(encoding="utf-8").count("!["), page
        assert not any(block.reason for block in found), page
        assert all("](" not in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"), page


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.stem)
def test_a_notebook_runs(page: Path, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A translation has the same cells, which tests/unit/test_docs.py compares."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = script.run(page.with_suffix(".ipynb").read_text(encoding="utf-8"), tmp_path)
    recorded = [match["text"] or "" for match in script.CELL.finditer(page.read_text(encoding="utf-8"))]
    assert [alike(output.text) for output in found] == [alike(text) for text in recorded]


def test_an_error_in_a_cell_is_an_error(script: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nprint(1)\n```\n\n```python\nassert 1 == 2\n```\n", encoding="utf-8")
    with pytest.raises(Exception, match="assert 1 == 2"):
        script.run(script.written(page), tmp_path)
    page.write_text("# Page\n\n```python\nprint(1)\n2\n```\n", encoding="utf-8")
    script.record(page)
    assert page.read_text(encoding="utf-8") == "# Page\n\n```python\nprint(1)\n2\n```\n\n```text\n1\n2\n```\n"
    assert script.notebook(page)["cells"][1]["outputs"][0]["text"] == ["1\n", "2\n"]
