"""Vectors in files: every format and type, failed rows, interruptions."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pipeline_cases
import pipeline_models
import pyarrow.parquet
import pytest

from bertkit import export, pipeline, quantize_embeddings
from bertkit.cli import main
from bertkit.tasks.embedding import write_mean
from bertkit.tasks.embedding.quantization import Precision

TYPES = get_args(Precision)
TEXTS = pipeline_cases.SENTENCES


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    rows = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = str(pipeline_models.folder("plain"))
    return ["embed", "--engine", "numpy", "--model", model, "--input", str(tmp_path / "in.jsonl")]


@pytest.fixture
def expected(words: list[str], tmp_path: Path) -> Any:
    """The vectors as float32."""
    assert main([*words, "--output", str(tmp_path / "expected.jsonl")]) == 0
    return np.array(read(tmp_path / "expected.jsonl"), np.float32)


def read(path: Path) -> Any:
    """The vectors in a file."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path)["result"].to_pylist()
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix in (".csv", ".tsv"):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file, delimiter="," if path.suffix == ".csv" else "\t"))
        return [json.loads(row["result"]) for row in rows]
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("name", ["v.npy", "v.parquet", "v.jsonl", "v.json", "v.csv"])
def test_every_format_and_type(precision: Any, name: str, words: list[str], expected: Any, tmp_path: Path) -> None:
    assert main([*words, "--output", str(tmp_path / name), "--output-dtype", precision]) == 0
    found = read(tmp_path / name)
    wanted = quantize_embeddings(expected, precision)
    assert isinstance(wanted, np.ndarray)
    np.testing.assert_array_equal(np.array(found, wanted.dtype), wanted)
    if name == "v.npy":
        assert found.dtype == wanted.dtype
    if name == "v.parquet":
        kind = pyarrow.parquet.read_schema(tmp_path / name).field("result").type.value_type
        assert kind.to_pandas_dtype() == wanted.dtype
    assert not list(tmp_path.glob("*.part"))


def test_json_lines_are_those_of_standard_output(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Except for rounding, as the first batches of standard output are smaller."""
    for further in ([], ["--keep", "id"], ["--details"], ["--keep", "id", "--details"]):
        assert main([*words, *further]) == 0
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert main([*words, *further, "--output", str(tmp_path / "v.jsonl"), "--overwrite"]) == 0
        for one, other in zip(read(tmp_path / "v.jsonl"), printed, strict=True):
            if further:
                assert list(one) == list(other)
                assert {**one, "result": 0} == {**other, "result": 0}
                one, other = one["result"], other["result"]
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_kept_columns_and_details_in_tables(words: list[str], expected: Any, tmp_path: Path) -> None:
    for name in ("v.parquet", "v.csv"):
        assert main([*words, "--keep", "id", "--details", "--output", str(tmp_path / name)]) == 0
        np.testing.assert_array_equal(np.array(read(tmp_path / name), np.float32), expected)
    table = pyarrow.parquet.read_table(tmp_path / "v.parquet").to_pylist()
    assert [row["id"] for row in table] == list(range(len(TEXTS)))
    assert list(table[0]) == ["row", "id", "result", "truncated", "windows", "n_tokens"]


def test_failed_rows_keep_their_place(words: list[str], expected: Any, tmp_path: Path) -> None:
    """In a file of NumPy, they are NaN, or zero in a type of integers."""
    source = tmp_path / "in.jsonl"
    rows = source.read_text().splitlines(keepends=True)
    source.write_text("".join([*rows[:2], "{oops\n", *rows[2:]]))
    for precision in TYPES:
        out = tmp_path / f"{precision}.npy"
        assert main([*words, "--output", str(out), "--output-dtype", precision]) == 1
        found, wanted = np.load(out), quantize_embeddings(expected, precision)
        np.testing.assert_array_equal(np.delete(found, 2, axis=0), wanted)
        assert np.isnan(found[2]).all() if precision.startswith("float") else not found[2].any()
    for name in ("v.parquet", "v.jsonl"):
        assert main([*words, "--output", str(tmp_path / name)]) == 1
    table = pyarrow.parquet.read_table(tmp_path / "v.parquet").to_pylist()
    assert table[2]["result"] is None and "JSON" in table[2]["error"]
    assert list(read(tmp_path / "v.jsonl")[2]) == ["error"]


def test_only_failed_rows(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": 5}\n{"text": 6}\n')
    for name in ("v.npy", "v.parquet", "v.jsonl"):
        assert main([*words, "--output", str(tmp_path / name)]) == 1
    assert np.load(tmp_path / "v.npy").shape == (2, 0)


def test_the_type_of_a_resumed_job_may_change(
    words: list[str], expected: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The unfinished file has float32, so that bytes can have the ranges of all rows."""
    source, out = tmp_path / "in.jsonl", tmp_path / "v.npy"
    source.write_text(source.read_text().splitlines()[0] + "\n")
    assert main([*words, "--output", str(out), "--output-dtype", "int8"]) == 2
    advice = "needs the ranges of several vectors, not of 1: type --output-dtype float32 and --resume."
    assert advice in capsys.readouterr().err
    assert main([*words, "--output", str(out), "--resume"]) == 0
    np.testing.assert_allclose(np.load(out), expected[:1], atol=1e-6)


def test_damaged_vectors_with_valid_digests(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hashlib import blake2b

    out, part = tmp_path / "v.npy", tmp_path / "v.npy.part"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertkit.pipelines.bulk.partial.Partial.finish", lambda self: None)
        assert main([*words, "--output", str(out)]) == 0
    content = part.read_bytes().splitlines(keepends=True)
    for line in (b'"AAAA"\n', b'"?"\n', b"5\n", b"[1.0]\n", b'{"result": {}}\n', b"no JSON\n"):
        lines = [content[2], line, *content[4:-1]]
        mark = content[-1].split()
        mark[2] = blake2b(b"".join(lines), digest_size=16).hexdigest().encode()
        part.write_bytes(b"".join([*content[:2], *lines, b" ".join(mark) + b"\n"]))
        assert main([*words, "--output", str(out), "--resume"]) == 2
        assert "The results are damaged in row 2: type --resume to answer it again" in capsys.readouterr().err
        assert not out.exists()


@pytest.mark.parametrize(
    ("further", "sentence"),
    [
        (["--output-dtype", "int8"], "--output-dtype int8 is for a file: type --output FILE, too."),
        (["--output", "v.npy", "--keep", "id"], "v.npy has only vectors: choose .parquet or .jsonl"),
        (["--output", "v.npy", "--details"], "v.npy has only vectors"),
        (["--output", "v.npy", "--pooling", "none"], "v.npy is for one vector of each text"),
        (["--output", "v.json", "--pooling", "none", "--output-dtype", "int8"], "needs one vector for each text"),
        (["--output", "v.npy.gz"], "v.npy.gz has the unknown suffix .npy: end"),
    ],
)
def test_what_is_refused(
    further: list[str],
    sentence: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, *further]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_other_results_are_not_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("Anna sings\n")
    words = ["ner", "--model", str(pipeline_models.folder("names")), "--input", str(tmp_path / "in.txt")]
    assert main([*words, "--output", str(tmp_path / "v.npy")]) == 2
    assert "v.npy is for one vector of each text, as embed computes them" in capsys.readouterr().err


def test_run_writes_vectors(words: list[str], expected: Any, tmp_path: Path) -> None:
    out = tmp_path / "v.npy"
    more = ["run", "--task", "feature-extraction", "--option", "pooling=mean", "--option", "normalize=true"]
    assert main([*more, *words[1:], "--output", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), expected)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_kept_lists_have_their_own_type(precision: str, tmp_path: Path) -> None:
    rows = [{"tags": [70001, n / 3], "text": text} for n, text in enumerate(TEXTS[:4])]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["embed", "--engine", "numpy", "--model", str(pipeline_models.folder("plain")), "--keep", "tags"]
    words += ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "v.parquet")]
    assert main([*words, "--output-dtype", precision]) == 0
    table = pyarrow.parquet.read_table(tmp_path / "v.parquet")
    assert table["tags"].to_pylist() == [row["tags"] for row in rows]
    assert table.schema.field("result").type.value_type == pyarrow.from_numpy_dtype(precision)


def test_an_exported_model_below_the_files_of_its_pooling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its runtime answers a few short texts, too, as there are no weights for NumPy."""
    export(pipeline_models.folder("plain"), tmp_path / "0_BERT", data=TEXTS[:2])
    write_mean(tmp_path, 16, 64)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[0]["path"] = "0_BERT"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    assert main(["embed", "--model", str(tmp_path), "--no-normalize", TEXTS[0]]) == 0
    embed = pipeline("feature-extraction", pipeline_models.folder("plain"), engine="numpy", pooling="mean")
    np.testing.assert_allclose(json.loads(capsys.readouterr().out), embed(TEXTS[0]), atol=1e-5)
