"""The arguments of `pipeline` in transformers that have other names in bertkit, have no effect, or are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertkit.errors import Setting, UsageError
from bertkit.pipelines.calls import pop_options

_UNUSED = (
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
_SOURCE = ("revision", "subfolder", "token", "cache_dir", "local_files_only")
_AUTOMATIC = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of `device_map` that let the library choose the device."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call of `pipeline`."""

    device: Any
    dtype: Any
    source: dict[str, Any]  # arguments of `hub.locate`
    of_config: dict[str, Any]  # values of the configuration to replace
    options: dict[str, Any]  # options of the task


def read_arguments(own: dict[str, Any], options: dict[str, Any]) -> Arguments:
    """The arguments of `pipeline`: its `own`, and those among `options` that have other names in transformers."""
    options = {name: value for name, value in options.items() if name not in _UNUSED}
    of_model = pop_options("model_kwargs", options)
    of_model = {name: value for name, value in of_model.items() if name not in _UNUSED and value is not None}
    if options.pop("binary_output", False):
        raise UsageError("binary_output=True is not supported: leave it out, and save the answers yourself.")
    found = {**own, **_pop_arguments(of_model), **_pop_arguments(options)}
    source = {name: found[name] for name in _SOURCE}
    return Arguments(found["device"], found["dtype"], source, of_model, options)


def _pop_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Remove the arguments of `pipeline` from a dictionary, and return those that are not None, by bertkit's names."""
    if given.pop("trust_remote_code", None):
        raise UsageError("bertkit never runs the code of a model repository: leave trust_remote_code out.")
    found = {"device": _device(given.pop("device_map", None))}
    for name in ("dtype", *_SOURCE, *_RENAMED):
        if name in given:
            found[_RENAMED.get(name, name)] = given.pop(name)
    return {name: value for name, value in found.items() if value is not None}


def _device(device_map: Any) -> Any:
    """The device in a `device_map`; None if the library chooses it."""
    if isinstance(device_map, dict) and list(device_map) == [""]:
        return device_map[""]
    if isinstance(device_map, dict):
        advice = Setting("device_map", {"": 0})
        raise UsageError("device_map with several devices is not supported: type ", advice, ".")
    return None if device_map in _AUTOMATIC else device_map
