"""Save {name in the parameter table: array} in any format, with the configuration."""

from __future__ import annotations

import copy
import json
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from bertkit.checkpoint import hdf5, msgpack, safetensors_file, tensor_bundle
from bertkit.checkpoint.canonical import Canonical
from bertkit.checkpoint.files import OnBytes, Tensors
from bertkit.checkpoint.load import fit
from bertkit.config import BertConfig
from bertkit.errors import LoadError, UsageError, one_of
from bertkit.heads import head_of
from bertkit.hub.disk import whole_file
from bertkit.parameters import Naming, Parameter, expand, transposed

Format = Literal["safetensors", "google", "h5", "msgpack"]

# The fields of bert_config.json that google-research's code accepts. It refuses any other.
_GOOGLE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "intermediate_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
)


def save_checkpoint(
    directory: str | os.PathLike[str],
    tensors: Tensors,
    config: BertConfig,
    head: str,
    *,
    to: Format = "safetensors",
    max_shard_size: int | str = "5GB",
    variant: str | None = None,
    on_bytes: OnBytes = lambda count: None,
) -> list[Path]:
    """Write the tensors of a class and its configuration into a directory. Return the files written.

    tensors: {name in the parameter table: array}, exactly those of the class.
    head: the class suffix, such as "ForMaskedLM".
    to: "safetensors" (in several files above `max_shard_size`), "google" (a TF1 checkpoint), "h5" or "msgpack".
    variant: for example "fp16" for model.fp16.safetensors.
    on_bytes: called with the number of bytes of each piece written, for a progress bar.

    Each file gets its name when it is complete: an existing file stays complete until the new one replaces it.
    """
    head = head_of(head)
    one_of("to", to, get_args(Format))
    kept, report = fit(Canonical(dict(tensors), {name: name for name in tensors}), config, head, "The tensors passed")
    report = replace(report, missing=report.missing + report.fresh, fresh=())
    if not report.exact:
        raise LoadError(f"{report}\nPass all tensors of Bert{head} and no others, or another head.")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config = copy.copy(config)
    config.architectures = [f"Bert{head}"]
    parameters = expand(config, head)
    match to:
        case "safetensors":
            written = save_safetensors(
                directory, hub_names(kept, config, head), byte_count(max_shard_size), variant, on_bytes
            )
        case "google":
            written = _save_google(directory, _spelled(kept, parameters, "google"), config, on_bytes)
        case "h5":
            written = [_save_h5(directory, kept, parameters, head, on_bytes)]
        case "msgpack":
            written = [directory / "flax_model.msgpack"]
            msgpack.write(written[0], _bare(_spelled(kept, parameters, "flax"), head, "bert/"), on_bytes)
    config.save_pretrained(directory)
    return [*written, directory / "config.json"]


def byte_count(size: int | str) -> int:
    """Return the number of bytes of a size such as "5GB", "200MB", "1GiB" or 7.

    >>> byte_count("5GB"), byte_count("1KiB"), byte_count(7)
    (5000000000, 1024, 7)
    """
    match = re.fullmatch(r"(\d{1,12})\s*(?:([kmgt]?)(i?)b)?", str(size).strip(), re.IGNORECASE)
    if not match or int(match[1]) == 0:
        raise UsageError(
            f"Invalid size of a file {size!r}: write a number of bytes, or one with a unit such as '5GB' or '200MB'."
        )
    power = " kmgt".index((match[2] or " ").lower())
    return int(int(match[1]) * (1024 if match[3] else 1000) ** power)


def _spelled(tensors: Tensors, parameters: dict[str, Parameter], naming: Naming) -> Tensors:
    """The tensors under the names of a naming, transposed where its files have them transposed."""
    spelled = {}
    for name, array in tensors.items():
        own = parameters[name].spelled(naming)
        if not own:
            raise UsageError(
                f"Files with the names of {naming} cannot store {name}: save as safetensors, which stores all parameters."
            )
        spelled[own] = array.T if transposed(parameters[name].row, naming) else array
    return spelled


def _bare(tensors: Tensors, head: str, bert: str) -> Tensors:
    """Remove the prefix `bert.` of a BertModel, whose names have none in the files of Hugging Face and Flax."""
    return {name.removeprefix(bert): array for name, array in tensors.items()} if head == "Model" else tensors


def _with_second_bias(tensors: Tensors, config: BertConfig) -> Tensors:
    """Add the second name of the bias that transformers 5 reads if the vocabulary projection is not tied."""
    if config.tie_word_embeddings or "cls.predictions.bias" not in tensors:
        return tensors
    return {**tensors, "cls.predictions.decoder.bias": tensors["cls.predictions.bias"]}


def hub_names(tensors: Tensors, config: BertConfig, head: str) -> Tensors:
    """The tensors of a class, by the names that they have in files of Hugging Face."""
    return _bare(_with_second_bias(tensors, config), head, "bert.")


def save_safetensors(
    directory: Path,
    tensors: Tensors,
    shard_size: int,
    variant: str | None = None,
    on_bytes: OnBytes = lambda count: None,
) -> list[Path]:
    """Write tensors of any names as safetensors, in several files above `shard_size`. Return the files written."""
    stem = f"model.{variant}" if variant else "model"
    shards = _shards(tensors, shard_size)
    if len(shards) == 1:
        written = [directory / f"{stem}.safetensors"]
        safetensors_file.write(written[0], shards[0], on_bytes)
    else:
        written = [directory / f"{stem}-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
        index = directory / f"model.safetensors.index{f'.{variant}' if variant else ''}.json"
        _write_shards(dict(zip(written, shards, strict=True)), index, on_bytes)
        written.append(index)
    _remove_older(directory, stem, keep=written)
    return written


def _write_shards(shards: dict[Path, Tensors], index: Path, on_bytes: OnBytes) -> None:
    """Write all shards and their index, or nothing. All are renamed at the end, the index last, as it is entered first."""
    total = sum(array.nbytes for shard in shards.values() for array in shard.values())
    places = {name: file.name for file, shard in shards.items() for name in shard}
    with ExitStack() as renamed:
        renamed.enter_context(whole_file(index)).write(_json({"metadata": {"total_size": total}, "weight_map": places}))
        for path, shard in shards.items():
            safetensors_file.write_into(renamed.enter_context(whole_file(path)), shard, on_bytes)
        index.unlink(missing_ok=True)  # an older index lists shards that are about to change


def _shards(tensors: Tensors, limit: int) -> list[Tensors]:
    """Split the tensors, in their order, into as few files as possible, each of at most `limit` bytes or one tensor."""
    shards: list[Tensors] = [{}]
    size = 0
    for name, array in tensors.items():
        if shards[-1] and size + array.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    return shards


def _remove_older(directory: Path, stem: str, keep: list[Path]) -> None:
    """Remove the files of an earlier save in another number of files, which a reader could prefer."""
    for path in directory.iterdir():
        ours = re.fullmatch(rf"{re.escape(stem)}(-\d{{5}}-of-\d{{5}})?\.safetensors", path.name)
        index = stem == "model" and path.name == "model.safetensors.index.json"
        if (ours or index) and path not in keep:
            path.unlink()


def _save_h5(directory: Path, tensors: Tensors, parameters: dict[str, Parameter], head: str, on_bytes: OnBytes) -> Path:
    """Keras names a weight by its top layer and the model: `bert/tf_bert_for_masked_lm/bert/embeddings/...`."""
    model = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", f"TFBert{head}").lower()
    spelled = _spelled(tensors, parameters, "keras")
    placed = {f"{own.split('/')[0]}/{model}/{own}:0": array for own, array in spelled.items()}
    if any(own.startswith("mlm___cls/") for own in spelled):
        # The masked-language-modelling head shares the embeddings: Keras looks for them below both layers.
        shared = {own: array for own, array in spelled.items() if own.startswith("bert/embeddings/")}
        placed |= {f"mlm___cls/{model}/{own}:0": array for own, array in shared.items()}
    hdf5.write(directory / "tf_model.h5", placed, hdf5.keras_attributes(placed), on_bytes)
    return directory / "tf_model.h5"


def _save_google(directory: Path, tensors: Tensors, config: BertConfig, on_bytes: OnBytes) -> list[Path]:
    tensor_bundle.write(directory / "bert_model.ckpt", tensors, on_bytes)
    _write_json(directory / "bert_config.json", {name: getattr(config, name) for name in _GOOGLE_FIELDS})
    names = ("bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index", "bert_config.json")
    return [directory / name for name in names]


def _write_json(path: Path, values: object) -> None:
    with whole_file(path) as file:
        file.write(_json(values))


def _json(values: object) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()
