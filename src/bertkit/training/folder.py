"""The output folder of a run: checked before the work, and locked against a second run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertkit.config import SIZES
from bertkit.errors import Setting, UsageError, received
from bertkit.hub.disk import locked as locked_file
from bertkit.training import checkpoints
from bertkit.training.options import SharedSettings

_OTHER = Setting("out", "my-model")
_LOCK = ".lock"
_RECORDS = ("run.json", "metrics.jsonl", "predictions.jsonl", "report.html")


def check_folder(folder: Path, settings: SharedSettings) -> None:
    """Raise UsageError if a run would replace another one or a model that it reads, or if `folder` is not a folder."""
    if os.path.lexists(folder) and not folder.is_dir():
        kind = "a file" if folder.exists() else "a broken link"
        raise UsageError(f"{folder} is {kind}: type another folder for ", _OTHER, ".")
    resume, overwrite = Setting("resume", True), Setting("overwrite", True)
    if settings.resume and settings.overwrite:
        raise UsageError(resume, " and ", overwrite, " exclude each other: leave one of them out.")
    for name in ("model", "teacher", "config", "tokenizer", "data"):
        value = getattr(settings, name, None)
        is_size = name == "config" and value in SIZES
        if value is not None and not is_size and Path(value).exists() and _is_in(Path(value), folder):
            raise UsageError(
                received(name, value),
                f" is in {folder}, which this run replaces: type another folder for ",
                _OTHER,
                ".",
            )
    has_run = any((folder / name).exists() for name in ("metrics.jsonl", "config.json"))
    if has_run and not (settings.resume or settings.overwrite):
        raise UsageError(
            f"{folder} has an earlier run: type ",
            resume,
            " to continue it, ",
            overwrite,
            " to replace it, or another folder.",
        )


def _is_in(path: Path, folder: Path) -> bool:
    return folder.resolve() in (path.resolve(), *path.resolve().parents)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the output folder, and lock it until the end of the block. Raise UsageError if another run writes to it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to: type another folder for ", _OTHER, ".")
    with locked_file(folder / _LOCK) as own:
        if not own:
            raise UsageError(
                f"Another run writes to {folder}: wait for its end, or type another folder for ", _OTHER, "."
            )
        yield


def remove_run(folder: Path) -> None:
    """Remove the checkpoints and records of an earlier run, so that none of them is taken for one of the new run."""
    checkpoints.remove_old(folder, 0, None)
    for name in _RECORDS:
        (folder / name).unlink(missing_ok=True)
    for name in ("runs", "report"):
        shutil.rmtree(folder / name, ignore_errors=True)
