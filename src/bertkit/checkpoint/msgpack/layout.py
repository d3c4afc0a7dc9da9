"""The structure of a MessagePack file of Flax: the heads of values, for the reader and the writer.

A file is one value. The head of a value, its first byte and a number that may follow, has its kind and length:

    map                        the number of pairs, then a key and a value for each
    array                      the number of values, then the values
    string, bytes, extension   the number of bytes, for an extension its type (one byte), then the bytes
    nonnegative integer        the integer itself
    other                      nil, true, false, floats, negative integers

Flax writes nested maps: {"bert": {"pooler": {"dense": {"kernel": tensor, "bias": tensor}}}}.
A tensor is an extension of type 1. Its bytes are a value themselves: the array [shape, name of the dtype, numbers].
A tensor of more than 1 GiB is split: {"__msgpack_chunked_array__": true, "shape": {"0": 400000, "1": 768},
"chunks": {"0": tensor, "1": tensor}}, where the chunks have one dimension.

MessagePack is specified at https://github.com/msgpack/msgpack/blob/master/spec.md.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from bertkit.checkpoint.dtypes import FLOATS, INTEGERS
from bertkit.checkpoint.untrusted import Untrusted

DTYPES = (*FLOATS, *INTEGERS, "bool")

ARRAY, COMPLEX, SCALAR = 1, 2, 3
"""The types of extension: an array of NumPy, a complex number of Python, a scalar of NumPy (written like an array)."""

CHUNKED, SHAPE, CHUNKS = "__msgpack_chunked_array__", "shape", "chunks"
"""The keys of the map that a large tensor becomes."""

CHUNK_BYTES = 2**30
"""Larger tensors are split, since an extension has at most 4 GiB."""

_U8, _U16, _U32, _U64 = (Struct(f">{letter}") for letter in "BHIQ")

_HEADS = {
    # kind: the first byte of length 0, how many lengths are in the first byte, {number that follows: first byte}
    "map": (0x80, 16, {_U16: 0xDE, _U32: 0xDF}),
    "array": (0x90, 16, {_U16: 0xDC, _U32: 0xDD}),
    "string": (0xA0, 32, {_U8: 0xD9, _U16: 0xDA, _U32: 0xDB}),
    "bytes": (0x00, 0, {_U8: 0xC4, _U16: 0xC5, _U32: 0xC6}),
    "extension": (0x00, 0, {_U8: 0xC7, _U16: 0xC8, _U32: 0xC9}),
    "integer": (0x00, 128, {_U8: 0xCC, _U16: 0xCD, _U32: 0xCE, _U64: 0xCF}),
}

_SHORT_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
"""{first byte: length}"""

_OTHERS = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
"""{first byte of nil, false, true, two floats, four signed integers: how many bytes follow}"""

TRUE = bytes([0xC3])

_SMALL_NEGATIVE = 0xE0
"""This first byte and all higher ones are negative integers without further bytes."""


class Head(NamedTuple):
    """The head of a value."""

    kind: str
    length: int  # the elements of a map or an array, the bytes of the others, the integer itself
    start: int  # the byte after the head
    type: int = 0  # of an extension


def read_head(file: Untrusted, at: int) -> Head:
    """Return the head of the value at byte `at`."""
    file.count_record()
    (first,) = file.unpack(_U8, at)
    after = at + 1
    if first in _OTHERS or first >= _SMALL_NEGATIVE:
        return Head("other", _OTHERS.get(first, 0), after)
    if first in _SHORT_EXTENSIONS:
        return Head("extension", _SHORT_EXTENSIONS[first], after + 1, *file.unpack(_U8, after))
    for kind, (start, room, numbers) in _HEADS.items():
        if start <= first < start + room:
            return Head(kind, first - start, after)
        for number, byte in numbers.items():
            if first == byte:
                (length,) = file.unpack(number, after)
                after += number.size
                if kind == "extension":
                    return Head(kind, length, after + 1, *file.unpack(_U8, after))
                return Head(kind, length, after)
    raise file.damaged(f"the value at byte {at} begins with {first:#x}, which is not MessagePack")


def head(kind: str, length: int) -> bytes:
    """Return the shortest head of a value of this kind, without the type of an extension.

    >>> head("map", 3).hex(), head("bytes", 300).hex()
    ('83', 'c5012c')
    """
    start, room, numbers = _HEADS[kind]
    if length < room:
        return bytes([start + length])
    if kind == "extension" and length in _SHORT_EXTENSIONS.values():
        return next(bytes([first]) for first, short in _SHORT_EXTENSIONS.items() if short == length)
    number = next(number for number in numbers if length < 256**number.size)
    return bytes([numbers[number]]) + number.pack(length)
