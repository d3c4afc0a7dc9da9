"""A place: a folder, or a repository that is like one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bertkit.errors import HubError

_PLAIN = r"(?!\.\.?(?:/|$))[^/\\:\x00-\x1f\x7f]+"
RELATIVE = re.compile(rf"{_PLAIN}(?:/{_PLAIN})*")
"""A path that stays below where it starts, on any system."""


@dataclass(frozen=True)
class Place:
    """Where the files of a model are: a folder, or a repository that downloads a file when it is asked for.

    Only a name out of `files` leads to a path, so that no name leads elsewhere. `file` is set where the user named a
    file: the place is then the folder around it.
    """

    where: str
    files: tuple[str, ...]
    get: Callable[[str], Path] = field(repr=False)
    advice: str = field(default="", repr=False)
    file: Path | None = None

    def find(self, *names: str) -> Path | None:
        """The first of `names` that is there, as a local path; None where none of them is."""
        return next((self.get(name) for name in names if name in self.files), None)

    def fetch(self, *names: str) -> Path:
        """The first of `names` that is there, as a local path; where none of them is, an error that lists what is."""
        path = self.find(*names)
        if path is None:
            shown = ", ".join(self.files[:10]) or "no files"
            more = f" and {len(self.files) - 10} more" if len(self.files) > 10 else ""
            raise HubError(f"There is no {' or '.join(names)} in {self.where}, which has {shown}{more}.{self.advice}")
        return path


def folder_place(folder: Path, where: str, advice: str = "", file: Path | None = None) -> Place:
    """The files of a folder as a place. `where` is what to call it, `advice` is said to those who miss a file."""
    try:
        files = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise HubError(f"{folder} cannot be read: {error.strerror}.{advice}") from error
    return Place(where, tuple(files), folder.joinpath, advice, file)
