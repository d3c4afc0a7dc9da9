"""Nodes of an OpenVINO graph: the small pieces of which a BERT is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bertkit.checkpoint.compressed import to_int8
from bertkit.graphs.openvino_runtime import ops, ov
from bertkit.tensors import Array

Node = Any
Model = Any


def argument(name: str, dimensions: int) -> Node:
    """An input of integers, each dimension of which may have any size."""
    return _named(ops.parameter([-1] * dimensions, ov.Type.i64), name)


def model(inputs: Iterable[Node], outputs: Mapping[str, Node]) -> Model:
    """The model with these inputs, and with outputs by name."""
    return ov.Model([_named(ops.result(node), name) for name, node in outputs.items()], list(inputs), "bert")


def _named(node: Node, name: str) -> Node:
    node.set_friendly_name(name)
    node.output(0).tensor.set_names({name})
    return node


def array(values: Array, name: str) -> Node:
    """A constant that uses the memory of an array, which lives as long as the constant: a copy would need it twice.

    OpenVINO requires an array that may be written, and does not write it.
    """
    own = np.ascontiguousarray(values).view()
    try:
        own.flags.writeable = True  # mapped files are private: only their views are read-only
    except ValueError:
        own = own.copy()
    node = ov.op.Constant(own, True)
    node.set_friendly_name(name)
    return node


def number(value: int) -> Node:
    """A scalar integer."""
    return ops.constant(np.int64(value))


def numbers(*values: int) -> Node:
    """A vector of integers."""
    return ops.constant(np.array(values, np.int64))


def quantized(matrix: Array, name: str) -> Node:
    """A matrix [out, in] as int8 with a scale for each row, [out, 1], multiplied in the graph."""
    values, scales = to_int8(matrix)
    whole = ops.convert(array(values, f"{name}.int8"), "f32")
    return ops.multiply(whole, array(scales, f"{name}.scales"))


def size(x: Node, axis: int) -> Node:
    """The size of an axis, a scalar."""
    return ops.gather(ops.shape_of(x, "i64"), number(axis), number(0))


def count_to(end: Node) -> Node:
    """The numbers 0, 1, ... before `end`."""
    return ops.range(number(0), end, number(1), "i64")


def shaped(x: Node, *sizes: int | Node) -> Node:
    """The array in another shape, whose sizes are numbers or scalar nodes. -1 is the remaining size."""
    parts = [numbers(one) if isinstance(one, int) else ops.unsqueeze(one, numbers(0)) for one in sizes]
    return ops.reshape(x, ops.concat(parts, 0), False)


def where(real: Node, x: Node, padding: float) -> Node:
    """Set an array to a number where `real`, which has its first dimensions, is False."""
    inner = [one.get_output_partial_shape(0).rank.get_length() for one in (real, x)]
    axes = numbers(*range(*inner))
    return ops.select(ops.unsqueeze(real, axes) if inner[0] < inner[1] else real, x, np.float32(padding))
