"""The wire format of protocol buffers, as far as TensorFlow's checkpoints and ONNX use it, without the protobuf package.

A message is a sequence of fields. A field is a varint `number << 3 | kind` and a value: a varint (kind 0), 8 bytes (1),
a varint length and that many bytes (2: text or a nested message), or 4 bytes (5). A varint has 7 bits in each byte, the
low ones first. The top bit of a byte is set if another byte follows. Fields that are zero are omitted.
"""

from __future__ import annotations

from bertkit.errors import FileFormatError, UnsafeFileError

Message = dict[int, list[int | memoryview]]
"""{number of a field: its values in order}."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def parse(data: memoryview, what: str, most: int | None = None) -> Message:
    """Return the fields of one message, at most `most`. `what` names the message and its file in errors."""
    message: Message = {}
    at = count = 0
    while at < len(data):
        count += 1
        if most is not None and count > most:
            raise UnsafeFileError(f"{what} has a message of more than {most:,} fields: it is damaged or hostile.")
        key, at = read_varint(data, at, what)
        if not 8 <= key < 2**32:  # readers differ in what they make of such a key
            raise UnsafeFileError(f"{what} has a field with the invalid number {key >> 3}: it is damaged or hostile.")
        value, at = _read_value(data, at, key & 7, what)
        message.setdefault(key >> 3, []).append(value)
    return message


def _read_value(data: memoryview, at: int, kind: int, what: str) -> tuple[int | memoryview, int]:
    """Return the value of `kind` at byte `at`, and the position after it."""
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
    """Return the varint at byte `at`, truncated to 64 bits, and the position after it.

    >>> read_varint(memoryview(bytes([0xAC, 0x02])), 0, "an example")
    (300, 2)
    """
    if at < len(data) and data[at] < 0x80:  # nearly all have one byte
        return data[at], at + 1
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + shift + 1
    raise FileFormatError(f"{what} ends within a number: it is damaged; download or copy it again.")


def integer(message: Message, number: int, what: str) -> int:
    """Return a field as an unsigned integer: 0 if it is omitted, the last value if it is repeated."""
    value = message.get(number, [0])[-1]
    if not isinstance(value, int):
        raise FileFormatError(f"{what} has bytes where a number belongs (field {number}): it is damaged.")
    return value


def nested(message: Message, number: int, what: str) -> list[memoryview]:
    """Return the values of a field as bytes, which are nested messages."""
    values = [value for value in message.get(number, []) if isinstance(value, memoryview)]
    if len(values) < len(message.get(number, [])):
        raise FileFormatError(f"{what} has a number where bytes belong (field {number}): it is damaged.")
    return values


def varint(value: int) -> bytes:
    """Encode a nonnegative integer, with 7 bits in each byte.

    >>> varint(300).hex()
    'ac02'
    """
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def field(number: int, value: int | bytes) -> bytes:
    """Encode a field with an integer, or with bytes such as a nested message. Zero is omitted, empty bytes are not."""
    if isinstance(value, bytes):
        return varint(number << 3 | _BYTES) + varint(len(value)) + value
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def fixed32(number: int, value: int) -> bytes:
    """Encode a field with an integer in four bytes. Zero is omitted."""
    return varint(number << 3 | _FIXED32) + value.to_bytes(4, "little") if value else b""
