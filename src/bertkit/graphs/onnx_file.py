"""Exported ONNX models from anywhere, checked before a runtime opens them. The package `onnx` is not needed.

A file may have arrays in a second file, which it names by any path. Only one name in the same folder is accepted, and bertkit
maps that file itself, so that the runtime opens no path.
"""

from __future__ import annotations

import re

import numpy as np

from bertkit.checkpoint.files import Tensors, map_file, view
from bertkit.checkpoint.protobuf import Message, integer, nested, parse, read_varint
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.hub import Place
from bertkit.tensors import Array

FILE, DATA = "model.onnx", "model.onnx.data"
"""The names of the files of an exported model. The second one exists only for large models."""

_MOST_BYTES = 2**31 - 1  # of a message of protocol buffers
_MOST_FIELDS = 2**18  # of one message. A BERT of 24 layers has 1,000 nodes and arrays
_DTYPES = {1: "float32", 3: "int8", 6: "int32", 7: "int64"}  # by the numbers of the format

# Numbers of fields in the messages of the format.
_GRAPH, _FUNCTIONS = 7, 25  # of a model
_NODE, _ARRAYS, _SPARSE = 1, 5, 15  # of a graph
_ATTRIBUTE = 5  # of a node
_OF_ATTRIBUTE = {"tensors": (5, 10), "graphs": (6, 11), "sparse tensors": (22, 23)}
_DIMS, _DTYPE, _NAME, _ENTRIES, _LOCATION = 1, 2, 8, 13, 14  # of an array


def read_exported(place: Place) -> tuple[bytes, Tensors]:
    """The bytes of the file of a model, and its arrays that are in the second file, as views.

    Raises UnsafeFileError for another second file, control flow, functions, and more than 2 GB.
    """
    path = place.file if place.file and place.file.suffix == ".onnx" else place.fetch(FILE)
    data = map_file(path)
    if len(data) > _MOST_BYTES:
        raise UnsafeFileError(f"{path} has {len(data):,} bytes, and an ONNX file has at most {_MOST_BYTES:,}.")
    what = f"The ONNX model {path}"
    model = parse(data, what, _MOST_FIELDS)
    if _FUNCTIONS in model:
        raise UnsafeFileError(f"{what} has functions, and bertkit accepts graphs without them: export it again.")
    outside: list[Message] = []
    for graph in nested(model, _GRAPH, what):
        fields = parse(graph, what, _MOST_FIELDS)
        if _SPARSE in fields:
            raise UnsafeFileError(f"{what} has sparse arrays, which bertkit does not accept: export it again.")
        for node in nested(fields, _NODE, what):
            _check_node(node, what)
        tensors = (parse(tensor, what, _MOST_FIELDS) for tensor in nested(fields, _ARRAYS, what))
        outside += [tensor for tensor in tensors if _is_outside(tensor)]
    for tensor in outside:
        _check_location(tensor, what)
    second = map_file(place.fetch(DATA)) if outside else memoryview(b"")
    return bytes(data), dict(_external(tensor, second, what) for tensor in outside)


def _check_node(node: memoryview, what: str) -> None:
    """Refuse attributes that a BERT does not need: loops, branches, and arrays in other files."""
    for attribute in nested(parse(node, what, _MOST_FIELDS), _ATTRIBUTE, what):
        fields = parse(attribute, what, _MOST_FIELDS)
        for kind in ("graphs", "sparse tensors"):
            if any(number in fields for number in _OF_ATTRIBUTE[kind]):
                raise UnsafeFileError(f"{what} has a node with {kind}, which a BERT does not need: export it again.")
        for number in _OF_ATTRIBUTE["tensors"]:
            for tensor in nested(fields, number, what):
                if _is_outside(parse(tensor, what, _MOST_FIELDS)):
                    raise UnsafeFileError(f"{what} has a constant in another file: export it again.")


def _is_outside(tensor: Message) -> bool:
    """Whether any reader may look for an array in another file, however its location is spelt."""
    return _ENTRIES in tensor or any(value != 0 for value in tensor.get(_LOCATION, []))


def _entries(tensor: Message, what: str) -> dict[str, str]:
    """Where an array is: its file, its first byte and others, all as texts."""
    pairs = (parse(entry, what, _MOST_FIELDS) for entry in nested(tensor, _ENTRIES, what))
    return {_text(pair, 1, what): _text(pair, 2, what) for pair in pairs}


def _check_location(tensor: Message, what: str) -> None:
    where = _entries(tensor, what).get("location")
    if where != DATA:
        raise UnsafeFileError(
            f"{what} has {_text(tensor, _NAME, what)!r:.80} in the file {where!r:.80}, and only {DATA} in the same folder is "
            "accepted: export it again."
        )


def _external(tensor: Message, data: memoryview, what: str) -> tuple[str, Array]:
    """The name of an array in the second file, and a view of it."""
    name, dtype = _text(tensor, _NAME, what), integer(tensor, _DTYPE, what)
    offset = _entries(tensor, what).get("offset", "0")
    if dtype not in _DTYPES or not re.fullmatch("[0-9]{1,15}", offset):
        raise FileFormatError(f"{what} has {name!r:.80} with an unknown type or place: it is damaged; export it again.")
    shape = _dimensions(tensor.get(_DIMS, []), what)
    return name, view(data, np.dtype(_DTYPES[dtype]), shape, int(offset), f"{name!r:.80} of {what}")


def _dimensions(values: list[int | memoryview], what: str) -> tuple[int, ...]:
    """The shape of an array, whose dimensions are numbers, or bytes with several numbers."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = read_varint(value, at, what)
            found.append(number)
    return tuple(found)


def _text(message: Message, number: int, what: str) -> str:
    """A field as text, empty if it is omitted."""
    values = nested(message, number, what)
    return bytes(values[-1]).decode("utf-8", "replace") if values else ""
