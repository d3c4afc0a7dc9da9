"""The inputs of the classes, and how the positions of a batch attend to each other.

A batch is always a rectangle [B, L], as XLA needs shapes that do not depend on values. Padding is computed, then set to zeros.

    B rows of the batch   L positions of a row   S positions that are attended to   A heads   H hidden
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import ml_dtypes
import numpy as np
from keras import ops

from bertkit.errors import UsageError, did_you_mean

Tensor: TypeAlias = Any
"""A tensor of the Keras backend."""


@dataclass(frozen=True)
class Rectangle:
    """Every position of a batch.

    grid: (B, L), numbers or scalar tensors.
    real: [B, L], True at real tokens; None: all are.
    mask: [B or 1, 1, L or 1, S], True where a position may attend; None: everywhere.
    """

    grid: tuple[Any, Any]
    real: Tensor | None = None
    mask: Tensor | None = None

    @staticmethod
    def masked(grid: tuple[Any, Any], given: Tensor | None, causal: bool, past: Any) -> Rectangle:
        """With a mask: [B, past + L] of real tokens, or [B, L, L] or [B, 1, L or 1, S] where each position may attend."""
        length = grid[1]
        if given is None:
            return Rectangle(
                grid, None, visible(ops.ones((1, past + length), dtype="bool"), length) if causal else None
            )
        mask = plain_mask(given, causal)
        if len(mask.shape) == 2:
            if not compatible(mask.shape, (grid[0], past + length)):
                raise UsageError(
                    f"attention_mask has the shape {list(mask.shape)}, and needs [batch, length] = {[grid[0], past + length]}, "
                    f"or {[grid[0], length, length]} to say for each position where it may attend."
                )
            return Rectangle(grid, mask[:, past:], visible(mask, length) if causal else mask[:, None, None])
        return Rectangle(grid, None, mask[:, None] if len(mask.shape) == 3 else mask)

    def unpack(self, x: Tensor, padding: float = 0.0) -> Tensor:
        """[B, L, ...] -> [B, L, ...], zeros or another number at padding. -inf: the lowest of the type."""
        if self.real is None:
            return x
        return _masked(x, ops.reshape(self.real, (*self.grid, *[1] * (len(x.shape) - 2))), padding)

    def first(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, H], of the first real token of each row."""
        if self.real is None:
            return x[:, 0]
        return ops.take_along_axis(x, ops.argmax(self.real, axis=1)[:, None, None], axis=1)[:, 0]

    def unpack_rows(self, x: Tensor) -> Tensor:
        """[B, ...] -> [B, ...], zeros for a row without tokens."""
        return x if self.real is None else _masked(x, ops.any(self.real, axis=1)[:, None])

    def returned_weights(self, x: Tensor) -> Tensor:
        """Attention weights [B, A, L, S] as they are returned, zeros at padding."""
        return x if self.real is None else _masked(x, self.real[:, None, :, None])


def _masked(x: Tensor, real: Tensor, padding: float = 0.0) -> Tensor:
    lowest = float(ml_dtypes.finfo(keras.backend.standardize_dtype(x.dtype)).min)
    return ops.where(real, x, ops.cast(max(padding, lowest), x.dtype))


def visible(real: Tensor, length: Any) -> Tensor:
    """Causal mask for the last `length` positions: each attends to itself and those before it. [B, S] -> [B, 1, length, S]."""
    source = ops.shape(real)[1]
    before = ops.arange(source) <= ops.arange(source - length, source)[:, None]
    return ops.logical_and(real[:, None, None], before)


def plain_mask(mask: Tensor, causal: bool = False) -> Tensor:
    """A mask of any kind as a boolean mask. [B, 1, 1, L] becomes [B, L], unless `causal`: a decoder takes it as it is.

    The numbers are 1 and 0, or those that are added to scores: 0, and negative where a position is hidden. A mask of zeros only
    hides nothing if it has four sides, and everything if it has fewer.
    """
    if "float" in str(mask.dtype):
        added = ops.logical_not(ops.any(mask > 0)) if len(mask.shape) == 4 else ops.any(mask < 0)
        mask = ops.logical_xor(mask != 0, added)
    mask = ops.cast(mask, "bool")
    return mask[:, 0, 0] if len(mask.shape) == 4 and tuple(mask.shape[1:3]) == (1, 1) and not causal else mask


@dataclass
class Arranged:
    """The tokens of a batch, and their layout. choices: the number of sequences of an example of multiple choice."""

    layout: Rectangle
    input_ids: Tensor | None
    token_type_ids: Tensor | None
    position_ids: Tensor | None
    inputs_embeds: Tensor | None
    choices: Any = None


def arrange(
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    position_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    *,
    causal: bool = False,
    past: Any = 0,
) -> Arranged:
    """Check the tokens of a batch, and choose its layout. past: positions that a cache holds before these."""
    ids = {"input_ids": input_ids, "token_type_ids": token_type_ids, "position_ids": position_ids}
    found = {name: None if x is None else whole_numbers(name, x) for name, x in ids.items()}
    embeds = None if inputs_embeds is None else ops.convert_to_tensor(inputs_embeds)
    given = found["input_ids"] if embeds is None else embeds
    if given is None or (input_ids is not None and embeds is not None):
        raise UsageError("A forward takes input_ids or inputs_embeds: give one of the two.")
    sides = given.shape if embeds is None else given.shape[:-1]
    if len(sides) != 2:
        raise UsageError(
            f"input_ids have the shape [batch, length], not {list(sides)}: add a side with input_ids[None]."
        )
    grid = ops.shape(given)[:2]
    for name in ("token_type_ids", "position_ids"):
        x = found[name]
        if x is not None and not any(compatible(x.shape, shape) for shape in (grid, grid[1:], (1, *grid[1:]))):
            raise UsageError(f"{name} have the shape {list(x.shape)}, and need that of the tokens, {list(sides)}.")
    if attention_mask is not None:
        attention_mask = ops.convert_to_tensor(attention_mask)
    if found["position_ids"] is None:
        found["position_ids"] = ops.arange(past, past + grid[1], dtype="int32")
    layout = Rectangle.masked(grid, attention_mask, causal, past)
    return Arranged(layout, found["input_ids"], found["token_type_ids"], found["position_ids"], embeds)


def whole_numbers(name: str, given: Any) -> Tensor:
    """Return ids as a tensor. Raises UsageError if they are not whole numbers."""
    tensor = ops.convert_to_tensor(given)
    if "int" not in str(tensor.dtype):
        if "float" not in str(tensor.dtype) or not is_symbolic(given):
            raise UsageError(f"{name} are of {tensor.dtype}, and must be of whole numbers, such as int32.")
        tensor = ops.cast(tensor, "int32")  # float32 is the default type of keras.Input
    return tensor


def is_symbolic(x: Any) -> bool:
    """Whether a tensor has a shape but no values yet, as in a graph."""
    return not hasattr(x, "numpy") and not isinstance(x, np.ndarray)


def compatible(shape: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether two shapes agree in the sides that are known."""
    pairs = list(zip(shape, wanted, strict=False))
    return len(shape) == len(wanted) and all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))


def unpack_inputs(call: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `call`: its first argument may also be a dict, a tuple or a list of the arguments.

    model(ids, mask), model([ids, mask]) and model({"input_ids": ids, "attention_mask": mask}) are the same call.
    """
    names = [name for name in inspect.signature(call).parameters if name not in ("self", "training", "arranged")]

    @functools.wraps(call)
    def unpacked_call(self: Any, input_ids: Any = None, *others: Any, **named: Any) -> Any:
        if isinstance(input_ids, Mapping):
            given = dict(input_ids)
        elif isinstance(input_ids, (tuple, list)):
            given = dict(zip(names, input_ids, strict=False))
        else:
            return call(self, input_ids, *others, **named)
        unknown = [name for name in given if name not in names]
        if unknown:
            near = did_you_mean(str(unknown[0]), names)
            raise UsageError(
                f"{type(self).__name__} has no argument {unknown[0]!r}. The arguments are {', '.join(names)}.{near}"
            )
        named = {**dict(zip(names[1:], others, strict=False)), **named}
        return call(self, **{**given, **{name: x for name, x in named.items() if x is not None}})

    return unpacked_call


def as_arrays(given: Any) -> Any:
    """Convert nested lists of numbers, such as [[2, 5, 3]], to arrays, also those in a dict."""
    if isinstance(given, Mapping):
        return {name: as_arrays(x) for name, x in given.items()}
    if not isinstance(given, (list, tuple)):
        return given
    leaf: Any = given
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    return np.asarray(given) if isinstance(leaf, (int, float)) else given
