"""The delimiters of tables, and `--keep`: every format, failures, interruptions."""

from __future__ import annotations

import csv
import datetime as dt
import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pipeline_cases
import pipeline_models
import pyarrow as pa
import pyarrow.parquet
import pytest

from bertkit.cli import main
from bertkit.data.records import read_records

TEXTS = pipeline_cases.SENTENCES[:12]
NER = ["ner", "--strategy", "none"]


def run(words: list[str], model: str, source: Path, *further: str) -> int:
    return main([*words, "--model", str(pipeline_models.folder(model)), "--input", str(source), *further])


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    rows = [{"id": f"n{n}", "score": n, "text": text, "more": [n]} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_of_a_csv(delimiter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(tmp_path / "a.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["id", "a,b", "text"], *([n, "x;y", text + ", and; so"] for n, text in enumerate(TEXTS))])
    (tmp_path / "a.txt").write_text("".join(f"{text}, and; so\n" for text in TEXTS))
    assert run(NER, "names", tmp_path / "a.csv") == 0
    found = capsys.readouterr()
    said = {",": "", ";": "semicolons", "\t": "tabs"}[delimiter]
    assert found.err == (f"bertkit: {tmp_path / 'a.csv'} has {said} between its columns.\n" if said else "")
    assert run(NER, "names", tmp_path / "a.txt") == 0
    assert found.out == capsys.readouterr().out


def test_json_lines_keep_columns(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(NER, "names", table) == 0
    plain = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [{"id": f"n{n}", "more": [n], "result": found} for n, found in enumerate(plain)]
    assert run(NER, "names", table, "--keep", "id,more") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == expected
    for name in ("out.jsonl", "out.json"):
        assert run(NER, "names", table, "--keep", "id, more", "--output", str(tmp_path / name)) == 0
    assert lines(tmp_path / "out.jsonl") == json.loads((tmp_path / "out.json").read_text()) == expected
    assert run(NER, "names", table, "--keep", "id", "--details") == 0
    assert list(json.loads(capsys.readouterr().out.splitlines()[0])) == [
        "id",
        "result",
        "truncated",
        "windows",
        "n_tokens",
    ]


def test_tables_keep_columns(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row of a table has the kept columns. One with the name of a result's column is renamed."""
    assert run(NER, "names", table) == 0
    plain = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [
        (row, f"n{row - 1}", row - 1, one["score"]) for row, found in enumerate(plain, start=1) for one in found
    ]
    for name in ("out.csv", "out.tsv", "out.parquet"):
        assert run(NER, "names", table, "--keep", "id,score", "--output", str(tmp_path / name)) == 0
    columns = ["row", "id", "input_score", "score"]
    rows = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [tuple(row[name] for name in columns) for row in rows if row["entity"]] == expected
    for name, delimiter in (("out.csv", ","), ("out.tsv", "\t")):
        with open(tmp_path / name, newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter=delimiter) if row["entity"]]
        found = [(int(row["row"]), row["id"], int(row["input_score"]), float(row["score"])) for row in rows]
        assert found == expected


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet"])
def test_values_that_a_format_cannot_have_as_they_are(name: str, tmp_path: Path) -> None:
    """Quotes and line ends of any kind, integers of more than 64 bits, integers beside fractions."""
    texts = ['He said "hi", and left.', "a\r\nb\nd\te", "a\rb", ""]
    columns: dict[str, list[Any]] = {
        "note": texts,
        "n": [1, 2**64, -1, None],
        "part": [2**60 + 1, 0.5, None, 1],
        "list": [[2**60 + 1, 0.5], [], [1], None],
        "mixed": [[True, 1.5], [False, 0.5], [2**70], ['a "b"']],
    }
    rows = [{"text": "Anna sings.", **{key: some[n] for key, some in columns.items()}} for n in range(4)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / name
    assert run(["classify"], "five", tmp_path / "in.jsonl", "--keep", ",".join(columns), "--output", str(out)) == 0
    if name == "out.parquet":
        found = pyarrow.parquet.read_table(out).to_pydict()
        assert found["note"] == texts and found["n"] == ["1", str(2**64), "-1", None]
        assert found["part"] == [float(2**60), 0.5, None, 1.0]
        assert found["list"] == [[float(2**60), 0.5], [], [1.0], None]
        assert found["mixed"] == [json.dumps(one) for one in columns["mixed"]]
        return
    written = list(read_records(str(out)))
    if name == "out.csv":  # read_records has one kind of line end
        with open(out, newline="") as file:
            written = list(csv.DictReader(file))
    else:
        texts = [" ".join(text.split()) for text in texts]
    assert [row["note"] for row in written] == texts
    for key in ("n", "part", "list", "mixed"):
        assert [json.loads(row[key] or "null") for row in written] == columns[key]


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet"])
def test_kept_columns_with_names_of_results(name: str, tmp_path: Path) -> None:
    """A column is renamed only if results have its name, and never to that of another column. Twice the same name is once."""
    row = {"text": "Anna sings.", "label": "A", "input_label": "B", "input_score": "C"}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    out, keep = tmp_path / name, "label,input_label,label,input_score"
    assert run(["classify"], "five", tmp_path / "in.jsonl", "--keep", keep, "--output", str(out)) == 0
    (found,) = read_records(str(out))
    assert list(found) == ["row", "input_input_label", "input_label", "input_score", "label", "score"]
    assert [found[key] for key in list(found)[1:4]] == ["A", "B", "C"] and found["label"] not in ("A", "B")


def test_a_kept_name_that_is_not_utf8(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(NER, "names", table, "--keep", "id,te\udc00xt") == 2
    assert r"--keep 'te\udc00xt' is not UTF-8: type the name of a column" in capsys.readouterr().err


def test_damaged_lines_with_kept_columns(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "out.csv.part"
    words = ["--keep", "id", "--output", str(tmp_path / "out.csv")]
    with monkeypatch.context() as patch:
        patch.setattr("bertkit.pipelines.bulk.partial.Partial.finish", lambda self: None)
        assert run(NER, "names", table, *words) == 0
    content = part.read_bytes().splitlines(keepends=True)
    for line in (b"5\n", b'{"result": []}\n', b"no JSON\n"):
        lines, mark = [content[2], line, *content[4:-1]], content[-1].split()
        mark[2] = blake2b(b"".join(lines), digest_size=16).hexdigest().encode()  # the digest fits
        part.write_bytes(b"".join([*content[:2], *lines, b" ".join(mark) + b"\n"]))
        assert run(NER, "names", table, *words, "--resume") == 2
        assert "The results are damaged in row 2: type --resume to answer it again" in capsys.readouterr().err


def test_dates_and_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = dt.date(2026, 5, 1)
    rows = [{"day": day, "text": "The [MASK]."}, {"day": None, "text": "none"}, {"day": day, "text": "A [MASK]."}]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    fill = ["fill-mask", "--top-k", "1"]
    assert run(fill, "masked", tmp_path / "a.parquet", "--keep", "day", "--output", str(tmp_path / "b.jsonl")) == 1
    first, second, third = lines(tmp_path / "b.jsonl")
    assert (first["day"], second["day"], third["day"]) == ("2026-05-01", None, "2026-05-01")
    assert list(second) == ["error", "day"] and first["result"][0]["token_str"]
    assert run(fill, "masked", tmp_path / "a.parquet", "--keep", "day", "--output", str(tmp_path / "b.csv")) == 1
    with open(tmp_path / "b.csv", newline="") as file:
        assert [(row["day"], bool(row["error"])) for row in csv.DictReader(file)] == [
            ("2026-05-01", False),
            ("", True),
            ("2026-05-01", False),
        ]
    assert "2 rows" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_an_interrupted_run_is_resumed(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its output is that of a run without interruption."""
    table = tmp_path / "in.jsonl"
    table.write_text("".join(json.dumps({"id": n, "text": TEXTS[n % 12]}) + "\n" for n in range(1100)))
    whole, other = tmp_path / f"whole{suffix}", tmp_path / f"other{suffix}"
    assert run(NER, "names", table, "--keep", "id", "--output", str(whole)) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "bertkit.pipelines.bulk.partial.Partial.finish", lambda partial: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert run(NER, "names", table, "--keep", "id", "--output", str(other)) == 130
    part = Path(f"{other}.part")
    begun = part.read_bytes().splitlines(keepends=True)
    first_chunk = next(number for number, line in enumerate(begun) if line.startswith(b"# 512 "))
    part.write_bytes(b"".join(begun[: first_chunk + 3]))  # a chunk, and two results of the next one
    assert run(NER, "names", table, "--keep", "id,text", "--output", str(other), "--resume") == 2
    assert 'keep was "id" and is now "id,text"' in capsys.readouterr().err
    before = table.read_text()
    table.write_text(before.replace('"id": 7,', '"id": 9,'))
    assert run(NER, "names", table, "--keep", "id", "--output", str(other), "--resume") == 2
    assert "rows changed since" in capsys.readouterr().err
    table.write_text(before)
    assert run(NER, "names", table, "--keep", "id", "--output", str(other), "--resume") == 0
    assert other.read_bytes() == whole.read_bytes()
    assert "1,100 rows written to" in capsys.readouterr().err


def test_invalid_columns_to_keep(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "a.csv").write_text("id,text\n1,a\n")
    cases = [
        (table, "ids", "--keep ids: unknown column. The columns are id, score, text, more. Did you mean 'id'?"),
        (tmp_path / "a.csv", "ids", "--keep ids: unknown column. The columns are id, text."),
        (tmp_path / "a.txt", "id", "--keep needs columns, but the input is lines of text"),
        (table, " ,", "names no column: type for example --keep id,text"),
        (table, "result", "results have their own result"),
    ]
    for source, keep, said in cases:
        assert run(NER, "names", source, "--keep", keep) == 2
        found = capsys.readouterr()
        assert said in found.err and not found.out
    assert main([*NER, "a", "--keep", "id", "--model", str(pipeline_models.folder("names"))]) == 2
    assert "the texts are on the command line" in capsys.readouterr().err
