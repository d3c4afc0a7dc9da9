"""CRC-32C compared with the vectors of RFC 3720 and with division bit by bit, and the multiple with four terms."""

from __future__ import annotations

import numpy as np
import pytest

from bertkit.checkpoint.crc32c import crc32c, masked_crc32c

POLYNOMIAL = 0x1EDC6F41  # without its x^32


def by_division(data: bytes) -> int:
    """The definition, one bit at a time, independent of the module."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def power_of_x(exponent: int) -> int:
    """x^exponent modulo the polynomial, by squaring."""
    result, base = 1, 2
    while exponent:
        if exponent & 1:
            result = product(result, base)
        base = product(base, base)
        exponent >>= 1
    return result


def product(a: int, b: int) -> int:
    """The product modulo the polynomial, over GF(2)."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = a << 1 ^ ((1 << 32 | POLYNOMIAL) if a >> 31 else 0)
        b >>= 1
    return result


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"a", 0xC1D04330),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_known_vectors(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


@pytest.mark.parametrize("scale", [1, 2, 4, 8, 16])
def test_four_terms_are_a_multiple_of_the_polynomial(scale: int) -> None:
    terms = [power_of_x(8 * scale * place) for place in (5685, 1362, 426, 0)]
    assert terms[0] ^ terms[1] ^ terms[2] ^ terms[3] == 0


@pytest.mark.parametrize("size", [1, 3, 4, 5, 4323, 5684, 5685, 5686, 5689, 10008, 90_963, 90_965, 160_131])
def test_every_length_is_as_by_division(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    assert crc32c(data) == crc32c(data.tobytes()) == crc32c(memoryview(data.tobytes())) == by_division(data.tobytes())


@pytest.mark.parametrize("size", [(1 << 20) + 3, (1 << 20) + 4, (1 << 20) + 5, (2 << 20) + 91_000])
def test_longer_than_one_window(size: int) -> None:
    """The CRC of zeros after a first byte is a power of x, so the slow definition is not needed."""
    once = np.zeros(size, np.uint8)
    other = once.copy()
    other[0] = 0x80  # mirrored: the polynomial 1, before `size - 1` bytes and the 32 bits of the CRC
    mirrored = f"{power_of_x(8 * (size - 1) + 32):032b}"[::-1]
    assert crc32c(once) ^ crc32c(other) == int(mirrored, 2)


def test_one_flipped_bit_changes_the_crc() -> None:
    data = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8)
    expected = crc32c(data)
    for place in range(0, len(data), 9_973):
        data[place] ^= 1
        assert crc32c(data) != expected
        data[place] ^= 1
    assert crc32c(data) == expected


def test_mask_is_a_rotation_and_a_constant() -> None:
    crc = crc32c(b"foo")
    rotated = (masked_crc32c(b"foo") - 0xA282EAD8) % (1 << 32)
    assert (rotated >> 17 | rotated << 15) % (1 << 32) == crc
    assert masked_crc32c(b"") == 0xA282EAD8
