"""The TensorFlow classes under transformers' path. They are not here yet."""

from __future__ import annotations

from bertkit.errors import UnavailableError


def __getattr__(name: str) -> object:
    if name.startswith("TF"):
        raise UnavailableError(
            f"bertkit has no {name} yet: type {name.removeprefix('TF')}.from_pretrained(...), the PyTorch class, which reads "
            "tf_model.h5 too."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
