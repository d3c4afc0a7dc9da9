"""The Flax classes under transformers' path. They are not here yet."""

from __future__ import annotations

from bertkit.errors import UnavailableError


def __getattr__(name: str) -> object:
    if name.startswith("Flax"):
        raise UnavailableError(
            f"bertkit has no {name} yet: type {name.removeprefix('Flax')}.from_pretrained(...), the PyTorch class, which "
            "reads flax_model.msgpack too."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
