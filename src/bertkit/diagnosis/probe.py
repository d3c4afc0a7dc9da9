"""Imports the required libraries and PyTorch, and measures the speed: `python -m bertkit.diagnosis.probe SECONDS`.

It runs in a process of its own, since a library that is broken may end its process. Each line of its output is a JSON object
of one step: {"begins": "torch"} and then {"torch": ...} or {"torch": {"error": ...}}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bertkit.engines.processor import thread_variables

MODULES = ("numpy", "ml_dtypes", "tokenizers", "huggingface_hub", "tqdm")
"""The modules that bertkit cannot do without."""


def main(seconds: float) -> None:
    """Take the steps. With 0 seconds, the speed is not measured."""
    os.environ.update(thread_variables())
    for module in MODULES:
        _step(module, lambda module=module: _imported(module))  # type: ignore[misc]
    if find_spec("torch") is not None:
        _step("torch", _torch)
    if seconds:
        _step("speed", lambda: _measured(seconds))


def _step(name: str, work: Callable[[], dict[str, Any]]) -> None:
    _tell({"begins": name})
    try:
        found = work()
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    _tell({name: found})


def _tell(step: dict[str, Any]) -> None:
    """Write a line at once, as the process may end in the next step."""
    sys.stdout.write(json.dumps(step) + "\n")
    sys.stdout.flush()


def _imported(module: str) -> dict[str, Any]:
    import_module(module)
    return {}


def _torch() -> dict[str, Any]:
    """What PyTorch says of itself and of the devices that it can use."""
    torch = import_module("torch")
    gpus = [_gpu(torch.cuda.get_device_properties(number)) for number in range(torch.cuda.device_count())]
    mps = getattr(torch.backends, "mps", None)
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "gpus": gpus,
        "usable": torch.cuda.is_available(),
        "mps": mps is not None and mps.is_available(),
        "threads": torch.get_num_threads(),
    }


def _gpu(properties: Any) -> dict[str, Any]:
    """A GPU. From compute capability 8.0 on, one multiplies bf16 natively."""
    capability = f"{properties.major}.{properties.minor}"
    return {"name": properties.name, "memory": properties.total_memory, "capability": capability}


def _measured(seconds: float) -> dict[str, Any]:
    from bertkit.diagnosis.speed import measured

    return measured(seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]))
