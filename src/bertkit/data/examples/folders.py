"""Read a folder with a folder for each class: `pos/1.txt`, `neg/1.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bertkit.data.lines import read_document
from bertkit.errors import DataError


def class_files(name: str, encoding: str = "utf-8") -> Iterator[tuple[str, Any]]:
    """Return (path in the folder, {"text", "label"}) for each text file, one of each class in turn.

    Raises DataError if no folder in it has a text file.
    """
    root = Path(name)
    if not root.is_dir():
        raise DataError(f"There is no folder {name}." if not root.exists() else f"{name} is a file, not a folder.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    classes = [sorted(path for path in folder.glob("*.txt") if path.is_file()) for folder in folders]
    if not any(classes):
        raise DataError(
            f"{name} has no folders with .txt files: make one for each class, for example {root / 'good' / '1.txt'}"
        )
    return _texts(root, classes, encoding)


def _texts(root: Path, classes: list[list[Path]], encoding: str) -> Iterator[tuple[str, Any]]:
    for paths in zip_longest(*classes):
        for path in filter(None, paths):
            place = path.relative_to(root).as_posix()
            try:
                yield place, {"text": read_document(str(path), encoding).rstrip("\r\n"), "label": path.parent.name}
            except DataError as error:
                yield place, error
