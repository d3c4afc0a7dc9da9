"""The nine TensorFlow classes, on Keras 3.

To read the code, start with model.py, which follows models/torch/model.py, then read one class of heads.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bertkit.errors import BertkitError, MissingExtraError
from bertkit.outputs import OUTPUTS, ModelOutput

try:
    import optree
    import tensorflow as tf  # noqa: F401 - the backend of Keras
except ModuleNotFoundError as error:
    raise MissingExtraError("tensorflow", "tf", "A TensorFlow model") from error


BertkitError._keras_call_info_injected = True  # type: ignore[attr-defined]
"""Prevents Keras from adding the arguments of the call to error messages."""

_KINDS = {kind.__name__: kind for kind in OUTPUTS}


def _flatten(output: ModelOutput) -> tuple[list[Any], Any, None]:
    """The values and names of an output, as Keras needs them in `predict` and functional models."""
    return list(output.values()), (type(output).__name__, *output), None


def _unflatten(context: Any, values: Iterable[Any]) -> ModelOutput:
    kind, *names = context
    return _KINDS[kind](dict(zip(names, values, strict=True)))


for _kind in OUTPUTS:
    optree.register_pytree_node(_kind, _flatten, _unflatten, namespace="keras")
