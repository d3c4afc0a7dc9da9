"""Read and write the files of sentence-transformers, which define how the vector of a text is computed.

modules.json                        the steps and their folders
sentence_bert_config.json           maximum length and lowercasing
1_Pooling/config.json               pooling modes
2_Dense/config.json, model.safetensors
config_sentence_transformers.json   prompts, similarity, and how many numbers of a vector are kept
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bertkit.checkpoint.save import save_safetensors
from bertkit.checkpoint.source import open_source
from bertkit.config import FILES
from bertkit.errors import ConfigError, Setting, did_you_mean, printable
from bertkit.hub import Place
from bertkit.hub.disk import whole_file
from bertkit.hub.place import parse_object, read_text
from bertkit.tasks.embedding.recipe import ACTIVATIONS, MODES, Dense, Normalize, Pooling, Recipe

_MOST_BYTES = 2**20
MODULES, _SETTINGS = "modules.json", "config_sentence_transformers.json"
_READING = "sentence_bert_config.json"
_LAYER = ("safetensors", "bin")
_MOST_LAYER = 2**40  # bytes in the file of a dense layer
KINDS = ("Transformer", "Pooling", "Dense", "Normalize")
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

_OLDER = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Flags in older files -> pooling modes, in the order in which the vectors are concatenated."""


class Module(NamedTuple):
    """An entry of modules.json."""

    kind: str  # one of KINDS
    folder: str  # "" for the model's main folder


def weights_place(place: Place) -> Place:
    """Return where the BERT weights are: in the main folder, or in a folder that modules.json, if there is one, names."""
    in_main_folder = place.file is not None or any(name in place.files for name in FILES)
    return place if in_main_folder or MODULES not in place.files else _below(place, _modules(place)[0].folder)


def read_recipe(place: Place) -> Recipe:
    """Read the recipe from the model's files, or return the default recipe if there is no modules.json.

    Raises ConfigError for an unknown module, and for an unknown setting that would change the vectors.
    """
    if MODULES not in place.files:
        return Recipe()
    reader, pooling, *steps = _modules(place)
    reading, settings = _reading(_below(place, reader.folder)), _object(place, _SETTINGS)
    prompts = _prompts(settings, place)
    return Recipe(
        _pooling(place.below(pooling.folder)),
        tuple(_step(module, place) for module in steps),
        _count(reading, "max_seq_length", _READING),
        _flag(reading, "do_lower_case", False, _READING),
        prompts,
        _default(settings, prompts),
        _known(settings.get("similarity_fn_name") or "cosine", SIMILARITIES, "similarity_fn_name", _SETTINGS),
        _count(settings, "truncate_dim", _SETTINGS),
        described=True,
    )


def write_recipe(place: Place, folder: Path) -> None:
    """Copy the files of a recipe into the folder of a saved model. Without modules.json there is nothing to copy."""
    if MODULES not in place.files:
        return
    reader, *steps = _modules(place)
    listed = json.loads(read_text(place.fetch(MODULES), _MOST_BYTES, ConfigError))
    written = {MODULES: json.dumps([{**listed[0], "path": ""}, *listed[1:]], indent=2).encode()}
    for step in filter(lambda step: step.folder, steps):
        inner = place.below(step.folder)
        if FILES[0] in inner.files:
            written[f"{step.folder}/{FILES[0]}"] = inner.get(FILES[0]).read_bytes()
        if step.kind == "Dense":
            (folder / step.folder).mkdir(parents=True, exist_ok=True)
            save_safetensors(folder / step.folder, open_source(inner, _LAYER).tensors, _MOST_LAYER)
    for source, name in ((place, _SETTINGS), (_below(place, reader.folder), _READING)):
        if name in source.files:
            written[name] = source.get(name).read_bytes()
    for name, content in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / name) as file:
            file.write(content)


def write_mean(folder: Path, width: int, max_length: int) -> None:
    """Write the files of the default recipe, the mean of the tokens, into the folder of a saved model.

    Args:
        folder: the folder.
        width: the size of a vector.
        max_length: the maximum number of tokens in a row.
    """
    steps = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(steps.items())
    ]
    files: dict[str, Any] = {
        MODULES: modules,
        _READING: {"max_seq_length": max_length, "do_lower_case": False},
        f"1_Pooling/{FILES[0]}": {
            "word_embedding_dimension": width,
            **{flag: mode == "mean" for flag, mode in _OLDER.items()},
            "include_prompt": True,
        },
        _SETTINGS: {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / name) as file:
            file.write(json.dumps(content, indent=2).encode())


def _below(place: Place, folder: str) -> Place:
    return place.below(folder) if folder else place


def _modules(place: Place) -> list[Module]:
    """Read modules.json: a Transformer, a Pooling, and the steps after them in their order."""
    path = place.fetch(MODULES)
    text = read_text(path, _MOST_BYTES, ConfigError)
    listed = parse_object(f'{{"modules": {text}}}', str(path), ConfigError)["modules"]
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ConfigError(f"{path} is not a list of modules: download it again.")
    modules = [_module(one, str(path)) for one in listed]
    kinds = [module.kind for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or {*kinds[2:]} & {"Transformer", "Pooling"}:
        raise ConfigError(
            f"{path} lists {', '.join(kinds) or 'nothing'}: a Transformer and a Pooling, then any Dense and Normalize, are "
            "accepted. To ignore these modules type ",
            Setting("pooling", "mean"),
            ".",
        )
    return modules


def _module(given: dict[str, Any], where: str) -> Module:
    """Read an entry of modules.json. The name of its class is only compared with known names, never imported."""
    name, folder = given.get("type"), given.get("path")
    if not isinstance(name, str) or not isinstance(folder, str):
        raise ConfigError(f"{where} has a module without a type or a path: download it again.")
    package, _, kind = name.rpartition(".")
    if package.partition(".")[0] != "sentence_transformers" or kind not in KINDS:
        raise ConfigError(
            f"{where} has the unknown module {printable(name, 100)}: {', '.join(KINDS)} are supported. To ignore these modules "
            "type ",
            Setting("pooling", "mean"),
            ".",
        )
    if given.get("kwargs"):
        raise ConfigError(f"{where} passes {printable(given['kwargs'], 100)} to {kind}, which is not supported.")
    return Module(kind, folder)


def _reading(place: Place) -> dict[str, Any]:
    """Read sentence_bert_config.json. Raise ConfigError for other settings that would change the tokens."""
    found = _object(place, _READING)
    for name in ("tokenizer_args", "processor_kwargs", "config_args", "config_kwargs", "processing_kwargs"):
        if found.get(name):
            raise ConfigError(
                f"{_READING} of {place.where} has {name} {printable(found[name], 100)}: it is not supported."
            )
    return found


def _pooling(place: Place) -> Pooling:
    """Read 1_Pooling/config.json, in any version of its format."""
    found, where = _object(place, FILES[0], needed=True), f"{FILES[0]} of {place.where}"
    given = found.get("pooling_mode")
    if given is None:
        given = [mode for flag, mode in _OLDER.items() if found.get(flag)] or "mean"
    modes = [given] if isinstance(given, str) else given
    if not isinstance(modes, list) or not modes:
        raise ConfigError(
            f"pooling_mode of {where} is {printable(given, 100)}: one or several of {', '.join(MODES)} are supported."
        )
    unknown = [name for name in found if name.startswith("pooling_mode_") and name not in _OLDER and found[name]]
    for mode in [*modes, *unknown]:
        _known(mode, tuple(MODES), "pooling_mode", where)
    return Pooling(tuple(modes), _flag(found, "include_prompt", True, where))


def _step(module: Module, place: Place) -> Dense | Normalize:
    inner = _below(place, module.folder)
    found, where = _object(inner, FILES[0], needed=module.kind == "Dense"), f"{FILES[0]} of {inner.where}"
    for name in ("module_input_name", "module_output_name"):
        _known(found.get(name) or "sentence_embedding", ("sentence_embedding",), name, where)
    return Normalize() if module.kind == "Normalize" else _dense(inner, found, where)


def _dense(place: Place, found: dict[str, Any], where: str) -> Dense:
    if found.get("use_residual"):
        raise ConfigError(f"use_residual of {where} is true, which is not supported.")
    activation = found.get("activation_function", "torch.nn.modules.activation.Tanh")
    function = ACTIVATIONS[_known(activation, tuple(ACTIVATIONS), "activation_function", where)]
    tensors = {name: np.asarray(x, np.float32) for name, x in open_source(place, _LAYER).tensors.items()}
    weight, bias = tensors.pop("linear.weight", None), tensors.pop("linear.bias", None)
    if weight is None or weight.ndim != 2 or tensors or (bias is not None and bias.shape != weight.shape[:1]):
        raise ConfigError(
            f"The weights in {place.where} do not fit a dense layer: linear.weight and linear.bias are accepted."
        )
    if bias is None and found.get("bias", True):
        raise ConfigError(f"The weights in {place.where} have no linear.bias, which {where} requires.")
    return Dense(weight, bias, function)


def _prompts(settings: dict[str, Any], place: Place) -> dict[str, str]:
    found = settings.get("prompts") or {}
    if not isinstance(found, dict) or not all(isinstance(text, str | None) for text in found.values()):
        raise ConfigError(
            f"prompts in {_SETTINGS} of {place.where} are {printable(found, 100)}: an object with a string for each name is "
            "accepted."
        )
    return {name: text or "" for name, text in found.items()}


def _default(settings: dict[str, Any], prompts: dict[str, str]) -> str:
    """Return the default prompt, or an empty string."""
    name = settings.get("default_prompt_name")
    return "" if name is None else prompts[_known(name, tuple(prompts), "default_prompt_name", _SETTINGS)]


def _object(place: Place, name: str, needed: bool = False) -> dict[str, Any]:
    """Read a JSON object from a file. Return an empty object if an optional file is missing."""
    path = place.fetch(name) if needed else place.find(name)
    return {} if path is None else parse_object(read_text(path, _MOST_BYTES, ConfigError), str(path), ConfigError)


def _flag(found: dict[str, Any], name: str, default: bool, where: str) -> bool:
    value = found.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} of {where} is {printable(value, 100)}: true or false is expected.")
    return value


def _count(found: dict[str, Any], name: str, where: str) -> int | None:
    value = found.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise ConfigError(f"{name} of {where} is {printable(value, 100)}: an integer of at least 1 is expected.")
    return value


def _known(value: Any, known: Sequence[str], name: str, where: str) -> str:
    if not isinstance(value, str) or value not in known:
        near = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ConfigError(
            f"{name} of {where} is {printable(value, 100)!r}: supported are {', '.join(known) or 'no values'}.{near}"
        )
    return value
