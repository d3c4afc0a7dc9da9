"""The nine PyTorch classes.

Read packing.py's first lines, then model.py from top to bottom, then one class of heads.py.
"""

from __future__ import annotations

from typing import Any

from bertkit.errors import MissingExtraError
from bertkit.outputs import OUTPUTS, Later, ModelOutput

try:
    from torch.utils import _pytree
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch", "A PyTorch model") from error


def _flatten(output: ModelOutput) -> tuple[list[Any], Any]:
    """What was computed, for code that walks outputs (sharding, export). What nobody has read stays unread."""
    there = output.unread()
    names = tuple(name for name, value in there.items() if not isinstance(value, Later))
    return [there[name] for name in names], (type(output), names)


def _unflatten(values: Any, context: Any) -> ModelOutput:
    kind, names = context
    output: ModelOutput = kind(dict(zip(names, values, strict=True)))
    return output


for _output in OUTPUTS:
    _pytree.register_pytree_node(
        _output, _flatten, _unflatten, serialized_type_name=f"bertkit.outputs.{_output.__name__}"
    )
