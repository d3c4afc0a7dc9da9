"""A place: a folder, or a repository that is like one; and how a name leads to it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bertkit.errors import HubError, UsageError

ASSETS = Path(__file__).parents[1] / "assets"
"""Each folder below it is a built-in model."""

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


def locate(
    name: str | os.PathLike[str],
    *,
    revision: str | None = "main",
    subfolder: str = "",
    cache_dir: str | os.PathLike[str] | None = None,
    token: bool | str | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Place:
    """The place that `name` means: something on this disk, else a built-in model, else a repository of the Hub.

    A `Path` never leads to the Hub. `revision` is a branch, a tag or a commit. With `token=None` huggingface_hub sends
    the token that it finds, True insists on one, False sends none. With `local_files_only`, or HF_HUB_OFFLINE=1 around,
    only the cache is looked at; it also steps in where the Hub gives nothing.

    >>> place = locate(ASSETS.parent)
    >>> place.find("no_such_file.py", "config.py").name
    'config.py'
    """
    if not isinstance(name, (str, os.PathLike)):
        raise UsageError(f"A model is named by a string or a path, not by {name!r}.")
    for what, text in (("subfolder", subfolder), ("revision", revision)):
        if text and not RELATIVE.fullmatch(text):
            raise HubError(
                f"{what}={text!r} may lead elsewhere: it takes plain names joined by '/', no '..', ':' or '\\'."
            )
    path = Path(name) if os.path.exists(name) else _abbreviated(name)  # noqa: PTH110 - which no name upsets
    if path is not None:
        folder, file = (path, None) if path.is_dir() else (path.parent, path)
        return folder_place(folder / subfolder, f"the folder {(folder / subfolder).absolute()}", file=file)
    from bertkit.hub.repository import on_the_hub

    return on_the_hub(name, revision or "main", subfolder, cache_dir, token, force_download, local_files_only)


def folder_place(folder: Path, where: str, advice: str = "", file: Path | None = None) -> Place:
    """The files of a folder as a place. `where` is what to call it, `advice` is said to those who miss a file."""
    try:
        files = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise HubError(f"{folder} cannot be read: {error.strerror}.{advice}") from error
    return Place(where, tuple(files), folder.joinpath, advice, file)


def built_in_models() -> list[str]:
    """The names of the models that come with bertkit."""
    return sorted(path.name for path in ASSETS.glob("*") if path.is_dir())


def _abbreviated(name: str | os.PathLike[str]) -> Path | None:
    """What a name stands for that is no path as it is: a home folder, a TensorFlow checkpoint or a built-in model."""
    try:
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises for a user that does not exist
        if name != "":  # which Path takes for the current folder
            path.stat()
            return path
    except (FileNotFoundError, NotADirectoryError):
        index = path.with_name(
            f"{path.name}.index"
        )  # what the files of a TensorFlow checkpoint have in common names it
        if os.path.isfile(index):  # noqa: PTH113 - which a name too long does not upset
            return index
    except ValueError:  # a NUL byte or a lone surrogate
        pass
    except OSError as error:
        raise HubError(f"{os.fspath(name)!r} cannot be opened: {error.strerror}.") from error
    return ASSETS / name if name in built_in_models() else None
