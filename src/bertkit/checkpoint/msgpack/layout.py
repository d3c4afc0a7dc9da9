"""How a MessagePack file of Flax is built: the heads of values, which reader and writer agree on.

A file is one value. The head of a value, its first byte and the number that may follow, says what it is and how long:

    map                        the count, then as many pairs of key and value
    array                      the count, then as many values
    string, bytes, extension   the length, (of an extension its type, one byte,) then as many bytes
    integer from 0 on          the integer itself
    other                      nil, true, false, floats, negative integers

Flax writes one map, in which maps are nested: {"bert": {"pooler": {"dense": {"kernel": tensor, "bias": tensor}}}}.
A tensor is an extension of type 1, and its bytes are again a value: the array [shape, name of the type, numbers].
A tensor of more than 1 GiB is cut: {"__msgpack_chunked_array__": true, "shape": {"0": 400000, "1": 768},
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
"""Tensors above that are cut: the length of an extension ends at 4 GiB."""

_U8, _U16, _U32, _U64 = (Struct(f">{letter}") for letter in "BHIQ")

_HEADS = {
    # kind: the first byte for the length 0, how many lengths it goes on for; number that follows: first byte
    "map": (0x80, 16, {_U16: 0xDE, _U32: 0xDF}),
    "array": (0x90, 16, {_U16: 0xDC, _U32: 0xDD}),
    "string": (0xA0, 32, {_U8: 0xD9, _U16: 0xDA, _U32: 0xDB}),
    "bytes": (0x00, 0, {_U8: 0xC4, _U16: 0xC5, _U32: 0xC6}),
    "extension": (0x00, 0, {_U8: 0xC7, _U16: 0xC8, _U32: 0xC9}),
    "integer": (0x00, 128, {_U8: 0xCC, _U16: 0xCD, _U32: 0xCE, _U64: 0xCF}),
}

_SHORT_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
"""First byte -> length."""

_OTHERS = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
"""First byte of nil, false, true, two floats, four negative integers -> how many bytes follow."""

TRUE = bytes([0xC3])

_SMALL_NEGATIVE = 0xE0
"""From this first byte on, it is a negative integer, without more bytes."""


class Head(NamedTuple):
    """What the head of a value says."""

    kind: str
    length: int  # the elements of a map or an array, the bytes of the others, the integer itself
    start: int  # the byte behind the head
    type: int = 0  # of an extension


def read_head(file: Untrusted, at: int) -> Head:
    """The head of the value at byte `at`."""
    file.count_record()
    (first,) = file.unpack(_U8, at)
    behind = at + 1
    if first in _OTHERS or first >= _SMALL_NEGATIVE:
        return Head("other", _OTHERS.get(first, 0), behind)
    if first in _SHORT_EXTENSIONS:
        return Head("extension", _SHORT_EXTENSIONS[first], behind + 1, *file.unpack(_U8, behind))
    for kind, (start, room, numbers) in _HEADS.items():
        if start <= first < start + room:
            return Head(kind, first - start, behind)
        for number, byte in numbers.items():
            if first == byte:
                (length,) = file.unpack(number, behind)
                behind += number.size
                if kind == "extension":
                    return Head(kind, length, behind + 1, *file.unpack(_U8, behind))
                return Head(kind, length, behind)
    raise file.damaged(f"no value begins with {first:#x}, as the one at byte {at} does")


def head(kind: str, length: int) -> bytes:
    """The shortest head of a value of that kind (of an extension without the type).

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
