"""Locate a repository of the Hub by its name, online or in the cache."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from bertkit.errors import HubError, UsageError
from bertkit.hub.cache import Repository
from bertkit.hub.place import Place, built_in_models

_HUB_ID = re.compile(r"(?!.*(?:--|\.\.|\.git$))(?:\w(?:[\w.-]*\w)?/)?\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_logger = logging.getLogger(__name__)


def on_the_hub(
    name: str | os.PathLike[str],
    revision: str,
    subfolder: str,
    cache_dir: str | os.PathLike[str] | None,
    token: bool | str | None,
    force_download: bool,
    local_files_only: bool,
) -> Place:
    """Return the repository called `name` as a place. The other arguments are those of `locate`."""
    repository = Repository(_hub_id(name), revision, subfolder, cache_folder(cache_dir))
    offline = "local_files_only=True" if local_files_only else offline_mode()
    if offline and force_download:
        raise UsageError(
            f"force_download=True needs the Hub, and {offline} forbids requests: leave one of the two out."
        )
    if offline:
        return repository.in_cache(f"{offline} forbids requests to the Hub.")
    return _online(repository, token, force_download)


def _hub_id(name: str | os.PathLike[str]) -> str:
    if isinstance(name, str) and _HUB_ID.fullmatch(name):
        return name
    built_in = ", ".join(built_in_models()) or "there are none"
    raise HubError(
        f"{os.fspath(name)!r:.200} is not a folder or file here, nor a built-in model ({built_in}), nor a valid name on the "
        "Hub: pass a path, or a string such as 'google-bert/bert-base-uncased' or 'bert-base-uncased'."
    )


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of downloads: the given one, or that of huggingface_hub."""
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE).expanduser()


def offline_mode() -> str:
    """The environment variable that forbids requests, as "NAME=value", or "". huggingface_hub reads it only at its import."""
    settings = ((name, os.environ.get(name, "")) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return next((f"{name}={value}" for name, value in settings if value.upper() in {"1", "ON", "YES", "TRUE"}), "")


def _online(repository: Repository, token: bool | str | None, force_download: bool) -> Place:
    from bertkit.hub.online import browse

    try:
        return browse(repository, token, force_download)
    except HubError as error:
        if force_download or repository.snapshot() is None:
            raise
        _logger.warning("%s Until then, the files in the cache are used.", error)
        return repository.in_cache(str(error))
