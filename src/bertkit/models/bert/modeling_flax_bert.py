"""The Flax classes under transformers' path. JAX is imported when one of them is asked for."""

from __future__ import annotations

from importlib import import_module

from bertkit.errors import UnavailableError


def __getattr__(name: str) -> object:
    if not name.startswith("Flax"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for room in ("heads", "outputs"):
        found: object = getattr(import_module(f"bertkit.models.flax.{room}"), name, None)
        if found is not None:
            return found
    raise UnavailableError(
        f"bertkit has no {name}: inside the Flax classes are plain functions, in bertkit.models.flax.model, and a model's "
        "`module` has the `apply` of a Flax module."
    )
