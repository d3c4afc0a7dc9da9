"""Nodes and arrays of an ONNX graph, and their files. Only the package `onnx` is needed, no runtime.

A file of protocol buffers has at most 2 GB. Large arrays therefore have a place in a second file, model.onnx.data, from the
start. They move into the first file if all of them fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from bertkit.checkpoint.dtypes import as_stored
from bertkit.graphs.onnx_file import DATA, FILE
from bertkit.hub.disk import whole_file
from bertkit.tensors import Array

OPSET, MICROSOFT = 17, "com.microsoft"
"""The version of the standard operators, and the domain of the operators that only ONNX Runtime has."""

_IR_VERSION = 8  # the format of the file that belongs to this opset
_SMALL = 1024  # bytes of an array that is always in the first file, as runtimes need shapes and sizes early
_ALIGNED = 64  # bytes
_MOST_BYTES = 2**31 - 2**24  # of all arrays in the first file; the rest is for the nodes

Size = int | str
"""A dimension: a number, or the name of a dimension that may have any size."""


@dataclass(frozen=True)
class OnnxGraph:
    """A model without its large arrays, which are separate."""

    proto: ModelProto
    large: dict[str, Array]  # by name, in the order of their offsets

    def save(self, folder: Path, most_bytes: int = _MOST_BYTES) -> list[Path]:
        """Write the model into a folder, as one file, or as two if the arrays have more than `most_bytes`."""
        proto, written = ModelProto(), []
        proto.CopyFrom(self.proto)
        if sum(array.nbytes for array in self.large.values()) <= most_bytes:
            for tensor in proto.graph.initializer:
                if tensor.name in self.large:
                    tensor.CopyFrom(numpy_helper.from_array(self.large[tensor.name], tensor.name))
        else:
            written = [folder / DATA]
            with whole_file(written[0]) as file:
                for array in self.large.values():
                    file.write(as_stored(array))
                    file.write(bytes(-array.nbytes % _ALIGNED))
        with whole_file(folder / FILE) as file:
            file.write(proto.SerializeToString())
        return [folder / FILE, *written]


class Nodes:
    """The nodes of a graph in the order of the computation. A value of the graph is known by its name.

    >>> nodes = Nodes()
    >>> nodes.add("Relu", nodes.add("Add", "x", np.float32(1)))
    'Relu_2'
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._arrays: dict[str, Array] = {}

    def add(self, kind: str, *inputs: str | Array | np.generic, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the name of the output. An input that is an array becomes a constant."""
        return self.add_several(kind, 1, *inputs, domain=domain, **attributes)[0]

    def add_several(
        self, kind: str, count: int, *inputs: str | Array | np.generic, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs, and return their names."""
        number = len(self._nodes) + 1
        outputs = [f"{kind}_{number}" + (f"_{place}" if count > 1 else "") for place in range(count)]
        given = [
            one if isinstance(one, str) else self.array(f"{kind}_{number}_in_{place}", np.asarray(one))
            for place, one in enumerate(inputs)
        ]
        self._nodes.append(helper.make_node(kind, given, outputs, domain=domain, **attributes))
        return outputs

    def array(self, name: str, values: Array) -> str:
        """Add an array by its name, and return the name. A name that is known keeps its array."""
        self._arrays.setdefault(name, values)
        return name

    def __contains__(self, name: str) -> bool:
        """Whether there is an array with the name."""
        return name in self._arrays

    def rename(self, value: str, name: str) -> None:
        """Give a value of the graph another name, as an output."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))

    def graph(
        self,
        inputs: dict[str, Sequence[Size]],
        outputs: dict[str, Sequence[Size]],
        facts: dict[str, str],
    ) -> OnnxGraph:
        """The graph with integer inputs and float outputs of these shapes. `facts` are saved with it."""
        body = helper.make_graph(
            self._nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            list(_initializers(self._arrays)),
        )
        domains = {node.domain for node in self._nodes} | {""}
        imports = [helper.make_opsetid(domain, 1 if domain else OPSET) for domain in sorted(domains)]
        proto = helper.make_model(body, opset_imports=imports, ir_version=_IR_VERSION, producer_name="bertkit")
        helper.set_model_props(proto, facts)
        return OnnxGraph(proto, {name: array for name, array in self._arrays.items() if array.nbytes > _SMALL})


def _initializers(arrays: dict[str, Array]) -> Iterable[TensorProto]:
    """The arrays of a graph: the small ones whole, the large ones as a place in the second file."""
    end = 0
    for name, array in arrays.items():
        if array.nbytes <= _SMALL:
            yield numpy_helper.from_array(array, name)
            continue
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", DATA), ("offset", end), ("length", prod(array.shape) * array.itemsize)):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        end += array.nbytes + -array.nbytes % _ALIGNED
        yield tensor
