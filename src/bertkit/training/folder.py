"""The output folder of a run: checked before the work, and locked against a second run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertkit.errors import Setting, UsageError, received
from bertkit.hub.disk import is_at, lock, open_own
from bertkit.training.options import Settings

_OTHER = Setting("out", "my-model")
_LOCK = ".lock"


def has_run(folder: Path) -> bool:
    """Return whether a folder has a model or the records of a run."""
    return any((folder / name).exists() for name in ("metrics.jsonl", "config.json"))


def check_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    """Raise UsageError if a run would replace another one, or if `folder` is not a folder."""
    if os.path.lexists(folder) and not folder.is_dir():
        kind = "a file" if folder.exists() else "a broken link"
        raise UsageError(f"{folder} is {kind}: type another folder for ", _OTHER, ".")
    if resume and overwrite:
        both = Setting("resume", True), " and ", Setting("overwrite", True)
        raise UsageError(*both, " exclude each other: leave one of them out.")
    if has_run(folder) and not (resume or overwrite):
        raise UsageError(
            f"{folder} has an earlier run: type ",
            Setting("resume", True),
            " to continue it, ",
            Setting("overwrite", True),
            " to replace it, or another folder.",
        )


def check_inputs(folder: Path, settings: Settings) -> None:
    """Raise UsageError if the run would replace the model that it reads."""
    for name in ("model", "teacher", "config", "tokenizer"):
        value = getattr(settings, name)
        if value is None or not Path(value).exists():
            continue
        if folder.resolve() in (place := Path(value).resolve(), *place.parents):
            raise UsageError(
                received(name, value),
                f" is in {folder}, which this run replaces: type another folder for ",
                _OTHER,
                ".",
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the output folder, and lock it until the end of the block. Raise UsageError if another run writes to it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to: type another folder for ", _OTHER, ".")
    path = folder / _LOCK
    with open_own(path, create=True) as file:
        if not (lock(file, path) and is_at(file, path)):
            raise UsageError(
                f"Another run writes to {folder}: wait for its end, or type another folder for ", _OTHER, "."
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
