"""Records from files of every format, and errors for invalid records."""

from __future__ import annotations

import gzip
import json
import lzma
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bertkit.data.records import Format, count_records, format_of, read_records
from bertkit.data.texts import read_texts
from bertkit.errors import DataError

ROWS = [{"text": "a, b", "n": "1"}, {"text": 'c "d"', "n": "2"}, {"text": "é", "n": "3"}]
FILES: dict[str, bytes] = {
    "rows.jsonl": "\n".join(json.dumps(row) for row in ROWS).encode() + b"\n\n",
    "rows.json": json.dumps(ROWS).encode(),
    "rows.csv": 'text,n\n"a, b",1\n"c ""d""",2\né,3\n'.encode(),
    "rows.tsv": 'text\tn\na, b\t1\nc "d"\t2\né\t3\n'.encode(),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_the_same_rows_from_every_format(name: str, suffix: str, tmp_path: Path) -> None:
    compress = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
    path = tmp_path / (name + suffix)
    path.write_bytes(compress(FILES[name]))
    assert list(read_records(str(path))) == ROWS
    assert count_records(str(path)) in (None, 3, 4)


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    assert list(read_records(str(path))) == ROWS
    assert count_records(str(path)) == 3
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(read_records(str(path)))


def test_empty_lines_of_text_are_records(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("a\n\nb\tc\n")
    assert list(read_records(str(path))) == ["a", "", "b\tc"]
    assert count_records(str(path)) == 3


def test_cells_with_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text\n"two\nlines"\n')
    assert list(read_records(str(path))) == [{"text": "two\nlines"}]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", '"x"\n{"a"\n["y", "z"]\n', ["x", "Line 2 of", ["y", "z"]]),
        ("a.csv", "a,b\n1,2\n3\n4,5\n", [{"a": "1", "b": "2"}, "Line 3 of", {"a": "4", "b": "5"}]),
    ],
)
def test_an_invalid_record_is_an_error_in_the_stream(name: str, text: str, expected: list[Any], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = list(read_records(str(path)))
    assert isinstance(found[1], DataError) and str(found[1]).startswith(expected[1])
    assert [found[0], found[2]] == [expected[0], expected[2]]


WRONG = {"not UTF-8": b"caf\xe9", "zero byte": b"x\0y", "longer than 16 MB": b"x" * (16 * 2**20 + 9)}


@pytest.mark.parametrize(
    ("name", "first", "sentence"),
    [
        *product(["a.txt", "a.jsonl"], [b""], WRONG),
        *product(["a.csv", "a.tsv"], [b"text\n"], ["not UTF-8", "zero byte"]),
    ],
)
def test_an_invalid_line_is_an_error_in_the_stream(name: str, first: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(first + b"12\n" * 20 + WRONG[sentence] + b"\n13\n")
    found = list(read_records(str(path)))
    assert len(found) == 22 and count_records(str(path)) == 22
    assert isinstance(found[20], DataError) and sentence in str(found[20])
    assert str(found[20]).startswith(f"Line {21 + len(first) // 5} of")
    assert "13" in str(found[21]) and not [one for one in found[:20] if isinstance(one, DataError)]


def test_quotes_in_an_invalid_line_count(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'text,n\n"a\ncaf\xe9"," ""\nb",\n\nc,1\n\xff,1\n')
    found = list(read_records(str(path)))
    assert [isinstance(one, DataError) for one in found] == [True, False, True]
    assert found[1] == {"text": "c", "n": "1"} and "Line 3 of" in str(found[0])
    path.write_bytes(b"text\xe9\nc\n")
    with pytest.raises(DataError, match="Line 1 of .* is not UTF-8"):
        list(read_records(str(path)))


def test_a_file_that_is_not_text_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for start in (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "text\nmore\n".encode("utf-16"), "中文中文".encode("utf-16")):
        path.write_bytes(start)
        with pytest.raises(DataError, match="zero byte|UTF-16"):
            list(read_records(str(path)))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", '{"a": 1}\n{"a": 2}', 'For one object in each line, type format="jsonl"'),
        ("a.csv", "a,a\n1,2\n", "two columns with the same name"),
        ("a.csv", 'a\n"' + "x" * (17 * 2**20), "longer than 16 MB"),
        ("a.parquet", "text", "cannot be read as Parquet"),
    ],
)
def test_an_invalid_file_raises(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        list(read_records(str(path)))


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [("a.csv.gz", "infer", "csv"), ("a.txt", "infer", "pipe"), ("-", "infer", "pipe"), ("a.csv", "pipe", "pipe")],
)
def test_formats(name: str, given: Format, expected: str) -> None:
    assert format_of(name, given) == expected


@pytest.mark.parametrize(
    ("text", "records", "lines"),
    [
        ('t,n\na,1\n"b,2\nc,3\nd,4\n', ["a", None, "c", "d"], [3]),
        ('t,n\na,1\n"b,2\nc,3\n"d",4\ne,5\n', ["a", None, "c", "d", "e"], [3]),
        ('t,n\n"b,2\n"c,3\nd,4\n"e,5\n', [None, None, "d", None], [2, 3, 5]),
        ('t,n\n"a\n""b""",1\n5" pipe,2\n', ['a\n"b"', '5" pipe'], []),
        ("t,n\n" + '"a,1\n' * 300, [None] * 300, range(2, 302)),
    ],
)
def test_an_unclosed_quote_loses_one_row(text: str, records: list[Any], lines: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    found = list(read_records(str(path)))
    assert [None if isinstance(one, DataError) else one["t"] for one in found] == records
    errors = [str(one) for one in found if isinstance(one, DataError)]
    assert errors == [f"Line {line} of {path} has a quote that is not closed." for line in lines]


def test_a_quote_that_is_too_long_loses_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('t\n"' + ("x" * 999 + "\n") * 20_000 + "end\n")
    found = list(read_records(str(path)))
    assert len(found) == 20_001 and isinstance(found[0], DataError) and found[-1] == {"t": "end"}


def test_invalid_utf8_in_parquet_loses_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ends = np.array([0, 1, 2, 3], np.int32).tobytes()
    texts = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(ends), pa.py_buffer(b"a\xffb")])
    pa.parquet.write_table(pa.table({"text": texts}), path)
    first, second, third = read_records(str(path))
    assert (first, third) == ({"text": "a"}, {"text": "b"})
    assert str(second).startswith(f"Row 2 of {path} has a text that is not UTF-8")
    with pytest.raises(DataError, match="Row 2 of .* has a text that is not UTF-8"):
        list(read_texts([path]))
