"""Fingerprints of the files of a model, fast enough for every start of a long run."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from bertkit.checkpoint.source import WEIGHTS
from bertkit.config import FILES
from bertkit.hub import Place

_BLOCK = 2**16
_BLOCKS = 64
"""How many blocks of a larger file are read, evenly spread: 4 MB."""

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt")


_EXPORTED = ("model.onnx", "model.onnx.data", "model.onnx_data", "openvino_model.xml", "openvino_model.bin")
"""The files of models for other runtimes."""


def identity(place: Place) -> dict[str, str]:
    """Return {file name: fingerprint} of the configuration, tokenizer and weights of a place.

    A fingerprint is the size, a digest and, since at most 4 MB of a file are read, the time of its last change. In the cache of
    the Hub the time is left out, since files there are named by their contents.
    """
    names = dict.fromkeys([*FILES, *_TOKENIZER, *_weights(place), *_exported(place)])
    return {name: _fingerprint(place.get(name)) for name in names if name in place.files}


def _weights(place: Place) -> list[str]:
    """The names of the files of weights that a reader opens, with those that an index lists."""
    known = [name for names in WEIGHTS.values() for name in names]
    name = place.file.name if place.file else next((name for name in known if name in place.files), "")
    if name.endswith(".index.json"):
        ending = os.path.splitext(name.removesuffix(".index.json"))[1]
        return [name, *(other for other in place.files if ending and other.endswith(ending))]
    if name and not name.endswith(".index"):
        return [name]
    return [other for other in place.files if ".ckpt" in other]


def _exported(place: Place) -> list[str]:
    """The names of the files for other runtimes, also if such a file with another name was passed."""
    second = [] if place.file is None else [place.file.name + ".data", place.file.with_suffix(".bin").name]
    return [*_EXPORTED, *second]


def _fingerprint(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size <= _BLOCK * _BLOCKS:
            digest.update(file.read(_BLOCK * _BLOCKS))
        else:
            for number in range(_BLOCKS):
                file.seek((status.st_size - _BLOCK) * number // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    changed = "" if path.resolve().parent.name == "blobs" else f", {status.st_mtime_ns}"
    return f"{status.st_size}, {digest.hexdigest()}{changed}"
