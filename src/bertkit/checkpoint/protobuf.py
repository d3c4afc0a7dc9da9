"""Protocol buffers on the wire: as much of them as TensorFlow's checkpoints need, without the protobuf package.

A message is a row of fields. A field is a varint `number << 3 | kind` and a value: a varint (kind 0), 8 bytes (1), a
varint length with that many bytes (2: text, or a message within), or 4 bytes (5). A varint holds 7 bits to a byte, the
low ones first, and the top bit of a byte says that another follows. Fields that are zero are left out.
"""

from __future__ import annotations

from bertkit.errors import FileFormatError

Message = dict[int, list[int | memoryview]]
"""A field's number -> its values in order."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def parse(data: memoryview, what: str) -> Message:
    """The fields of one message. `what` names it and its file in errors."""
    message: Message = {}
    at = 0
    while at < len(data):
        key, at = read_varint(data, at, what)
        value, at = _read_value(data, at, key & 7, what)
        message.setdefault(key >> 3, []).append(value)
    return message


def _read_value(data: memoryview, at: int, kind: int, what: str) -> tuple[int | memoryview, int]:
    """The value of `kind` at byte `at`, and the place behind it."""
    if kind == _VARINT:
        return read_varint(data, at, what)
    if kind not in (_FIXED64, _BYTES, _FIXED32):
        raise FileFormatError(
            f"{what} has a field of the unknown kind {kind}: it is damaged; download or copy it again."
        )
    if kind == _BYTES:
        size, at = read_varint(data, at, what)
    else:
        size = 8 if kind == _FIXED64 else 4
    if at + size > len(data):
        raise FileFormatError(f"{what} ends within a field: it is damaged; download or copy it again.")
    value = data[at : at + size]
    return (value if kind == _BYTES else int.from_bytes(value, "little")), at + size


def read_varint(data: memoryview, at: int, what: str) -> tuple[int, int]:
    """The varint at byte `at`, cut to 64 bits, and the place behind it.

    >>> read_varint(memoryview(bytes([0xAC, 0x02])), 0, "an example")
    (300, 2)
    """
    if at < len(data) and data[at] < 0x80:  # nearly all are of one byte
        return data[at], at + 1
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + shift + 1
    raise FileFormatError(f"{what} ends within a number: it is damaged; download or copy it again.")


def integer(message: Message, number: int, what: str) -> int:
    """The field as an integer that is not signed: 0 where it is left out, the last one where it is repeated."""
    value = message.get(number, [0])[-1]
    if not isinstance(value, int):
        raise FileFormatError(f"{what} has bytes where a number belongs (field {number}): it is damaged.")
    return value


def nested(message: Message, number: int, what: str) -> list[memoryview]:
    """The field's values as bytes, which are messages themselves."""
    values = [value for value in message.get(number, []) if isinstance(value, memoryview)]
    if len(values) < len(message.get(number, [])):
        raise FileFormatError(f"{what} has a number where bytes belong (field {number}): it is damaged.")
    return values


def varint(value: int) -> bytes:
    """`value`, not negative, in 7 bits to a byte.

    >>> varint(300).hex()
    'ac02'
    """
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def field(number: int, value: int | bytes) -> bytes:
    """A field with a number, or with bytes such as a message within. A zero is left out; empty bytes are not."""
    if isinstance(value, bytes):
        return varint(number << 3 | _BYTES) + varint(len(value)) + value
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def fixed32(number: int, value: int) -> bytes:
    """A field with a number in four bytes."""
    return varint(number << 3 | _FIXED32) + value.to_bytes(4, "little") if value else b""
