"""Convert a checkpoint of any origin to another format."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from bertkit import hub
from bertkit.checkpoint.dtypes import numpy_dtype
from bertkit.checkpoint.load import config_of, match
from bertkit.checkpoint.save import Format, save_checkpoint
from bertkit.checkpoint.source import open_source, preferred_to
from bertkit.config import FILES
from bertkit.errors import LoadError, Setting, UsageError
from bertkit.heads import head_of
from bertkit.hub.disk import whole_file
from bertkit.logging import is_progress_bar_enabled

Precision = Literal["float32", "float16", "bfloat16"]

_WEIGHTS = ("*.safetensors*", "*.bin", "*.bin.index*", "*.ckpt.*", "*.h5*", "*.msgpack*")

TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def convert(
    source: str | os.PathLike[str] | hub.Place,
    directory: str | os.PathLike[str],
    *,
    to: Format = "safetensors",
    head: str | None = None,
    prefix: str = "",
    dtype: Precision | None = None,
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Write a checkpoint in another format into a directory, with its configuration and tokenizer files.

    source: a directory, a file, a Hub id, or the result of `hub.locate`. It is not changed.
    head: the class suffix, such as "ForMaskedLM". Default: the class that config.json names, or the one that has the
        same parts as the file.
    prefix: the prefix of BERT's names where BERT is part of a larger model, such as "encoder.".
    dtype: the dtype of the written tensors. Default: unchanged.
    overwrite: replace files of the same name in `directory`. By default an existing model or tokenizer is an error.
        Weights in another format that would be read before the new ones are always an error.

    Returns the files written. An existing file stays complete until the new one replaces it.
    """
    place = source if isinstance(source, hub.Place) else hub.locate(source)
    directory = Path(directory)
    config = config_of(place, prefix)
    tensors, report = match(open_source(place), head and head_of(head), config, prefix)
    if not report.exact:
        raise LoadError(f"{report}\nThe checkpoint is for another head or configuration: pass a head that it has.")
    if report.fresh:
        raise UsageError(
            f"{report.source} has no {', '.join(report.fresh)}, which Bert{report.head} needs: pass a head that it has."
        )
    if not overwrite:
        _check_vacant(directory, place)
    _check_first(directory, to, Path(report.source))
    if dtype:
        tensors = {name: array.astype(numpy_dtype(dtype), copy=False) for name, array in tensors.items()}
        config.dtype = dtype
    from tqdm import tqdm  # slow to import

    total = sum(array.nbytes for array in tensors.values())
    with tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        desc=f"Writing {to}",
        disable=not (progress and is_progress_bar_enabled()),
    ) as bar:
        written = save_checkpoint(
            directory, tensors, config, report.head, to=to, max_shard_size=max_shard_size, on_bytes=bar.update
        )
    return written + _copy_tokenizer(place, directory)


def _check_vacant(directory: Path, place: hub.Place) -> None:
    """Refuse a directory that already holds a model, or a tokenizer file that would be replaced."""
    names = (*FILES, *(name for name in TOKENIZER_FILES if name in place.files))
    there = sorted({path.name for kind in (*_WEIGHTS, *names) for path in directory.glob(kind)})
    if there:
        raise UsageError(
            f"{directory} holds {', '.join(there[:5])} already: name another directory, or type ",
            Setting("overwrite", True),
            ".",
        )


def _check_first(directory: Path, to: Format, source: Path) -> None:
    """Refuse a directory with old weights that would be read before the new ones. The file of the source is allowed."""
    for name in preferred_to(to):
        old = directory / name
        if old.exists() and old.resolve() != source.resolve():
            raise UsageError(
                f"{directory} holds {name}, which would be read before the new {to} files: remove it first, or name "
                "another directory."
            )


def _copy_tokenizer(place: hub.Place, directory: Path) -> list[Path]:
    copied = []
    for name in TOKENIZER_FILES:
        path = place.find(name)
        if path and path.resolve() != (directory / name).resolve():
            with open(path, "rb") as old, whole_file(directory / name) as new:
                shutil.copyfileobj(old, new)
            copied.append(directory / name)
    return copied
