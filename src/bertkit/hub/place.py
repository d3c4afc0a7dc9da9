"""A place: a folder, or a repository that is used like one. Finding a place by its name, and reading its text files."""

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
"""Each folder in it is a built-in model."""

BUILT_IN = "builtin:"
"""The start of the names of built-in models. No id on the Hub has a colon, and no folder is looked up by such a name."""

DEFAULT_MODEL = f"{BUILT_IN}english"
"""The built-in model that answers if no model is passed."""

_PLAIN = r"(?!\.\.?(?:/|$))[^/\\:\x00-\x1f\x7f]+"
RELATIVE = re.compile(rf"{_PLAIN}(?:/{_PLAIN})*")
"""A relative path that cannot leave its folder, on any operating system."""

MOST_VALUES = 2_500_000
"""The maximum number of values in a JSON text. A configuration with a million labels has half as many."""

MOST_DEPTH = 100
"""The maximum nesting of arrays and objects in a JSON text."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Place:
    """Where the files of a model are: a folder, or a repository whose files are downloaded when they are first needed.

    Only names in `files` are accepted, so that no name leads out of the place. If the user named a file, `file` is its path,
    and the place is the folder that contains it.
    """

    where: str
    files: tuple[str, ...]
    get: Callable[[str], Path] = field(repr=False)
    advice: str = field(default="", repr=False)
    file: Path | None = None
    name: str = ""  # the argument of `locate`
    inner: Callable[[str], Place] | None = field(default=None, repr=False)  # the name of a subfolder -> its place

    def __fspath__(self) -> str:
        return self.name

    def find(self, *names: str) -> Path | None:
        """Return the local path of the first of `names` that exists, or None."""
        return next((self.get(name) for name in names if name in self.files), None)

    def fetch(self, *names: str) -> Path:
        """Return the local path of the first of `names` that exists. Otherwise raise a HubError that lists the files."""
        for name in names:
            if name in self.files:
                return self.get(name)
        first = ", ".join(printable(file, 80) for file in self.files[:10]) or "no files"
        more = f" and {len(self.files) - 10} more" if len(self.files) > 10 else ""
        raise HubError(f"There is no {' or '.join(names)} in {self.where}, which has {first}{more}.{self.advice}")

    def below(self, folder: str) -> Place:
        """Return the place of a subfolder. If it does not exist, the place has no files."""
        if self.inner is None or not RELATIVE.fullmatch(folder):
            raise HubError(
                f"{folder!r:.80} may lead out of {self.where}: only the names of its subfolders are accepted, without '..'."
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
    """Return the place called `name`: a folder or file on this disk, a built-in model, or a repository of the Hub.

    A `Place` is returned unchanged. A `Path` is never looked up on the Hub. A name such as "builtin:english" is only looked up
    among the built-in models. `revision` is a branch, a tag or a commit.
    `token=None` sends the stored token if there is one, True requires a stored token, and False sends no token.
    With `local_files_only=True` or HF_HUB_OFFLINE=1, only the cache is used. It is also used if the Hub cannot be reached.

    >>> place = locate(ASSETS.parent)
    >>> place.find("no_such_file.py", "errors.py").name
    'errors.py'
    """
    if isinstance(name, Place):
        return name
    if not isinstance(name, (str, os.PathLike)):
        raise UsageError(f"The name of a model is a string or a path, not {name!r:.80}.")
    for what, text in (("subfolder", subfolder), ("revision", revision)):
        if text and not RELATIVE.fullmatch(text):
            raise HubError(
                f"{what}={text!r:.80} is invalid: it takes plain names joined by '/', without '..', ':' or '\\'."
            )
    if isinstance(name, str) and name.startswith(BUILT_IN):
        path = ASSETS / name.removeprefix(BUILT_IN) if name in built_in_models() else None
    else:
        path = Path(name) if os.path.exists(name) else _abbreviated(name)  # noqa: PTH110 - raises for no name
    if path is not None:
        folder, file = (path, None) if path.is_dir() else (path.parent, path)
        place = folder_place(folder / subfolder, f"the folder {(folder / subfolder).absolute()}", file=file)
        return replace(place, name=os.fspath(name))
    from bertkit.hub.repository import on_the_hub

    place = on_the_hub(name, revision or "main", subfolder, cache_dir, token, force_download, local_files_only)
    return replace(place, name=os.fspath(name))


def folder_place(folder: Path, where: str, advice: str = "", file: Path | None = None) -> Place:
    """Return the files of a folder as a place. `where` is its name in errors, and `advice` the end of their messages."""
    try:
        files = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise HubError(f"{folder} cannot be read: {error.strerror}.{advice}") from error
    return Place(where, tuple(files), folder.joinpath, advice, file, inner=partial(_below, folder, where, advice))


def _below(folder: Path, where: str, advice: str, name: str) -> Place:
    inner, where = folder / name, f"{where}/{name}"
    return folder_place(inner, where, advice) if inner.is_dir() else Place(where, (), inner.joinpath, advice)


def built_in_models() -> list[str]:
    """Return the names of the models that are part of bertkit, such as "builtin:english"."""
    return sorted(f"{BUILT_IN}{path.name}" for path in ASSETS.glob("*") if path.is_dir())


def _abbreviated(name: str | os.PathLike[str]) -> Path | None:
    """Return the path for `~/...` or for the common prefix of a TensorFlow checkpoint, or None."""
    try:
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises for a user that does not exist
        if name != "":  # Path("") is the current folder
            path.stat()
            return path
    except (FileNotFoundError, NotADirectoryError):
        index = path.with_name(f"{path.name}.index")  # a TensorFlow checkpoint is named by the prefix of its files
        if os.path.isfile(index):  # noqa: PTH113 - does not raise for a name that is too long
            return index
    except ValueError:  # a NUL byte or a lone surrogate
        pass
    except OSError as error:
        raise HubError(f"{os.fspath(name)!r:.80} cannot be opened: {error.strerror}.") from error
    return None


def read_text(path: str | os.PathLike[str], most_bytes: int, refusal: Refusal) -> str:
    """Return the text of a UTF-8 file without its byte-order mark. Errors are raised as `refusal`."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise refusal(f"{path} is not a file.")
        if status.st_size > most_bytes:
            raise refusal(f"{path} has {status.st_size} bytes, and bertkit reads up to {most_bytes} of such a file.")
        with open(path, "rb") as file:
            text = file.read(most_bytes).decode("utf-8-sig")  # the file may grow meanwhile
    except OSError as error:
        raise refusal(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise refusal(
            f"{path} is not UTF-8 text (byte {error.start}): it is a binary file, or a text to be saved as UTF-8."
        ) from error
    if "\0" in text:
        raise refusal(f"{path} is a binary file, or UTF-16 text: save it as UTF-8.")
    refuse_stand_in(path, text[:LONGEST_MARK].encode(), refusal)
    return text


_POINTER = b"version https://git-lfs.github.com/spec/"
LONGEST_MARK = len(_POINTER)


def refuse_stand_in(path: str | os.PathLike[str], start: bytes, refusal: Refusal) -> None:
    """Raise `refusal` for a Git LFS pointer or an HTML page, which are often saved instead of a file."""
    if start.startswith(_POINTER):
        raise refusal(f"{path} is a Git LFS pointer, not the file itself. Type in its folder: git lfs pull")
    if start.lower().startswith((b"<!doctype html", b"<html")):
        raise refusal(f"{path} is an HTML page, not the file itself: download the file.")


def parse_object(text: str, where: str, refusal: Refusal) -> dict[str, Any]:
    """Return the object in a JSON text. `where` names the file in the errors, which are raised as `refusal`.

    The number and the nesting of values are limited:

    >>> parse_object('{"a": ' + "[" * 200 + "]" * 200 + "}", "config.json", HubError)
    Traceback (most recent call last):
    ...
    bertkit.errors.HubError: config.json is nested more than 100 deep: write it with fewer nested lists and objects.
    """
    try:
        if sum(map(text.count, ",[{")) > MOST_VALUES:  # an upper bound of the number of values
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
        raise refusal(f"{where} has a lone surrogate (\\ud800 to \\udfff, half of a character): remove it.") from error
    except RecursionError as error:
        advice = "write it with fewer nested lists and objects"
        raise refusal(f"{where} is nested more than {MOST_DEPTH} deep: {advice}.") from error
    except ValueError as error:
        raise refusal(f"{where} is not valid JSON ({error}): download or write it again.") from error
    if not isinstance(value, dict):
        raise refusal(f"{where} holds a {type(value).__name__}, and an object {{...}} is expected.")
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the key-value pairs of a JSON object as a dictionary. Raises ValueError for a repeated key."""
    value = dict(pairs)
    if len(value) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r:.80} occurs twice")
    return value
