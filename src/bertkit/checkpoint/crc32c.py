"""CRC-32C, the checksum of TensorFlow's files, with nothing but NumPy and at gigabytes a second.

The bits of a message are the coefficients of a polynomial over GF(2), where adding is XOR. Its CRC is the remainder of
a division by P = 0x1EDC6F41, a polynomial of degree 32, and stays the same when any multiple of P is added to the
message. The textbook clears the front byte by adding a multiple of P from a table of 256; a loop over all bytes, slow
in Python. We add a multiple that has only four terms, found by search:

    x^(8 * 5685) + x^(8 * 1362) + x^(8 * 426) + 1

So a byte may leave the front if it is XORed onto the bytes 4323, 5259 and 5685 places behind it (5685 - 1362, 5685 -
426, 5685 - 0). The first 4323 bytes leave together, as three XORs of arrays, since none lands on another of them. This
goes on until 5685 bytes are left for the textbook. Longer steps come for free: over GF(2), (a + b)^2 = a^2 + b^2, so
the square of a multiple of four terms is one again, with all distances doubled.

In small, with bits in place of bytes and P = x^3 + x + 1, which says that a bit may leave the front if it is XORed onto
the bits 2 and 3 places behind it; the first two leave together:

    1 0 0 0 0 0 0    the message, x^6
    . . 1 1 0 0 0    bits 0 and 1 have left: x^4 + x^3
    . . . . 1 0 1    bits 2 and 3 have left: x^2 + 1, the remainder of x^6

Multiples of few terms are the idea of "Chorba: A novel CRC32 implementation" (Russell 2024, arXiv:2412.16398).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Octets = NDArray[np.uint8]

_DISTANCES = (4323, 5259, 5685)
_SQUARED = 16  # four squarings: steps of 69 kB
_WINDOW = 1 << 20  # bytes that are copied and folded at a time: they stay in the processor's cache


def crc32c(data: bytes | memoryview | Octets) -> int:
    """The CRC-32C (Castagnoli) of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(data) <= _DISTANCES[-1]:
        return _textbook(0xFFFFFFFF, bytes(data)) ^ 0xFFFFFFFF
    octets = np.frombuffer(data, np.uint8)
    rest = ~octets[:4]  # as if the register had begun at 0xFFFFFFFF
    for start in range(4, len(octets), _WINDOW):
        rest = _fold(np.concatenate([rest, octets[start : start + _WINDOW]]), _SQUARED)
    return _textbook(0, _fold(rest, 1).tobytes()) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview | Octets) -> int:
    """The CRC-32C as TensorFlow stores it: turned by 15 bits and shifted by a constant.

    So that a checksum of bytes that hold checksums is not an easy one.
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _fold(message: Octets, scale: int) -> Octets:
    """The last bytes of `message`, after all before them were added to them: same remainder. Overwrites `message`."""
    step, _, reach = distances = [distance * scale for distance in _DISTANCES]
    stop = max(len(message) - reach, 0)
    for start in range(0, stop, step):
        end = min(start + step, stop)
        for distance in distances:
            message[start + distance : end + distance] ^= message[start:end]
    return message[stop:]


def _textbook(register: int, data: bytes) -> int:
    """The register after `data`, byte by byte."""
    table = _table()
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register


@functools.cache
def _table() -> list[int]:
    """The remainder of each byte followed by 32 zero bits; bits are mirrored, so P is 0x82F63B78."""
    table = []
    for remainder in range(256):
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
        table.append(remainder)
    return table
