"""Exported OpenVINO models from anywhere, checked before a runtime opens them. The package `openvino` is not needed.

A model is a text of XML with the nodes, and a second file with the arrays. The text names no other file.
"""

from __future__ import annotations

import re
from math import prod
from xml.parsers import expat

from bertkit.checkpoint.files import map_file
from bertkit.errors import FileFormatError, UnsafeFileError
from bertkit.graphs.operators import OPENVINO
from bertkit.hub import Place

FILE, DATA = "openvino_model.xml", "openvino_model.bin"
"""The names of the files of an exported model."""

_MOST_BYTES = 2**26  # of the text; a BERT of 24 layers has 2 MB
_MOST_ELEMENTS = 2**20


def read_exported(place: Place) -> tuple[bytes, memoryview]:
    """The text of a model, and the mapped file of its arrays.

    Raises FileFormatError for damaged files, and UnsafeFileError for nodes that a BERT does not need, such as loops and
    branches, and for texts that are too large.
    """
    path = place.file if place.file and place.file.suffix == ".xml" else place.fetch(FILE)
    text = map_file(path)
    if len(text) > _MOST_BYTES:
        raise UnsafeFileError(
            f"{path} has {len(text):,} bytes, and bertkit reads up to {_MOST_BYTES:,} of such a file."
        )
    arrays = map_file(place.fetch(path.with_suffix(".bin").name))
    whole = bytes(text)
    _Check(f"The OpenVINO model {path}", len(arrays)).run(whole)
    return whole, arrays


_BITS = {
    **dict.fromkeys(("u1",), 1),
    **dict.fromkeys(("i4", "u4", "nf4"), 4),
    **dict.fromkeys(("boolean", "i8", "u8", "f8e4m3", "f8e5m2"), 8),
    **dict.fromkeys(("f16", "bf16", "i16", "u16"), 16),
    **dict.fromkeys(("f32", "i32", "u32"), 32),
    **dict.fromkeys(("f64", "i64", "u64"), 64),
}
"""The type of the numbers of an array -> bits of a number."""


class _Check:
    """Checks of the elements of a text, one after the other."""

    def __init__(self, what: str, most: int) -> None:
        self.what, self.most = what, most  # bytes of the second file
        self.elements = 0

    def run(self, text: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self.refuse_declaration
        parser.StartElementHandler = self.element
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise FileFormatError(f"{self.what} is damaged ({error}): export it again.") from error

    def refuse_declaration(self, *_: object) -> None:
        """No file of OpenVINO declares entities, which can expand to any size."""
        raise UnsafeFileError(f"{self.what} has a DOCTYPE, which bertkit does not accept: export it again.")

    def element(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > _MOST_ELEMENTS:
            raise UnsafeFileError(f"{self.what} has more than {_MOST_ELEMENTS:,} elements: it is damaged or hostile.")
        kind = attributes.get("type")
        if name == "layer" and kind not in OPENVINO:
            raise UnsafeFileError(f"{self.what} has a node {kind!s:.80}, which a BERT does not need: export it again.")
        if name == "data" and "offset" in attributes:
            given = attributes["offset"], attributes.get("size", "")
            if not all(re.fullmatch("[0-9]{1,15}", one) for one in given) or sum(map(int, given)) > self.most:
                raise FileFormatError(
                    f"{self.what} has an array at byte {given[0]!r:.40} of {given[1]!r:.40} bytes, and its second file has "
                    f"{self.most:,}: it is cut off or damaged; copy or export it again."
                )
            self.check_shape(attributes)

    def check_shape(self, attributes: dict[str, str]) -> None:
        """Refuse an array whose shape has another size than its bytes, which OpenVINO compares modulo 2**64 only."""
        kind, shape = attributes.get("element_type", ""), attributes.get("shape", "")
        sizes = [one.strip() for one in shape.split(",")] if shape.strip() else []
        known = kind in _BITS and all(re.fullmatch("[0-9]{1,15}", one) for one in sizes)
        if not known or -(-prod(map(int, sizes)) * _BITS[kind] // 8) != int(attributes["size"]):
            raise FileFormatError(
                f"{self.what} has an array of the type {kind!r:.40} and the shape {shape!r:.80} in {attributes['size']} bytes: "
                "it is damaged; copy or export it again."
            )
