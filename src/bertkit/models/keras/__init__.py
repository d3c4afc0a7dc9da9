"""The nine TensorFlow classes, on Keras 3.

Read model.py from top to bottom beside that of models/torch, then one class of heads.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bertkit.errors import BertkitError, MissingExtraError
from bertkit.outputs import OUTPUTS, ModelOutput

try:
    import optree
    import tensorflow as tf  # noqa: F401 - what Keras runs on here
except ModuleNotFoundError as error:
    raise MissingExtraError("tensorflow", "tf", "A TensorFlow model") from error


BertkitError._keras_call_info_injected = True  # type: ignore[attr-defined]
"""Keras adds the arguments of the call to the sentences of other errors."""

_KINDS = {kind.__name__: kind for kind in OUTPUTS}


def _flatten(output: ModelOutput) -> tuple[list[Any], Any, None]:
    """What was computed, for the code of Keras that walks outputs: predict, functional models."""
    return list(output.values()), (type(output).__name__, *output), None


def _unflatten(context: Any, values: Iterable[Any]) -> ModelOutput:
    kind, *names = context
    return _KINDS[kind](dict(zip(names, values, strict=True)))


for _kind in OUTPUTS:
    optree.register_pytree_node(_kind, _flatten, _unflatten, namespace="keras")
