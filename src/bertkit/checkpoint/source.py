"""Open the checkpoint of a place, in any format, and read its tensors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertkit.checkpoint import compressed, google2, hdf5, msgpack, safetensors_file, tensor_bundle, torch_bin
from bertkit.checkpoint.files import Tensors
from bertkit.config import FILES, read_json
from bertkit.errors import FileFormatError, HubError, UnsafeFileError, UsageError, did_you_mean
from bertkit.hub import Place
from bertkit.parameters import Naming

WEIGHTS: dict[str, tuple[str, ...]] = {
    "safetensors": ("model.safetensors", "model.safetensors.index.json"),
    "bin": ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    "google": ("bert_model.ckpt.index", "model.ckpt.index"),
    "h5": ("tf_model.h5", "tf_model.h5.index.json"),
    "msgpack": ("flax_model.msgpack", "flax_model.msgpack.index.json"),
}
"""{format: its files of weights, the preferred one first}. The first file that exists is read."""

_ENDINGS = {
    ".safetensors": "safetensors",
    ".bin": "bin",
    ".pt": "bin",
    ".pth": "bin",
    ".index": "google",
    ".h5": "h5",
    ".hdf5": "h5",
    ".msgpack": "msgpack",
}
_READ: dict[str, Callable[[Path], Tensors]] = {
    "safetensors": safetensors_file.read,
    "bin": torch_bin.read,
    "google": tensor_bundle.read,
    "h5": hdf5.read,
    "msgpack": msgpack.read,
}
_NAMING: dict[str, Naming] = {
    "safetensors": "huggingface",
    "bin": "huggingface",
    "google": "google",
    "h5": "keras",
    "msgpack": "flax",
}


def preferred_to(format: str) -> list[str]:
    """Return the files that would be read in preference to those of a format.

    >>> preferred_to("bin")
    ['model.safetensors', 'model.safetensors.index.json']
    """
    before = list(WEIGHTS)[: list(WEIGHTS).index(format)]
    return [name for other in before for name in WEIGHTS[other]]


@dataclass(frozen=True)
class Source:
    """An open checkpoint: its tensors by the names in the files, as views of the mapped files."""

    path: Path
    format: str
    naming: Naming
    tensors: Tensors


def open_source(place: Place, formats: Sequence[str] | None = None, variant: str | None = None) -> Source:
    """Open the checkpoint of a place: the file that it names, or the first of WEIGHTS that exists.

    `formats=["safetensors"]` restricts the choice. `variant="fp16"` reads `model.fp16.safetensors` or its shards.
    """
    for format in formats or ():
        if format not in WEIGHTS:
            raise UsageError(
                f"Unknown format {format!r}: choose one of {', '.join(WEIGHTS)}.{did_you_mean(format, WEIGHTS)}"
            )
    names = [name for format in formats or WEIGHTS for name in WEIGHTS[format]]
    if variant:  # model.safetensors -> model.fp16.safetensors, and x.index.json -> x.index.fp16.json
        names = [f"{stem}.{variant}.{ending}" for stem, _, ending in (name.rpartition(".") for name in names)]
    elif "google" in (formats or WEIGHTS):
        names += sorted(name for name in place.files if re.fullmatch(r"[\w.-]*ckpt[\w.-]*\.index", name))
    named = place.file if place.file and place.file.name not in FILES else None  # config.json means its folder
    path = named or place.find(*names)
    if path is None:
        expected, present = ", ".join(dict.fromkeys(names)), ", ".join(place.files[:10]) or "no files"
        raise HubError(f"There are no weights in {place.where}: expected one of {expected}. It has {present}.")
    format = _ENDINGS.get(path.suffix) or _format_of_index(path)
    if format == "google":
        _fetch_data(place, path)
    tensors = _read_shards(place, path, format) if path.suffix == ".json" else _READ[format](path)
    if ".weight_scale\n" in "\n".join([*tensors, ""]):
        tensors = compressed.whole(tensors, path)
    naming = _NAMING[format]
    if format == "google" and google2.is_google2(tensors):
        naming = "google2"
    elif format == "safetensors":  # Flax and TensorFlow classes of transformers write their own names
        leaves = {name.rpartition("word_embeddings")[2] for name in tensors if "word_embeddings" in name}
        naming = "flax" if ".embedding" in leaves else "keras" if "/weight:0" in leaves else naming
    return Source(path, format, naming, tensors)


def _format_of_index(path: Path) -> str:
    """The format of the files that an index lists: "safetensors" for `model.safetensors.index.json`."""
    ending = os.path.splitext(re.sub(r"\.index(\.[\w-]+)?\.json$", "", path.name))[1]
    if ending not in _ENDINGS:
        raise FileFormatError(f"{path} has an unknown ending: files of weights end in {', '.join(_ENDINGS)}.")
    return _ENDINGS[ending]


def _fetch_data(place: Place, index: Path) -> None:
    """Fetch the files of the tensors, which Google's index does not name."""
    for name in place.files:
        if name.startswith(index.name.removesuffix(".index") + ".data-"):
            place.fetch(name)


def _read_shards(place: Place, index: Path, format: str) -> Tensors:
    """The tensors of all files that an index lists."""
    match read_json(index).get("weight_map"):
        case dict(weight_map) if all(isinstance(shard, str) for shard in weight_map.values()):
            shards = sorted(set(weight_map.values()))
        case _:
            raise FileFormatError(f"{index} has no weight_map of names to files: download or copy it again.")
    tensors: Tensors = {}
    for shard in shards:
        if "/" in shard or "\\" in shard or _ENDINGS.get(os.path.splitext(shard)[1]) != format:
            raise UnsafeFileError(f"{index} lists {shard!r}: only names of files in the same folder are accepted.")
        for name, array in _READ[format](place.fetch(shard)).items():
            if name in tensors:
                raise FileFormatError(
                    f"{name} is in {shard} and in another file of {index}: download or copy the files again."
                )
            tensors[name] = array
    missing = [] if format == "h5" else sorted(weight_map.keys() - tensors.keys())
    if missing:
        raise FileFormatError(
            f"{index} lists {missing[0]} and {len(missing) - 1} more, which its files do not have: download or copy them again."
        )
    return tensors
