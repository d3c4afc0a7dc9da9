"""A name -> local files: a folder, a file, a built-in model, or a repository of the Hub.

    place = locate("google-bert/bert-base-uncased")
    place.find("model.safetensors", "pytorch_model.bin")  # the first that is there, as a local path, or None
    place.fetch("config.json")                            # the same, and an error where it is absent

The Hub is asked once per place, for the list of its files. All of them come from one commit, each is downloaded when
it is asked for, and nothing is asked about those that the cache has. That is online.py, which is imported for names on
the Hub only, as huggingface_hub takes long to import.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from bertkit.errors import HubError, UsageError
from bertkit.hub.cache import Repository
from bertkit.hub.place import RELATIVE, Place, folder_place

__all__ = ["ASSETS", "Place", "built_in_models", "locate"]

ASSETS = Path(__file__).parents[1] / "assets"
"""Each folder below it is a built-in model."""

_HUB_ID = re.compile(r"(?!.*(?:--|\.\.|\.git$))(?:\w(?:[\w.-]*\w)?/)?\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_logger = logging.getLogger(__name__)


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
    _check_relative("subfolder", subfolder)
    _check_relative("revision", revision)
    path = _on_disk(name)
    if path is not None:
        folder, file = (path, None) if path.is_dir() else (path.parent, path)
        return folder_place(folder / subfolder, f"the folder {(folder / subfolder).absolute()}", file=file)
    repository = Repository(_hub_id(name), revision or "main", subfolder, _cache(cache_dir))
    offline = "local_files_only=True" if local_files_only else _offline_mode()
    if offline and force_download:
        raise UsageError(f"force_download=True asks the Hub, and {offline} forbids that: leave one of the two out.")
    if offline:
        return repository.in_cache(f"{offline} forbids to ask the Hub.")
    return _online(repository, token, force_download)


def built_in_models() -> list[str]:
    """The names of the models that come with bertkit."""
    return sorted(path.name for path in ASSETS.glob("*") if path.is_dir())


def _on_disk(name: str | os.PathLike[str]) -> Path | None:
    if not isinstance(name, (str, os.PathLike)):
        raise UsageError(f"A model is named by a string or a path, not by {name!r}.")
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


def _check_relative(what: str, text: str | None) -> None:
    if text and not RELATIVE.fullmatch(text):
        raise HubError(f"{what}={text!r} may lead elsewhere: it takes plain names joined by '/', no '..', ':' or '\\'.")


def _hub_id(name: str | os.PathLike[str]) -> str:
    if isinstance(name, str) and _HUB_ID.fullmatch(name):
        return name
    built_in = ", ".join(built_in_models()) or "there are none"
    raise HubError(
        f"{os.fspath(name)!r} is no folder or file here, nor a built-in model ({built_in}), nor can it be on the Hub, "
        "where a name is a string such as 'google-bert/bert-base-uncased' or 'bert-base-uncased'."
    )


def _cache(cache_dir: str | os.PathLike[str] | None) -> Path:
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE).expanduser()


def _offline_mode() -> str:
    """The setting that forbids requests, as it was written; huggingface_hub would know it as of its import."""
    settings = ((name, os.environ.get(name, "")) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return next((f"{name}={value}" for name, value in settings if value.upper() in {"1", "ON", "YES", "TRUE"}), "")


def _online(repository: Repository, token: bool | str | None, force_download: bool) -> Place:
    from bertkit.hub.online import browse

    try:
        return browse(repository, token, force_download)
    except HubError as error:
        if force_download or repository.snapshot() is None:
            raise
        _logger.warning("%s Until then, what the cache has is used.", error)
        return repository.in_cache(str(error))
