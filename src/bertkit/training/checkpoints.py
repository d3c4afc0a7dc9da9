"""Checkpoints of a run: folders with the model, the optimizer, the random states and the position, written atomically.

    checkpoint-40/
        config.json, model.safetensors, tokenizer files     a normal model folder
        training.safetensors                                moments of the optimizer, random states, adapters
        trainer_state.json                                  position, best score, history of scores

A folder is written as `.checkpoint-40.part` and renamed when it is complete, so that a crash or a full disk leaves the older
checkpoints as they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bertkit.checkpoint import safetensors_file
from bertkit.errors import FileFormatError
from bertkit.hub import parse_object
from bertkit.models.torch.arrays import array_of, tensor_of

STATE, TENSORS = "trainer_state.json", "training.safetensors"
_NAME = re.compile(r"checkpoint-(\d+)")


def save(
    folder: Path,
    step: int,
    save_model: Callable[[Path], object],
    values: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
) -> Path:
    """Write a checkpoint of a step, and return its folder.

    Args:
        folder: the output folder of the run.
        step: the number of steps so far.
        save_model: writes the model and the tokenizer into a folder.
        values: what is saved as JSON.
        tensors: what is saved as tensors.
    """
    target, beside = folder / f"checkpoint-{step}", folder / f".checkpoint-{step}.part"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        save_model(beside)
        safetensors_file.write(beside / TENSORS, {name: array_of(tensor) for name, tensor in tensors.items()})
        (beside / STATE).write_text(json.dumps(dict(values), indent=1), encoding="utf-8")
        _flush(beside)
        if target.exists():
            shutil.rmtree(target)
        os.replace(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    _flush_folder(folder)
    return target


def load(checkpoint: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the values and the tensors of a checkpoint. Raise FileFormatError if it is damaged."""
    try:
        values = parse_object(
            (checkpoint / STATE).read_text(encoding="utf-8"), str(checkpoint / STATE), FileFormatError
        )
    except OSError as error:
        raise FileFormatError(f"{checkpoint} is not a checkpoint of a run: {STATE} cannot be read.") from error
    tensors = {name: tensor_of(array) for name, array in safetensors_file.read(checkpoint / TENSORS).items()}
    return values, {name: tensor.clone() for name, tensor in tensors.items()}


def latest(folder: Path) -> Path | None:
    """Return the checkpoint with the most steps, or None. Unfinished ones of a killed process are removed."""
    for part in folder.glob(".checkpoint-*.part"):
        shutil.rmtree(part, ignore_errors=True)
    found = all_checkpoints(folder)
    return found[-1] if found else None


def all_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, those with fewer steps first."""
    found = [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the number of steps of a checkpoint."""
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def remove_old(folder: Path, keep: int, best: int | None) -> None:
    """Remove all checkpoints except the best and the latest `keep`."""
    found = all_checkpoints(folder)
    for checkpoint in found[: max(len(found) - keep, 0)]:
        if step_of(checkpoint) != best:
            shutil.rmtree(checkpoint, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Write the files of a folder to the disk, so that the rename cannot precede their contents."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Write a folder's list of files to the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
