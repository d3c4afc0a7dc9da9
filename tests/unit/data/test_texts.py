"""Texts are read unchanged from every kind of file, and an invalid file raises an error with its name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from bertkit.data import texts as of_texts
from bertkit.data.lines import read_lines
from bertkit.data.texts import read_texts
from bertkit.errors import DataError, MissingExtraError, UsageError

TEXTS = ["A first text.", "한국어 문장", "", "   ", "emoji 👩‍👧 and\u2028a line separator", "last\x0bone"]
READ = [text for text in TEXTS if text.strip()]


def plain(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def json_lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize(("suffix", "encode"), [(".txt", plain), ("", plain), (".jsonl", json_lines)])
def test_formats(
    tmp_path: Path, suffix: str, encode: Callable[[list[str]], bytes], compress: Callable[[bytes], bytes]
) -> None:
    name = f"corpus{suffix}" + {gzip.compress: ".gz", lzma.compress: ".xz"}.get(compress, "")
    path = tmp_path / name
    path.write_bytes(compress(encode(TEXTS)))
    assert [text for text in read_texts([path]) if text.strip()] == READ


def test_compression_is_detected_by_the_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(gzip.compress(plain(TEXTS)))
    assert list(read_texts([path])) == READ


def test_concatenated_gzip_files(tmp_path: Path) -> None:
    """The result of `cat a.gz b.gz`."""
    path = tmp_path / "corpus.gz"
    path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert list(read_texts([path])) == ["a", "b"]


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"\xef\xbb\xbffirst\r\nsecond\r\n\r\nthird")
    assert list(read_texts([path])) == ["first", "second", "third"]
    assert list(read_lines(str(path))) == ["first", "second", "", "third"]


def test_one_corpus_in_several_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.jsonl", tmp_path / "c.txt.xz"]
    for path, data in zip(paths, [b"a\nb", json_lines(["c"]), lzma.compress(b"d")], strict=True):
        path.write_bytes(data)
    assert list(read_texts(paths)) == ["a", "b", "c", "d"]


def test_another_field_and_nulls(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"body": "a"}\n\n{"body": null}\n{"body": "b"}\n', encoding="utf-8")
    assert list(read_texts([path], field="body")) == ["a", "b"]


def test_standard_input(tmp_path: Path) -> None:
    script = "from bertkit.data import read_texts; print(list(read_texts(['-'])))"
    for data in (plain(TEXTS), gzip.compress(plain(TEXTS))):
        run = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
        assert run.stdout.decode().strip() == str(READ)


def test_errors_name_standard_input() -> None:
    script = "from bertkit.data import read_texts; list(read_texts(['-']))"
    run = subprocess.run([sys.executable, "-c", script], input=b"\xff", capture_output=True, check=False)
    assert b"DataError: Line 1 of standard input is not UTF-8" in run.stderr


def test_every_byte_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000).hex().encode()))
    counts: list[int] = []
    list(read_lines(str(path), counts.append))
    assert sum(counts) == path.stat().st_size


def test_progress_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"line\n" * 1000)
    list(read_texts([path]))
    assert capsys.readouterr().err == ""
    list(read_texts([path], progress=True))
    assert "100%" in capsys.readouterr().err


def test_memory_is_bounded_by_a_line(tmp_path: Path) -> None:
    """A line of 40 MB of zeros in 200 KB of gzip, and 1 MB of short lines."""
    bomb, long = tmp_path / "bomb.gz", tmp_path / "long.txt.gz"
    bomb.write_bytes(gzip.compress(bytes(40 * 2**20), 1))
    long.write_bytes(gzip.compress(b"a line of text\n" * 2**16, 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="longer than 16 MB"):
        list(read_texts([bomb]))
    assert tracemalloc.get_traced_memory()[1] < 70 * 2**20
    tracemalloc.reset_peak()
    assert sum(1 for _ in read_texts([long])) == 2**16
    assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    tracemalloc.stop()


def _write(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def _folder(folder: Path) -> Path:
    (folder / "corpus.txt").mkdir()
    return folder / "corpus.txt"


DAMAGED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no such file": (lambda folder: folder / "none.txt", "There is no file"),
    "a folder": (_folder, "is a folder"),
    "a table": (_write("a.tsv", b"a\tb\n"), "is a table, and the column"),
    "Latin-1": (_write("a.txt", b"fine\ncaf\xe9\n"), "Line 2 of .* is not UTF-8: its byte 4 is 0xe9"),
    "a compressed table": (_write("a.csv.gz", gzip.compress(b"a,b")), "is a table, and the column.* cut -d, -f2"),
    "UTF-16": (_write("a.txt", "text".encode("utf-16")), "UTF-16"),
    "UTF-16, big-endian": (_write("a.txt", b"\xfe\xff\0t"), "UTF-16"),
    "binary": (_write("a.txt", b"\x7fELF\0\0\0"), "zero byte"),
    "a surrogate in UTF-8": (_write("a.txt", b"\xed\xa0\x80\n"), "not UTF-8"),
    "bzip2": (_write("a.txt.bz2", bz2.compress(b"text")), "not text, gzip or xz"),
    "truncated gzip": (_write("a.gz", gzip.compress(os.urandom(999).hex().encode())[:-99]), "damaged or incomplete"),
    "damaged gzip": (_write("a.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 99), "cannot be decompressed"),
    "wrong checksum": (_write("a.gz", gzip.compress(b"text\n")[:-8] + bytes(8)), "cannot be decompressed"),
    "truncated xz": (_write("a.xz", lzma.compress(os.urandom(999).hex().encode())[:-99]), "damaged or incomplete"),
    "damaged xz": (_write("a.xz", lzma.compress(b"text")[:8] + b"\xff" * 99), "cannot be decompressed"),
    "not JSON": (_write("a.jsonl", b'{"text": "a"}\nplain\n'), "Line 2 of .* is not JSON"),
    "a JSON list": (_write("a.json", b'["a", "b"]'), "list, not an object"),
    "JSON over several lines": (_write("a.json", b'{\n "text": "a"\n}'), "Line 1 of .* not JSON"),
    "no such field": (_write("a.jsonl", b'{"txt": "a"}'), "Did you mean 'txt'"),
    "no fields": (_write("a.jsonl", b"{}"), "It has no fields"),
    "a number for a text": (_write("a.jsonl", b'{"text": 3}'), "int in its field"),
    "half a surrogate pair": (_write("a.jsonl", b'{"text": "\\ud83d"}'), "half of a surrogate pair"),
    "deep JSON": (_write("a.jsonl", b"[" * 100_000), "not JSON"),
    "a huge number": (_write("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}"), "Line 1"),
    "a line too long": (_write("a.txt", b"short\n" + b"x" * (16 * 2**20 + 1)), "Line 2 of .* longer than 16 MB"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name: str, tmp_path: Path) -> None:
    write, sentence = DAMAGED[name]
    path = write(tmp_path)
    with pytest.raises((DataError, UsageError), match=sentence) as error:
        list(read_texts([path]))
    assert str(path) in str(error.value)


def test_a_missing_file_is_found_before_the_first_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    with pytest.raises(DataError, match="There is no file"):
        read_texts([tmp_path / "a.txt", tmp_path / "b.txt"])


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match=r"pip install pyarrow$"):
        list(read_texts([path]))


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    texts = [f"text {number}" for number in range(1000)]
    column = arrow.array([*texts, None, ""])
    table = arrow.table({"text": column, "kind": column.dictionary_encode(), "n": range(len(texts) + 2)})
    parquet.write_table(table, path, row_group_size=300)
    assert list(read_texts([path])) == list(read_texts([path], field="kind")) == texts
    counts: list[int] = []
    assert list(of_texts.texts_of(str(path), "text", counts.append)) == texts
    assert sum(counts) == path.stat().st_size
    with pytest.raises(DataError, match="Did you mean 'text'"):
        list(read_texts([path], field="txt"))
    with pytest.raises(DataError, match="has the type int64"):
        list(read_texts([path], field="n"))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"text\n"])
def test_damaged_parquet(tmp_path: Path, data: bytes) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(read_texts([path]))


def test_closing_the_generator_closes_the_file(tmp_path: Path) -> None:
    """An open file would cause a ResourceWarning, which is an error in these tests."""
    path = tmp_path / "a.xz"
    path.write_bytes(lzma.compress(plain(TEXTS)))
    texts = read_texts([path])
    assert next(texts) == READ[0]
    texts.close()
    assert io.FileIO(path).close() is None


def test_one_path_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("a\nb\n")
    assert list(read_texts(path)) == list(read_texts(str(path))) == ["a", "b"]


def test_a_field_of_plain_text_has_no_effect(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "b.jsonl").write_text('{"body": "b"}\n')
    with pytest.raises(UsageError, match="field='body' has no effect on plain text"):
        read_texts([tmp_path / "a.txt"], field="body")
    assert list(read_texts([tmp_path / "a.txt", tmp_path / "b.jsonl"], field="body")) == ["a", "b"]
