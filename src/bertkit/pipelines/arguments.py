"""The arguments that transformers' `pipeline` takes under other names, or that mean nothing here: read, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertkit.errors import Setting, UsageError
from bertkit.pipelines.calls import taken_out

_INERT = (
    "use_fast",
    "feature_extractor",
    "image_processor",
    "video_processor",
    "processor",
    "modelcard",
    "num_workers",
    "args_parser",
    "low_cpu_mem_usage",
    "use_safetensors",
)
_RENAMED = {"use_auth_token": "token", "torch_dtype": "dtype"}
_OF_SOURCE = ("revision", "subfolder", "token", "cache_dir", "local_files_only")
_SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of `device_map` that let the library choose."""


@dataclass(frozen=True)
class Arguments:
    """What `pipeline` was asked for."""

    device: Any
    dtype: Any
    source: dict[str, Any]  # of `hub.locate`
    of_config: dict[str, Any]  # values of the configuration that the call replaces
    options: dict[str, Any]  # of the task


def read_arguments(own: dict[str, Any], options: dict[str, Any]) -> Arguments:
    """The arguments of `pipeline` by its own names, with those among `options` that transformers names otherwise."""
    options = {name: value for name, value in options.items() if name not in _INERT}
    of_model = taken_out("model_kwargs", options)
    of_model = {name: value for name, value in of_model.items() if name not in _INERT and value is not None}
    if options.pop("binary_output", False):
        raise UsageError("binary_output=True is not supported: leave it out, and pickle the answers yourself.")
    found = {**own, **_taken(of_model), **_taken(options)}
    source = {name: found[name] for name in _OF_SOURCE}
    return Arguments(found["device"], found["dtype"], source, of_model, options)


def _taken(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `pipeline` in a dictionary, by its own names. They are taken out; None is left out."""
    if given.pop("trust_remote_code", None):
        raise UsageError("bertkit never runs code that comes with a model: leave trust_remote_code out.")
    found = {"device": _device(given.pop("device_map", None))}
    for name in ("dtype", *_OF_SOURCE, *_RENAMED):
        if name in given:
            found[_RENAMED.get(name, name)] = given.pop(name)
    return {name: value for name, value in found.items() if value is not None}


def _device(device_map: Any) -> Any:
    """The one device of a `device_map`; None where the library chooses."""
    if isinstance(device_map, dict) and list(device_map) == [""]:
        return device_map[""]
    if isinstance(device_map, dict):
        advice = Setting("device_map", {"": 0})
        raise UsageError(
            "device_map spreads the model over several devices, which is not supported: type ", advice, "."
        )
    return None if device_map in _SPREAD else device_map
