"""The TensorFlow classes under the path of transformers."""

from __future__ import annotations

from importlib import import_module

from bertkit.errors import UnavailableError


def __getattr__(name: str) -> object:
    if not name.startswith("TF"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("heads", "model", "pretrained"):
        found = getattr(import_module(f"bertkit.models.keras.{module}"), name, None)
        if found is not None:
            return found
    raise UnavailableError(f"bertkit has no {name}: docs/tensorflow.md lists its TensorFlow classes.")
