"""Exported ONNX models from anywhere, checked before a runtime opens them. The package `onnx` is not needed.

A file may have arrays in a second file, which it names by any path. Only one name in the same folder is accepted, and bertkit
maps that file itself, so that the runtime opens no path. Only the operators of a BERT are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod

import numpy as np

from bertkit.checkpoint.files import MOST_DIMENSIONS, Tensors, map_file, view
from bertkit.checkpoint.protobuf import Message, integer, nested, parse, read_varint
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.graphs.operators import MICROSOFT, ONNX
from bertkit.hub import Place
from bertkit.tensors import Array

FILE, DATA = "model.onnx", "model.onnx.data"
"""The names of the files of an exported model. The second one exists only for large models."""

SECOND = (DATA, "model.onnx_data")
"""The names that a second file may have: bertkit's, and optimum's."""

_MOST_BYTES = 2**31 - 1  # of a message of protocol buffers
_MOST_FIELDS = 2**20  # of all messages. A BERT of 24 layers has 1,000 nodes and arrays, each with some ten fields
_MOST_NUMBERS = 2**28  # of an array whose shape is a constant of the graph
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
"""The types of arrays in a second file, by their numbers in the format."""

# Numbers of fields in the messages of the format.
_GRAPH, _FUNCTIONS = 7, 25  # of a model
_NODE, _ARRAYS, _SPARSE = 1, 5, 15  # of a graph
_INPUTS, _OUTPUTS, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7  # of a node
_OF_ATTRIBUTE = {"tensors": (5, 10), "graphs": (6, 11), "sparse tensors": (22, 23)}
_NUMBERS = (3, 8)  # of an attribute: one integer, several
_DIMS, _DTYPE, _INT32, _INT64, _NAME, _RAW, _ENTRIES, _LOCATION = 1, 2, 5, 7, 8, 9, 13, 14  # of an array

_SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""The operators that make arrays of any size, and which of their inputs has the size."""


def read_exported(place: Place) -> tuple[bytes, Tensors]:
    """The bytes of the file of a model, and its arrays that are in the second file, as views.

    Raises UnsafeFileError for another second file, for operators that a BERT does not need, such as loops and branches, for
    functions, and for more than 2 GB.
    """
    path = place.file if place.file and place.file.suffix == ".onnx" else place.fetch(FILE)
    data = map_file(path)
    if len(data) > _MOST_BYTES:
        raise UnsafeFileError(f"{path} has {len(data):,} bytes, and an ONNX file has at most {_MOST_BYTES:,}.")
    check = _Check(f"The ONNX model {path}")
    outside = check.run(data)
    names = {check.location(tensor) for tensor in outside}
    second = {name: map_file(place.fetch(name)) for name in names}
    return bytes(data), dict(check.external(tensor, second) for tensor in outside)


class _Check:
    """Checks of the messages of a file, `what`, whose fields are counted."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.left = _MOST_FIELDS
        self.constants: dict[str, list[int]] = {}  # the small arrays of integers by name

    def run(self, data: memoryview) -> list[Message]:
        """Check a model. Returns its arrays that are in a second file."""
        model = self.parse(data)
        if _FUNCTIONS in model:
            raise UnsafeFileError(
                f"{self.what} has functions, and bertkit accepts graphs without them: export it again."
            )
        graphs = [self.parse(graph) for graph in nested(model, _GRAPH, self.what)]
        if any(_SPARSE in graph for graph in graphs):
            raise UnsafeFileError(f"{self.what} has sparse arrays, which bertkit does not accept: export it again.")
        tensors = [self.parse(one) for graph in graphs for one in nested(graph, _ARRAYS, self.what)]
        for tensor in tensors:
            self.keep_small(self.text(tensor, _NAME), tensor)
        nodes = [self.parse(one) for graph in graphs for one in nested(graph, _NODE, self.what)]
        for node in nodes:
            self.check_node(node)
        for node in nodes:
            self.check_size(node)
        return [tensor for tensor in tensors if _is_outside(tensor)]

    def parse(self, data: memoryview) -> Message:
        """The fields of a message."""
        message = parse(data, self.what, self.left)
        self.left -= sum(map(len, message.values()))
        return message

    def check_node(self, node: Message) -> None:
        """Refuse what a BERT does not need: other operators, loops, branches, and arrays in other files."""
        if any(len(node.get(field, [])) > 1 for field in (_OPERATOR, _DOMAIN)):
            raise UnsafeFileError(f"{self.what} has a node with several operators: it is damaged or hostile.")
        operator, domain = self.text(node, _OPERATOR), self.text(node, _DOMAIN)
        known = {"": ONNX, "ai.onnx": ONNX, "com.microsoft": MICROSOFT}.get(domain, frozenset())
        attributes = [self.parse(one) for one in nested(node, _ATTRIBUTE, self.what)]
        for kind in ("graphs", "sparse tensors"):
            if any(number in fields for fields in attributes for number in _OF_ATTRIBUTE[kind]):
                raise UnsafeFileError(
                    f"{self.what} has a node with {kind}, which a BERT does not need: export it again."
                )
        if operator not in known:
            raise UnsafeFileError(
                f"{self.what} has a node {domain or 'ai.onnx'}.{operator:.80}, which a BERT does not need: export it again."
            )
        for fields in attributes:
            self.check_constant(node, fields)

    def check_constant(self, node: Message, attribute: Message) -> None:
        """Refuse a constant in another file, and keep a small one."""
        name = self.text(node, _OUTPUTS)
        for number in _OF_ATTRIBUTE["tensors"]:
            for one in nested(attribute, number, self.what):
                tensor = self.parse(one)
                if _is_outside(tensor):
                    raise UnsafeFileError(f"{self.what} has a constant in another file: export it again.")
                if self.text(node, _OPERATOR) == "Constant":
                    self.keep_small(name, tensor)
        if self.text(node, _OPERATOR) == "Constant":
            for number in _NUMBERS:
                self.keep(name, list(self.integers(attribute.get(number, []))))

    def keep_small(self, name: str, tensor: Message) -> None:
        """Keep the integers of an array that may be a shape."""
        size = {6: 4, 7: 8}.get(integer(tensor, _DTYPE, self.what))  # bytes of int32 and int64
        if size is None or _is_outside(tensor):
            return
        raw = [bytes(one) for one in nested(tensor, _RAW, self.what) if len(one) <= 8 * MOST_DIMENSIONS]
        values = [
            int.from_bytes(one[at : at + size], "little", signed=True) for one in raw for at in range(0, len(one), size)
        ]
        self.keep(name, [*values, *self.integers([*tensor.get(_INT32, []), *tensor.get(_INT64, [])])])

    def keep(self, name: str, values: list[int]) -> None:
        if values:
            self.constants[name] = values

    def check_size(self, node: Message) -> None:
        """Refuse a node that makes an array of a constant shape that is far too large."""
        operator = self.text(node, _OPERATOR)
        inputs = [self.decoded(one) for one in nested(node, _INPUTS, self.what)]
        sizes: list[int] = []
        if operator in _SHAPED and len(inputs) > _SHAPED[operator]:
            sizes = self.constants.get(inputs[_SHAPED[operator]], [])
        elif operator == "Range":
            sizes = [max((abs(x) for name in inputs for x in self.constants.get(name, [])), default=0)]
        if prod(max(1, size) for size in sizes) > _MOST_NUMBERS:
            raise UnsafeFileError(
                f"{self.what} has a node {operator} that makes an array of the size {sizes!s:.80}: it is damaged or hostile."
            )

    def integers(self, values: list[int | memoryview]) -> Iterator[int]:
        """The first signed integers of a field, whose values are numbers, or bytes with several numbers."""
        for number in self.dimensions(values):
            yield number - 2**64 if number >= 2**63 else number

    def dimensions(self, values: list[int | memoryview]) -> tuple[int, ...]:
        """The first numbers of a field, as many as dimensions that an array may have, and one more."""
        found: list[int] = []
        for value in values:
            if isinstance(value, int):
                found.append(value)
                continue
            at = 0
            while at < len(value) and len(found) <= MOST_DIMENSIONS:
                number, at = read_varint(value, at, self.what)
                found.append(number)
        return tuple(found[: MOST_DIMENSIONS + 1])

    def location(self, tensor: Message) -> str:
        """The name of the second file that an array is in."""
        where = self.entries(tensor).get("location", "")
        if where not in SECOND:
            raise UnsafeFileError(
                f"{self.what} has {self.text(tensor, _NAME)!r:.80} in the file {where!r:.80}, and only {' or '.join(SECOND)} in "
                "the same folder is accepted: export it again."
            )
        return where

    def external(self, tensor: Message, second: dict[str, memoryview]) -> tuple[str, Array]:
        """The name of an array in a second file, and a view of it."""
        name, dtype = self.text(tensor, _NAME), integer(tensor, _DTYPE, self.what)
        entries = self.entries(tensor)
        offset = entries.get("offset", "0")
        if dtype not in _DTYPES:
            known = ", ".join(_DTYPES.values())
            raise FileFormatError(
                f"{self.what} has {name!r:.80} of the type {dtype} in its second file, where bertkit reads {known}: "
                "export it again."
            )
        if not re.fullmatch("[0-9]{1,15}", offset):
            raise FileFormatError(f"{self.what} has {name!r:.80} at an invalid place: it is damaged; export it again.")
        data, shape = second[entries["location"]], self.dimensions(tensor.get(_DIMS, []))
        return name, view(data, np.dtype(_DTYPES[dtype]), shape, int(offset), f"{name!r:.80} of {self.what}")

    def entries(self, tensor: Message) -> dict[str, str]:
        """Where an array is: its file, its first byte and others, all as texts."""
        pairs = (self.parse(entry) for entry in nested(tensor, _ENTRIES, self.what))
        return {self.text(pair, 1): self.text(pair, 2) for pair in pairs}

    def text(self, message: Message, number: int) -> str:
        """A field as text, empty if it is omitted."""
        values = nested(message, number, self.what)
        return self.decoded(values[-1]) if values else ""

    def decoded(self, value: memoryview) -> str:
        """The bytes of a name as text."""
        return bytes(value[:1000]).decode("utf-8", "replace")


def _is_outside(tensor: Message) -> bool:
    """Whether any reader may look for an array in another file, in whatever way its location is written."""
    return _ENTRIES in tensor or any(value != 0 for value in tensor.get(_LOCATION, []))
