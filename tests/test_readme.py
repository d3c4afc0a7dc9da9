"""The examples of the README, and the list of files. CI runs its two commands, and tests/unit/test_docs.py the pages."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

from terminal import seen

ROOT = Path(__file__).parents[1]


def blocks(language: str, page: str = "README.md") -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_first_command_prints_what_it_says() -> None:
    command = blocks("bash")[0].rpartition("&&")[2].strip()
    name, *words = shlex.split(command)
    assert name == ".venv/bin/bertkit"
    assert seen(words, NO_COLOR="1") == blocks("text")[0]


def _is_session(block: str) -> bool:
    return block.startswith(">>>")


def test_its_python_runs() -> None:
    test = doctest.DocTestParser().get_doctest(
        "".join(filter(_is_session, blocks("python"))), {}, "README.md", "README.md", 0
    )
    assert len(test.examples) == 9
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_list_of_files_is_complete() -> None:
    """Each file of the package has a line, and each line a file or folder."""
    folders: list[str] = []
    listed = set()
    for line in blocks("text", "docs/architecture.md")[0].splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()  # type: ignore[union-attr]
        folders[len(indent) // 2 :] = [name]
        listed.add("".join(folders))
    assert all((ROOT / name).exists() for name in listed)
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py")}
    missing = {
        file
        for file in files
        if not any(file == name or (name.endswith("/") and file.startswith(name)) for name in _leaves(listed))
    }
    assert not missing


def _leaves(listed: set[str]) -> set[str]:
    """The listed names without entries below them."""
    return {name for name in listed if not any(other != name and other.startswith(name) for other in listed)}


def test_its_commands_install_the_tested_versions() -> None:
    for command, installs in zip(blocks("bash"), (1, 2), strict=True):
        assert command.count("pip install") == command.count("-c constraints.txt") == installs
