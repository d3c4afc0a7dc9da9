"""The nine PyTorch classes.

Read packing.py's first lines, then model.py from top to bottom, then one class of heads.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bertkit.errors import MissingExtraError
from bertkit.outputs import OUTPUTS, Lazy, ModelOutput

try:
    from torch.utils import _pytree
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", None, "A PyTorch model") from error


_KINDS = {kind.__name__: kind for kind in OUTPUTS}


def _flatten(output: ModelOutput) -> tuple[list[Any], Any]:
    """The computed values of an output, for pytrees (sharding, export). Lazy values that were not read are left out."""
    there = {name: value for name, value in output.unread().items() if not isinstance(value, Lazy)}
    return list(there.values()), [type(output).__name__, *there]


def _unflatten(values: Iterable[Any], context: Any) -> ModelOutput:
    kind, *names = context
    return _KINDS[kind](dict(zip(names, values, strict=True)))


for _kind in OUTPUTS:
    _pytree.register_pytree_node(_kind, _flatten, _unflatten, serialized_type_name=f"bertkit.outputs.{_kind.__name__}")
