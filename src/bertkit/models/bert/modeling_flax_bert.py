"""The Flax classes under the path of transformers. JAX is imported on first use of one of them."""

from __future__ import annotations

from importlib import import_module

from bertkit.errors import UnavailableError


def __getattr__(name: str) -> object:
    if not name.startswith("Flax"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("heads", "outputs"):
        found: object = getattr(import_module(f"bertkit.models.flax.{module}"), name, None)
        if found is not None:
            return found
    raise UnavailableError(
        f"bertkit has no {name}: its Flax classes use plain functions, which are in bertkit.models.flax.model. Type "
        "model.module.apply for the `apply` of a Flax module."
    )
