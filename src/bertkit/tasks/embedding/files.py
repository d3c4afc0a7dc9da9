"""The files of sentence-transformers: which steps make the vector of a text, and with which settings.

modules.json                        the steps and their folders
sentence_bert_config.json           how texts are read
1_Pooling/config.json               which tokens count
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
_MOST_LAYER = 2**40  # bytes of the one file of a dense layer
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
"""Flags of older files -> modes, in the order in which their vectors stand side by side."""


class Module(NamedTuple):
    """A line of modules.json."""

    kind: str  # one of KINDS
    folder: str  # "" for the place itself


def weights_place(place: Place) -> Place:
    """Where the BERT of a place with a modules.json is: in the place, or in the folder that it names."""
    alone = place.file is not None or any(name in place.files for name in FILES)
    return place if alone else _below(place, _modules(place)[0].folder)


def read_recipe(place: Place) -> Recipe:
    """The recipe in the files of a place; that of a plain BERT where it has no modules.json.

    Raises ConfigError for a module or a setting that would change the vectors and is not known.
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
    """Write the files of a place that make its recipe into the folder of a saved model. There are none without modules.json."""
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


def _below(place: Place, folder: str) -> Place:
    return place.below(folder) if folder else place


def _modules(place: Place) -> list[Module]:
    """The steps in their order: a Transformer, a Pooling, and what follows."""
    path = place.fetch(MODULES)
    text = read_text(path, _MOST_BYTES, ConfigError)
    listed = parse_object(f'{{"modules": {text}}}', str(path), ConfigError)["modules"]
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ConfigError(f"{path} is no list of modules: download it again.")
    modules = [_module(one, str(path)) for one in listed]
    kinds = [module.kind for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or {*kinds[2:]} & {"Transformer", "Pooling"}:
        raise ConfigError(
            f"{path} lists {', '.join(kinds) or 'nothing'}: a Transformer, a Pooling and then any Dense and Normalize are "
            "accepted. For vectors of the BERT alone type ",
            Setting("pooling", "mean"),
            ".",
        )
    return modules


def _module(given: dict[str, Any], where: str) -> Module:
    """A line of modules.json. Its type is only compared with known names."""
    name, folder = given.get("type"), given.get("path")
    if not isinstance(name, str) or not isinstance(folder, str):
        raise ConfigError(f"{where} has a module without a type or a path: download it again.")
    room, _, kind = name.rpartition(".")
    if room.partition(".")[0] != "sentence_transformers" or kind not in KINDS:
        raise ConfigError(
            f"{where} has the module {printable(name, 100)}, which is unknown; {', '.join(KINDS)} are known. For vectors of the "
            "BERT alone type ",
            Setting("pooling", "mean"),
            ".",
        )
    if given.get("kwargs"):
        raise ConfigError(f"{where} passes {printable(given['kwargs'], 100)} to {kind}, which is not supported.")
    return Module(kind, folder)


def _reading(place: Place) -> dict[str, Any]:
    """sentence_bert_config.json. What would change the tokens in another way is refused."""
    found = _object(place, _READING)
    for name in ("tokenizer_args", "processor_kwargs", "config_args", "config_kwargs", "processing_kwargs"):
        if found.get(name):
            raise ConfigError(
                f"{_READING} of {place.where} has {name} {printable(found[name], 100)}: it is not supported."
            )
    return found


def _pooling(place: Place) -> Pooling:
    """1_Pooling/config.json, of any version."""
    found, where = _object(place, FILES[0], needed=True), f"{FILES[0]} of {place.where}"
    given = found.get("pooling_mode")
    if given is None:
        given = [mode for flag, mode in _OLDER.items() if found.get(flag)] or "mean"
    modes = [given] if isinstance(given, str) else given
    if not isinstance(modes, list) or not modes:
        raise ConfigError(
            f"pooling_mode of {where} is {printable(given, 100)}: one or several of {', '.join(MODES)} are known."
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
            f"The weights in {place.where} are not those of a dense layer: linear.weight and linear.bias are accepted."
        )
    if bias is None and found.get("bias", True):
        raise ConfigError(f"The weights in {place.where} have no linear.bias, and {where} says that there is one.")
    return Dense(weight, bias, function)


def _prompts(settings: dict[str, Any], place: Place) -> dict[str, str]:
    found = settings.get("prompts") or {}
    if not isinstance(found, dict) or not all(isinstance(text, str | None) for text in found.values()):
        raise ConfigError(
            f"prompts in {_SETTINGS} of {place.where} are {printable(found, 100)}: texts by name are accepted."
        )
    return {name: text or "" for name, text in found.items()}


def _default(settings: dict[str, Any], prompts: dict[str, str]) -> str:
    """The prompt of texts without one."""
    name = settings.get("default_prompt_name")
    return "" if name is None else prompts[_known(name, tuple(prompts), "default_prompt_name", _SETTINGS)]


def _object(place: Place, name: str, needed: bool = False) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is no such file and it is not needed."""
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
        raise ConfigError(f"{name} of {where} is {printable(value, 100)}: a whole number from 1 on is expected.")
    return value


def _known(value: Any, known: Sequence[str], name: str, where: str) -> str:
    if not isinstance(value, str) or value not in known:
        near = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ConfigError(
            f"{name} of {where} is {printable(value, 100)!r}: {', '.join(known) or 'nothing'} is known.{near}"
        )
    return value
