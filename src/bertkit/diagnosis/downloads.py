"""The cache of downloaded models, and the settings of the Hub. Nothing is requested, and no token is repeated."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bertkit.diagnosis.findings import Finding, fine, note, wrong
from bertkit.diagnosis.machine import gigabytes

_HUB = "https://huggingface.co"
_PATIENCE = 2.0  # seconds of counting the files of a cache
_LEAST_DISK, _LITTLE_DISK = 500_000_000, 2_000_000_000  # a BERT-base has 440 MB, a BERT-large 1,340 MB
_MOVE = "export HF_HOME=DIR, with a folder that you may write to"


def cache(folder: Path | None = None) -> Iterator[Finding]:
    """Where the cache is, its size, the free space on its disk, and whether it can be written."""
    if folder is None:
        from bertkit.hub.repository import cache_folder

        folder = cache_folder()
    count, size, whole = _size(folder)
    above = next((parent for parent in (folder, *folder.parents) if os.path.isdir(parent)), folder)  # noqa: PTH112
    free = shutil.disk_usage(above).free
    least = "" if whole else "at least "
    models = f"{count} {'model' if count == 1 else 'models'}, {least}{gigabytes(size)}" if count else "no models yet"
    values = {"folder": str(folder), "models": count, "bytes": size, "counted": whole, "free": free}
    yield fine("cache", f"{folder}: {models}; {gigabytes(free)} are free on its disk.", **values)
    if reason := _unwritable(above, folder):
        yield wrong("cache", f"{folder} cannot be written ({reason}), so no model can be downloaded.", _MOVE)
    if free < _LITTLE_DISK:
        make = wrong if free < _LEAST_DISK else note
        text = f"Only {gigabytes(free)} are free, and a BERT-large needs 1.3 GB."
        yield make("cache", text, f"delete models in {folder}, or type: export HF_HOME=DIR, on another disk")


def _size(folder: Path) -> tuple[int, int, bool]:
    """The number of models of a cache, their bytes, and whether all files were counted. Links are not counted."""
    models, size, end = 0, 0, time.monotonic() + _PATIENCE
    for place, _, files in os.walk(folder, onerror=lambda _: None):
        models += Path(place).parent == folder and Path(place).name.startswith("models--")
        for name in files:
            path = os.path.join(place, name)  # noqa: PTH118 - a cache has many files
            if not os.path.islink(path) and os.path.isfile(path):  # noqa: PTH113, PTH114
                size += os.path.getsize(path)  # noqa: PTH202
        if time.monotonic() > end:
            return models, size, False
    return models, size, True


def _unwritable(above: Path, folder: Path) -> str:
    """Why a folder, or the nearest one above it, takes no file; empty if it does. The file is removed at once."""
    if above != folder and os.path.lexists(above / folder.relative_to(above).parts[0]):
        return "a file is in its way"
    try:
        with tempfile.TemporaryFile(dir=above):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def settings() -> Iterator[Finding]:
    """The variables that change where models come from. The values of tokens are not read."""
    from bertkit.hub.repository import offline_mode

    if offline := offline_mode():
        yield note(
            "offline", f"{offline} is set, so only models in the cache are found.", f"unset {offline.split('=')[0]}"
        )
    yield from _endpoint(os.environ.get("HF_ENDPOINT", "").rstrip("/"))
    has_token = bool(os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")) or _token_file()
    text = "A token is set." if has_token else "No token is set: private and gated models cannot be downloaded."
    yield fine("token", text, token=has_token)


def _token_file() -> bool:
    """Whether `hf auth login` has stored a token."""
    from huggingface_hub import constants

    return Path(constants.HF_TOKEN_PATH).is_file()


def _endpoint(address: str) -> Iterator[Finding]:
    """Another server than the Hub. Of its address only the scheme and the host are shown, as the rest may have a password."""
    from bertkit.hub.transfer import is_address

    if not address or address == _HUB:
        return
    if not is_address(address):
        text = "HF_ENDPOINT is not the address of a server, such as https://huggingface.co."
        yield wrong("endpoint", text, "unset HF_ENDPOINT")
        return
    parts = urlsplit(address)
    shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    yield note("endpoint", f"Models come from {shown}, not from the Hub.", "unset HF_ENDPOINT", endpoint=shown)
