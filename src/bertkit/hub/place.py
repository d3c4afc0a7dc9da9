"""A place: a folder, or a repository that is like one; how a name leads to it, and what its files say that are text."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError, HubError, UsageError, printable

Refusal = type[BertkitError]

ASSETS = Path(__file__).parents[1] / "assets"
"""Each folder below it is a built-in model."""

_PLAIN = r"(?!\.\.?(?:/|$))[^/\\:\x00-\x1f\x7f]+"
RELATIVE = re.compile(rf"{_PLAIN}(?:/{_PLAIN})*")
"""A path that stays below where it starts, on any system."""

MOST_VALUES = 2_500_000
"""Of a text of JSON. A million labels, each in id2label and in label2id, are half of that."""

MOST_DEPTH = 100
"""Of arrays and objects within each other, in a text of JSON."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


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
    name: str = ""  # by which it was located
    inner: Callable[[str], Place] | None = field(default=None, repr=False)  # the place of a folder in it

    def __fspath__(self) -> str:
        return self.name

    def find(self, *names: str) -> Path | None:
        """The first of `names` that is there, as a local path; None where none of them is."""
        return next((self.get(name) for name in names if name in self.files), None)

    def fetch(self, *names: str) -> Path:
        """The first of `names` that is there, as a local path; where none of them is, an error that lists what is."""
        for name in names:
            if name in self.files:
                return self.get(name)
        first = ", ".join(printable(file, 80) for file in self.files[:10]) or "no files"
        more = f" and {len(self.files) - 10} more" if len(self.files) > 10 else ""
        raise HubError(f"There is no {' or '.join(names)} in {self.where}, which has {first}{more}.{self.advice}")

    def below(self, folder: str) -> Place:
        """A folder in it, as a place. Where there is no such folder, the place has no files."""
        if self.inner is None or not RELATIVE.fullmatch(folder):
            raise HubError(
                f"{folder!r:.80} may lead out of {self.where}: the names of folders in it are accepted, without '..'."
            )
        return self.inner(folder)


def locate(
    name: str | os.PathLike[str] | Place,
    *,
    revision: str | None = "main",
    subfolder: str = "",
    cache_dir: str | os.PathLike[str] | None = None,
    token: bool | str | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Place:
    """The place that `name` means: something on this disk, else a built-in model, else a repository of the Hub.

    A `Place` is returned as it is, so that several readers share one. A `Path` never leads to the Hub. `revision` is a branch,
    a tag or a commit. With `token=None` huggingface_hub sends the token that it finds, True insists on one, False sends none.
    With `local_files_only` or HF_HUB_OFFLINE=1, only the cache is looked at; it also steps in where the Hub gives nothing.

    >>> place = locate(ASSETS.parent)
    >>> place.find("no_such_file.py", "config.py").name
    'config.py'
    """
    if isinstance(name, Place):
        return name
    if not isinstance(name, (str, os.PathLike)):
        raise UsageError(f"A model is named by a string or a path, not by {name!r:.80}.")
    for what, text in (("subfolder", subfolder), ("revision", revision)):
        if text and not RELATIVE.fullmatch(text):
            raise HubError(
                f"{what}={text!r:.80} may lead elsewhere: it takes plain names joined by '/', no '..', ':' or '\\'."
            )
    path = Path(name) if os.path.exists(name) else _abbreviated(name)  # noqa: PTH110 - which no name upsets
    if path is not None:
        folder, file = (path, None) if path.is_dir() else (path.parent, path)
        place = folder_place(folder / subfolder, f"the folder {(folder / subfolder).absolute()}", file=file)
        return replace(place, name=os.fspath(name))
    from bertkit.hub.repository import on_the_hub

    place = on_the_hub(name, revision or "main", subfolder, cache_dir, token, force_download, local_files_only)
    return replace(place, name=os.fspath(name))


def folder_place(folder: Path, where: str, advice: str = "", file: Path | None = None) -> Place:
    """The files of a folder as a place. `where` is what to call it, `advice` is said to those who miss a file."""
    try:
        files = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise HubError(f"{folder} cannot be read: {error.strerror}.{advice}") from error
    return Place(where, tuple(files), folder.joinpath, advice, file, inner=partial(_below, folder, where, advice))


def _below(folder: Path, where: str, advice: str, name: str) -> Place:
    inner, where = folder / name, f"{where}/{name}"
    return folder_place(inner, where, advice) if inner.is_dir() else Place(where, (), inner.joinpath, advice)


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
        raise HubError(f"{os.fspath(name)!r:.80} cannot be opened: {error.strerror}.") from error
    return ASSETS / name if name in built_in_models() else None


def read_text(path: str | os.PathLike[str], most_bytes: int, refusal: Refusal) -> str:
    """The text of a UTF-8 file of a bounded size, without its byte-order mark. `refusal` is what a sentence is raised as."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise refusal(f"{path} is not a file.")
        if status.st_size > most_bytes:
            raise refusal(f"{path} has {status.st_size} bytes, and bertkit reads up to {most_bytes} of such a file.")
        with open(path, "rb") as file:
            text = file.read(most_bytes).decode("utf-8-sig")  # no more, should it grow meanwhile
    except OSError as error:
        raise refusal(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise refusal(
            f"{path} is not text in UTF-8 (byte {error.start}): it is a binary file, or a text to be saved as UTF-8."
        ) from error
    if "\0" in text:
        raise refusal(f"{path} is a binary file, or a text in UTF-16: save it as UTF-8.")
    refuse_stand_in(path, text[:LONGEST_MARK].encode(), refusal)
    return text


_POINTER = b"version https://git-lfs.github.com/spec/"
LONGEST_MARK = len(_POINTER)


def refuse_stand_in(path: str | os.PathLike[str], start: bytes, refusal: Refusal) -> None:
    """Raises `refusal` for what is often saved in place of a file: a Git LFS pointer or a web page."""
    if start.startswith(_POINTER):
        raise refusal(f"{path} is not the file but Git LFS's note of where it is. Type in its folder: git lfs pull")
    if start.lower().startswith((b"<!doctype html", b"<html")):
        raise refusal(f"{path} is a web page, saved under the name of a file: download the file itself.")


def parse_object(text: str, where: str, refusal: Refusal) -> dict[str, Any]:
    """The object that is written as JSON. `where` names the file in the errors, which are raised as `refusal`.

    A short text does not become a large or a deep value:

    >>> parse_object('{"a": ' + "[" * 200 + "]" * 200 + "}", "config.json", HubError)
    Traceback (most recent call last):
    ...
    bertkit.errors.HubError: config.json is nested more than 100 deep: write it with fewer lists in lists.
    """
    try:
        if sum(map(text.count, ",[{")) > MOST_VALUES:  # there are no more values than that
            raise ValueError(f"it has more than {MOST_VALUES:,} commas and brackets")
        value = json.loads(text, object_pairs_hook=_without_repetition)
        level: list[Any] = [[value]]
        for _ in range(MOST_DEPTH + 1):
            inner = (child for outer in level for child in (outer.values() if isinstance(outer, dict) else outer))
            level = [child for child in inner if isinstance(child, (dict, list))]
        if level:
            raise RecursionError
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise refusal(f"{where} has half of a character in it (a lone surrogate, \\ud800 to \\udfff).") from error
    except RecursionError as error:
        raise refusal(f"{where} is nested more than {MOST_DEPTH} deep: write it with fewer lists in lists.") from error
    except ValueError as error:
        raise refusal(f"{where} is not JSON that bertkit reads ({error}): download or write it again.") from error
    if not isinstance(value, dict):
        raise refusal(f"{where} holds a {type(value).__name__}, where an object {{...}} is expected.")
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, or a ValueError where a key stands twice: whoever wrote it meant one of two things."""
    value = dict(pairs)
    if len(value) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r:.80} stands there twice")
    return value
