"""CRC-32C, the checksum of TensorFlow's files, in NumPy at gigabytes a second.

The bits of a message are the coefficients of a polynomial over GF(2), where addition is XOR. Its CRC is the remainder of
a division by P = 0x1EDC6F41, a polynomial of degree 32. Adding a multiple of P to the message does not change it. The
textbook algorithm clears one byte after the other, each by adding a multiple of P from a table of 256, which is slow in
Python. This module adds a multiple that has only four terms, found by search:

    x^(8 * 5685) + x^(8 * 1362) + x^(8 * 426) + 1

To clear a byte, it is XORed onto the bytes 4323, 5259 and 5685 positions after it (5685 - 1362, 5685 - 426, 5685 - 0).
The first 4323 bytes are cleared together, by three XORs of arrays, since all changed bytes follow them. This repeats
until 5685 bytes are left for the textbook algorithm. Longer steps need no other multiple: over GF(2),
(a + b)^2 = a^2 + b^2, so the square of the multiple has four terms too, with all distances doubled.

A small example has bits in place of bytes and P = x^3 + x + 1: a bit is XORed onto the bits 2 and 3 positions after it,
and two bits are cleared together:

    1 0 0 0 0 0 0    the message, x^6
    . . 1 1 0 0 0    bits 0 and 1 are cleared: x^4 + x^3
    . . . . 1 0 1    bits 2 and 3 are cleared: x^2 + 1, the remainder of x^6

Multiples with few terms are the idea of "Chorba: A novel CRC32 implementation" (Russell 2024, arXiv:2412.16398).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Octets = NDArray[np.uint8]

_DISTANCES = (4323, 5259, 5685)
_SQUARED = 16  # four squarings: steps of 69 kB
_WINDOW = 1 << 20  # bytes that are copied and folded at a time, which fit the cache of the CPU


def crc32c(data: bytes | memoryview | Octets) -> int:
    """Return the CRC-32C (Castagnoli) of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(data) <= _DISTANCES[-1]:
        return _textbook(0xFFFFFFFF, bytes(data)) ^ 0xFFFFFFFF
    octets = np.frombuffer(data, np.uint8)
    rest = ~octets[:4]  # the register starts at 0xFFFFFFFF
    for start in range(4, len(octets), _WINDOW):
        rest = _fold(np.concatenate([rest, octets[start : start + _WINDOW]]), _SQUARED)
    return _textbook(0, _fold(rest, 1).tobytes()) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview | Octets) -> int:
    """Return the CRC-32C as TensorFlow stores it, rotated by 15 bits plus a constant.

    Without this mask, the CRC of data followed by its CRC would be a constant.
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _fold(message: Octets, scale: int) -> Octets:
    """XOR all bytes of `message` onto its last ones, in place, and return these. Their remainder is that of `message`."""
    step, _, reach = distances = [distance * scale for distance in _DISTANCES]
    stop = max(len(message) - reach, 0)
    for start in range(0, stop, step):
        end = min(start + step, stop)
        for distance in distances:
            message[start + distance : end + distance] ^= message[start:end]
    return message[stop:]


def _textbook(register: int, data: bytes) -> int:
    """Return the register after `data`, by the textbook algorithm."""
    table = _table()
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register


@functools.cache
def _table() -> list[int]:
    """The remainder of each byte followed by 32 zero bits. Bits are mirrored, so P is 0x82F63B78."""
    table = []
    for remainder in range(256):
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
        table.append(remainder)
    return table
