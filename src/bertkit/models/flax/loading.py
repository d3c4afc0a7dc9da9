"""Loading and saving: parameters from files and to files."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

from bertkit.checkpoint.load import LoadReport, load_checkpoint
from bertkit.checkpoint.save import Format, save_checkpoint
from bertkit.checkpoint.source import preferred_to
from bertkit.errors import UsageError
from bertkit.heads import POOLER
from bertkit.models.flax.tree import Tree, flat, named, nested, placed


def load(model: Any, place: Any, from_pt: bool, ignore_mismatched_sizes: bool) -> tuple[dict[str, Any], LoadReport]:
    """The parameters of a model that a checkpoint has, and the report."""
    tensors, report = load_checkpoint(
        place,
        model._head,
        config=model.config,
        formats=["safetensors", "bin"] if from_pt else None,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
        optional=() if model._has_pooler else (POOLER,),
    )
    return placed(tensors, model._paths()), report


def save(
    model: Any, params: Tree, folder: str | os.PathLike[str], max_shard_size: int | str, safe_serialization: bool
) -> None:
    """Write a configuration and parameters. Raises UsageError for missing parameters, or files that would hide the new one."""
    if model._head == "Model" and not model._has_pooler:
        raise UsageError(
            "A FlaxBertModel without a pooler has no checkpoint format: save the model that it is a part of."
        )
    if not safe_serialization:
        older = [name for name in preferred_to("msgpack") if (Path(folder) / name).exists()]
        if older:
            raise UsageError(
                f"{os.fspath(folder)} has {older[0]}, which is read in place of flax_model.msgpack: type "
                "safe_serialization=True, or another folder."
            )
    given = flat(params)
    missing = model.required_params - given.keys()
    if missing:
        raise UsageError(f"params lack {len(missing)} parameters, such as {'/'.join(min(missing))}.")
    tensors = named(nested(given), model._paths())
    config = copy.deepcopy(model.config)
    config.dtype = next(iter(tensors.values())).dtype.name
    to: Format = "safetensors" if safe_serialization else "msgpack"
    save_checkpoint(folder, tensors, config, model._head, to=to, max_shard_size=max_shard_size)
