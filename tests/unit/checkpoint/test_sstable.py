"""The table and the wire format of protobuf. test_tensor_bundle.py compares both with TensorFlow."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.checkpoint import protobuf, sstable
from bertkit.errors import FileFormatError

ENTRIES = st.dictionaries(st.binary(max_size=40), st.binary(max_size=300)).map(lambda table: sorted(table.items()))


def written(entries: list[sstable.Entry]) -> memoryview:
    file = io.BytesIO()
    sstable.write_table(file, entries)
    return memoryview(file.getvalue())


@given(ENTRIES)
def test_table_round_trip(entries: list[sstable.Entry]) -> None:
    assert list(sstable.read_table(written(entries), "a table")) == entries


def test_many_entries_make_several_blocks_that_share_prefixes() -> None:
    entries = [(f"bert/encoder/layer_{n:05}/attention/self/query/kernel".encode(), bytes(8)) for n in range(5000)]
    data = written(entries)
    assert len(list(sstable._entries(sstable._index_block(data, "a table"), "a table"))) == 5
    assert len(data) < sum(len(key) + len(value) for key, value in entries)
    assert list(sstable.read_table(data, "a table")) == entries


def test_the_largest_number_of_entries_and_one_more() -> None:
    entries = [(f"{n:05}".encode(), b"") for n in range(sstable._MAX_ENTRIES + 1)]
    assert len(list(sstable.read_table(written(entries[:-1]), "a table"))) == sstable._MAX_ENTRIES
    with pytest.raises(FileFormatError, match="a table has more than 16,384 entries"):
        list(sstable.read_table(written(entries), "a table"))


def test_every_changed_byte_of_a_table_is_noticed() -> None:
    """Each byte has a checksum or is in the footer, where the position of the meta block is not used."""
    entries = [(f"name {n}".encode(), bytes([n] * n)) for n in range(40)]
    good = bytes(written(entries))
    for place in range(len(good)):
        data = good[:place] + bytes([good[place] ^ 0x11]) + good[place + 1 :]
        if place < len(good) - 48 - 13 or place >= len(good) - 8:
            with pytest.raises(FileFormatError, match="a table"):
                list(sstable.read_table(memoryview(data), "a table"))
        else:
            assert outcome(data) in (entries, None)


def outcome(data: bytes) -> list[sstable.Entry] | None:
    try:
        return list(sstable.read_table(memoryview(data), "a table"))
    except FileFormatError:
        return None


@given(st.integers(0, 2**64 - 1))
def test_varint_round_trip(value: int) -> None:
    octets = protobuf.varint(value)
    assert protobuf.read_varint(memoryview(octets + b"\xff"), 0, "a number") == (value, len(octets))


@pytest.mark.parametrize("octets", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10 + b"\x01"])
def test_a_varint_that_does_not_end(octets: bytes) -> None:
    with pytest.raises(FileFormatError, match="a number ends within a number"):
        protobuf.read_varint(memoryview(octets), 0, "a number")


def test_message_keeps_every_value_of_a_field() -> None:
    octets = protobuf.field(2, b"a") + protobuf.field(1, 7) + protobuf.field(2, b"") + protobuf.fixed32(6, 1 << 31)
    message = protobuf.parse(memoryview(octets + b"\x49" + bytes(7) + b"\x01"), "a message")
    assert protobuf.nested(message, 2, "a message") == [b"a", b""]
    assert [protobuf.integer(message, number, "a message") for number in (1, 3, 6, 9)] == [7, 0, 1 << 31, 1 << 56]


def test_zero_is_omitted_and_empty_bytes_are_not() -> None:
    assert protobuf.field(1, 0) == protobuf.fixed32(1, 0) == b""
    assert protobuf.field(1, b"") == b"\x0a\x00"


@pytest.mark.parametrize("octets", [b"\x0b", b"\x0a\x05abc", b"\x0d\x01\x02", b"\x09" + bytes(7), b"\x08", b"\x0e\x00"])
def test_damaged_message(octets: bytes) -> None:
    with pytest.raises(FileFormatError, match="a message"):
        protobuf.parse(memoryview(octets), "a message")


def test_field_of_the_other_kind() -> None:
    message = protobuf.parse(memoryview(protobuf.field(1, b"text") + protobuf.field(2, 5)), "a message")
    with pytest.raises(FileFormatError, match="a message has bytes where a number belongs"):
        protobuf.integer(message, 1, "a message")
    with pytest.raises(FileFormatError, match="a message has a number where bytes belong"):
        protobuf.nested(message, 2, "a message")
