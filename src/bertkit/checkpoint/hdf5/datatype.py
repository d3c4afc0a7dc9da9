"""Dtypes as HDF5 describes them, bit by bit.

    class and version | 3 bytes of flags | bytes of one number | properties
    float:   flags are byte order, mantissa's leading 1 implied, position of the sign;
             properties are the first bit, the number of bits, position and bits of exponent and mantissa, and the bias
    integer: flags are byte order and signedness; properties are the first bit and the number of bits

There are few dtypes, so each is encoded once, and the reader compares bytes: a dtype that is not in the table is not
read, and nothing is computed from the numbers in a file.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from struct import Struct

from bertkit.checkpoint.dtypes import FLOATS, INTEGERS, numpy_dtype

_HEADER = Struct("<BBBBI")
_INTEGER = Struct("<HH")
_FLOAT = Struct("<HHBBBBI")

_VERSION_1 = 0x10
"""The upper half of a type's first byte. The lower half is its class."""


class Class(IntEnum):
    """The classes of types."""

    INTEGER = 0
    FLOAT = 1
    TIME = 2
    TEXT = 3
    BITS = 4
    OPAQUE = 5
    COMPOUND = 6
    REFERENCE = 7
    ENUMERATION = 8
    VARIABLE_LENGTH = 9
    ARRAY = 10


NOT_NUMBERS = (Class.TEXT, Class.REFERENCE, Class.VARIABLE_LENGTH)

_BIG_ENDIAN, _SIGNED, _IMPLIED_ONE = 0x01, 0x08, 0x20

_FLOAT_BITS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}
"""Bits of exponent and mantissa."""


def encode_number(name: str, big_endian: bool = False) -> bytes:
    """Return the datatype message of a dtype.

    >>> encode_number("int8").hex(" ")
    '10 08 00 00 01 00 00 00 00 00 08 00'
    """
    order = _BIG_ENDIAN if big_endian else 0
    if name in FLOATS:
        exponent, mantissa = _FLOAT_BITS[name]
        bits = 1 + exponent + mantissa
        header = _HEADER.pack(_VERSION_1 | Class.FLOAT, order | _IMPLIED_ONE, bits - 1, 0, bits // 8)
        return header + _FLOAT.pack(0, bits, mantissa, exponent, 0, mantissa, 2 ** (exponent - 1) - 1)
    bits = numpy_dtype(name).itemsize * 8
    header = _HEADER.pack(_VERSION_1 | Class.INTEGER, order | (0 if name[0] == "u" else _SIGNED), 0, 0, bits // 8)
    return header + _INTEGER.pack(0, bits)


def decode_number(message: memoryview) -> tuple[str, bool] | None:
    """Return the name of the dtype of a datatype message, and whether it is big-endian. None if the dtype is not supported.

    An enumeration, which h5py writes for booleans, is read as its integers.
    """
    if class_of(message) == Class.ENUMERATION and len(message) > _HEADER.size:
        message = message[_HEADER.size :]
    length = _HEADER.size + (_FLOAT.size if class_of(message) == Class.FLOAT else _INTEGER.size)
    return _numbers().get(bytes([_VERSION_1 | class_of(message)]) + bytes(message[1:length]))


def class_of(message: memoryview) -> int:
    """Return the class of a datatype message, which may be unknown."""
    return message[0] & 0x0F


@cache
def _numbers() -> dict[bytes, tuple[str, bool]]:
    return {encode_number(name, big): (name, big) for name in FLOATS + INTEGERS for big in (False, True)}
