"""Whole files: every format of input and output, failures, interruption, and what a terminal shows."""

from __future__ import annotations

import csv
import gzip
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pipeline_cases
import pipeline_models
import pyarrow as pa
import pyarrow.parquet
import pytest
from terminal import command, seen

from bertkit.cli import main
from bertkit.pipelines.run import LOOK_AHEAD

TEXTS = pipeline_cases.SENTENCES
NER = ["ner", "--strategy", "none", "--model"]


def ner() -> list[str]:
    return [*NER, str(pipeline_models.folder("names"))]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("".join(text + "\n" for text in TEXTS))
    return path


@pytest.fixture
def expected(texts: Path, tmp_path: Path) -> list[Any]:
    assert main([*ner(), "--input", str(texts), "--output", str(tmp_path / "expected.jsonl")]) == 0
    return lines(tmp_path / "expected.jsonl")


def test_every_format_in(expected: list[Any], tmp_path: Path) -> None:
    rows = [{"n": number, "text": text} for number, text in enumerate(TEXTS)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    with open(tmp_path / "a.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["n", "text"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "a.tsv").write_text("n\ttext\n" + "".join(f"{row['n']}\t{row['text']}\n" for row in rows))
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.json", "a.jsonl.gz", "a.csv", "a.tsv", "a.parquet"):
        out = tmp_path / f"{name}.out.jsonl"
        assert main([*ner(), "--input", str(tmp_path / name), "--output", str(out)]) == 0
        assert lines(out) == expected
    assert not list(tmp_path.glob("*.part"))


def test_every_format_out(texts: Path, expected: list[Any], tmp_path: Path) -> None:
    entities = [{"row": str(n), **one} for n, found in enumerate(expected, start=1) for one in found]
    for name in ("b.jsonl", "b.json", "b.csv", "b.tsv", "b.parquet", "b.jsonl.gz", "b.csv.xz", "b"):
        assert main([*ner(), "--input", str(texts), "--output", str(tmp_path / name)]) == 0
    assert lines(tmp_path / "b.jsonl") == lines(tmp_path / "b") == expected
    assert gzip.decompress((tmp_path / "b.jsonl.gz").read_bytes()) == (tmp_path / "b.jsonl").read_bytes()
    assert json.loads((tmp_path / "b.json").read_text()) == expected
    for name, delimiter in (("b.csv", ","), ("b.tsv", "\t")):
        with open(tmp_path / name, newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter=delimiter) if row["entity"]]
        assert [(row["row"], row["entity"], row["word"], float(row["score"])) for row in rows] == [
            (one["row"], one["entity"], one["word"], one["score"]) for one in entities
        ]
    table = pyarrow.parquet.read_table(tmp_path / "b.parquet").to_pylist()
    assert [row["score"] for row in table if row["entity"]] == [one["score"] for one in entities]


def test_a_row_for_each_filling_of_several_masks(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a [MASK] [MASK]\nb [MASK]\n")
    words = [
        "fill-mask",
        "--top-k",
        "2",
        "--model",
        str(pipeline_models.folder("masked")),
        "--input",
        str(tmp_path / "a.txt"),
    ]
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        assert main([*words, "--output", str(tmp_path / name)]) == 0
    (first, second), third = lines(tmp_path / "a.jsonl")
    fillings = [one["token_str"] for one in (*first, *second, *third)]
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["mask"]) for row in rows] == [*2 * [("1", "1")], *2 * [("1", "2")], *2 * [("2", "")]]
    assert [row["token_str"] for row in rows] == fillings and "result" not in rows[0]
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet")["mask"].to_pylist() == [1, 1, 2, 2, None, None]


def test_vectors_as_parquet(texts: Path, tmp_path: Path) -> None:
    out, model = tmp_path / "v.parquet", str(pipeline_models.folder("plain"))
    assert main(["embed", "--model", model, "--input", str(texts), "--output", str(out)]) == 0
    table = pyarrow.parquet.read_table(out)
    assert table.num_rows == len(TEXTS)
    assert len(set(map(len, table["result"].to_pylist()))) == 1


def test_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = tmp_path / "a.csv", str(pipeline_models.folder("answers"))
    path.write_text('id,q,c\n1,Who?,"Anna, then Ben."\n')
    for column in ("q,c", "question=q,context=c", "context=c,question=q"):
        words = ["run", "--task", "qa", "--model", model, "--input", str(path), "--column", column]
        words[2] = "question-answering"
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["answer"] in "Anna, then Ben."
    assert main([*words[:-1], "q,x"]) == 2
    assert "There is no column 'x'. The columns are id, q, c" in capsys.readouterr().err
    assert main([*words[:-1], "who=q"]) == 2
    assert "question-answering has no field 'who': choose question, context" in capsys.readouterr().err


def test_a_table_without_the_column_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("label,texts\n" + "1,a\n" * 9)
    (tmp_path / "a.jsonl").write_text('{"label": 1, "texts": "a"}\n' * 1000)
    (tmp_path / "a.json").write_text('[{"label": 1, "texts": "a"}]')
    (tmp_path / "a.tsv").write_text("label\ttexts\n" + "1\ta\n" * 9)
    pyarrow.parquet.write_table(pa.table({"texts": ["a"] * 9}), tmp_path / "a.parquet")
    for name in ("a.csv", "a.tsv", "a.parquet", "a.jsonl", "a.json"):
        columns = "texts" if name == "a.parquet" else "label, texts"
        assert main([*ner(), "--input", str(tmp_path / name), "--output", str(tmp_path / "b.csv")]) == 2
        output = capsys.readouterr()
        assert not output.out and output.err.count("There is no column 'text'") == 1
        assert f"There is no column 'text'. The columns are {columns}: choose with" in output.err
        assert main([*ner(), "--input", str(tmp_path / name), "--column", "body"]) == 2
        assert capsys.readouterr().err.count("There is no column 'body'") == 1
    assert not (tmp_path / "b.csv").exists() and not (tmp_path / "b.csv.part").exists()
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"texts": "a"}\n')  # one of them has it
    assert main([*ner(), "--input", str(tmp_path / "a.jsonl")]) == 1


def test_run_takes_options_of_the_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("The [MASK] was cold.\n")
    words = ["run", "--task", "fill-mask", "--model", str(pipeline_models.folder("masked")), "--input", str(path)]
    assert main([*words, "--option", "top_k=2", "--option", 'targets=["soup", "rain", "snow"]']) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2 and {one["token_str"] for one in found} <= {"soup", "rain", "snow"}
    assert main([*words, "--option", "topk=2"]) == 2
    assert "Did you mean 'top_k'?" in capsys.readouterr().err
    assert main([*words, "--option", "top_k"]) == 2
    assert "type --option name=value" in capsys.readouterr().err
    assert main(["run", "--task", "fil-mask", *words[3:]]) == 2
    assert "Did you mean 'fill-mask'?" in capsys.readouterr().err
    assert main(["run", *words[3:]]) == 2
    assert "required: --task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "option", "sentence"),
    [
        *[
            ("fill-mask", f"{name}=1", f"type --{name}")
            for name in ("model", "tokenizer", "device", "engine", "precision")
        ],
        ("fill-mask", "batch-size=2", "type --batch-size"),
        ("fill-mask", "details=true", "type --details"),
        *[
            ("fill-mask", f"{name}=3", f"fill-mask has no option '{name}'")
            for name in ("task", "dtype", "model_kwargs")
        ],
        ("fill-mask", "targets=3", """targets=3 is not a list: type --option 'targets=["good", "bad"]'."""),
        ("fill-mask", "joint=yes", "--option joint=yes is not a boolean: type --option joint=true"),
        ("fill-mask", "tokenizer_kwargs=3", "tokenizer_kwargs=3 is not a dictionary of options"),
        ("ner", "ignore_labels=3", """ignore_labels=3 is not a list: type --option 'ignore_labels=["O"]'."""),
        ("ner", "delimiter=3", "delimiter=3 is not a string"),
        (
            "question-answering",
            "null_threshold=x",
            "--option null_threshold=x is not a number: type --option null_threshold=0.0",
        ),
        ("feature-extraction", "layers={}", "layers={} is not a layer"),
        ("feature-extraction", "return_tensors=true", "return_tensors works only in Python"),
        ("zero-shot-classification", "multi_label=no", "--option multi_label=no is not a boolean"),
    ],
)
def test_invalid_options_of_a_task(task: str, option: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are errors of one line, before the model is opened."""
    labels = ["--option", "candidate_labels=a,b"] if task.startswith("zero") else []
    assert main(["run", "--task", task, "--model", "none", "--option", option, *labels]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bertkit: ") and said.count("\n") == 1 and sentence in said


def test_failed_rows_are_listed_and_have_their_results_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    path.write_text('"a [MASK]"\n"none"\n{oops\n{"t": "x"}\n{"text": 5}\n{"text": "b [MASK]"}\n')
    words = ["fill-mask", "--model", str(pipeline_models.folder("masked")), "--input", str(path), "--output", str(out)]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert [re.match(r"bertkit: row (\d)", line)[1] for line in said.splitlines()[:-2]] == ["2", "3", "4", "5"]  # type: ignore[index]
    assert said.endswith(f"bertkit: 4 of 6 rows failed.\nbertkit: 6 rows written to {out}.\n")
    assert ["error" in line for line in lines(out)] == [False, True, True, True, True, False]


def test_texts_that_are_split_into_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"words": ["Anna", "sings"]}\n["x"]\n{"text": "x y"}\n{"words": ["d"]}\n')
    words = ["ner", "--strategy", "words", "--model", str(pipeline_models.folder("names")), "--input", str(path)]
    assert main([*words, "--is-split-into-words", "--output", str(out)]) == 1
    assert [[one["word"] for one in some] for some in lines(out) if isinstance(some, list)] == [
        ["Anna", "sings"],
        ["x"],
        ["d"],
    ]
    assert "row 3: With --is-split-into-words a text is a list of words" in capsys.readouterr().err
    path.write_text("Anna sings\nx y\n")
    words += ["--format", "pipe", "--is-split-into-words"]
    for more in ([], ["--output", str(tmp_path / "b.jsonl")]):
        assert main([*words, *more]) == 1
        assert "2 of 2 rows failed" in capsys.readouterr().err


def test_of_many_failed_rows_the_first_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("none\n" * 120)
    assert main(["fill-mask", "--model", str(pipeline_models.folder("masked")), "--input", str(path)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 101
    assert said[-1] == "bertkit: 120 of 120 rows failed, of which the first 100 are listed."


def test_a_user_who_types_gets_each_answer_at_once() -> None:
    words = ["fill-mask", "--input", "-", "--model", str(pipeline_models.folder("masked"))]
    page = seen(words, typed=["The [MASK] was cold.\n", "\x04"], NO_COLOR="1")
    assert page.count("The [MASK] was cold.") == 2 and "█" in page


def test_an_output_is_not_overwritten(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    words = [*ner(), "--input", str(texts), "--output", str(out)]
    assert main(words) == 2
    assert "out.jsonl exists: type --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*words, "--resume"]) == 2
    assert "exists and is complete, so that there is nothing to resume: type --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*words, "--overwrite", "--resume"]) == 2
    assert main([*words, "--overwrite"]) == 0
    assert len(lines(out)) == len(TEXTS)


@pytest.mark.parametrize("name", ["in.jsonl", "soft.jsonl", "hard.jsonl", "sub/../in.jsonl"])
def test_an_input_is_never_its_own_output(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('"Anna sings"\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "soft.jsonl").symlink_to(source)
    (tmp_path / "hard.jsonl").hardlink_to(source)
    words = ["ner", "--model", "none", "--overwrite", "--input", str(source), "--output", str(tmp_path / name)]
    assert main(words) == 2
    assert capsys.readouterr().err == f"bertkit: {tmp_path / name} is also the input: choose another output.\n"
    assert source.read_text() == '"Anna sings"\n' and not list(tmp_path.glob("*.part"))


def test_the_results_of_an_interrupted_run_are_not_its_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = tmp_path / "a.jsonl.part"
    part.write_text('"Anna sings"\n')
    words = ["ner", "--model", "none", "--overwrite", "--output", str(tmp_path / "a.jsonl")]
    assert main([*words, "--input", str(part)]) == 2
    assert "a.jsonl.part is also the input" in capsys.readouterr().err
    (tmp_path / "b.jsonl").write_text('"Anna sings"\n')
    with open(tmp_path / "b.jsonl") as file:
        run = subprocess.run(command([*words[:-1], file.name]), stdin=file, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 2 and "b.jsonl is also the input" in run.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "none/a.jsonl",
            "There is no folder {folder}/none for {folder}/none/a.jsonl: create it first, or choose another output.",
        ),
        (
            "a.txt",
            "{folder}/a.txt has the unknown suffix .txt: end it with .jsonl, .json, .csv, .tsv or .parquet",
        ),
        ("a.text.gz", "{folder}/a.text.gz has the unknown suffix .text: end"),
        ("", "{folder}/ is a folder: name a file in it."),
        ("é" * 118 + ".json", " has more than 240 bytes: choose a shorter one."),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    name: str, sentence: str, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ner", "--model", "none", "--input", str(texts), "--output", f"{tmp_path}/{name}"]
    assert main(words) == 2
    assert sentence.format(folder=tmp_path) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [texts]


def test_parquet_needs_pyarrow_alone(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    words = ["ner", "--model", "none", "--input", str(texts), "--output", str(tmp_path / "a.parquet")]
    assert main(words) == 2
    assert capsys.readouterr().err.endswith("which is not installed. Type: pip install pyarrow\n")


def test_the_last_message_says_what_was_written(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ner(), "--input", str(texts), "--output", str(tmp_path / "a.csv")]) == 0
    output = capsys.readouterr()
    assert not output.out and output.err == f"bertkit: 48 rows written to {tmp_path / 'a.csv'}.\n"


def test_errors_of_rows_name_options_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.txt", tmp_path / "out.jsonl"
    path.write_text("Anna sings\n" + "Anna sings " * 100 + "\n")
    assert main([*ner(), "--on-long", "error", "--input", str(path), "--output", str(out)]) == 1
    error = lines(out)[1]["error"]
    assert "type --on-long window to use several rows" in error
    assert f"bertkit: row 2: {error}\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.jsonl", "a.json"])
def test_a_lone_surrogate_fails_only_its_row(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a value, and in the name of a column that a message repeats; also after an interruption."""
    source, out = tmp_path / "in.jsonl", tmp_path / name
    source.write_text('{"text": "Anna sings"}\n{"text": "a \\ud800"}\n{"te\\udc00xt": "Ben"}\n{"text": "Ben"}\n')
    words = [*ner(), "--input", str(source), "--output", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertkit.pipelines.bulk.partial.Partial.finish", lambda self: None)
        assert main(words) == 1
    assert main([*words, "--resume"]) == 1
    said = capsys.readouterr().err
    assert "row 2: The text has a lone surrogate" in said and "The columns are te\\udc00xt" in said
    kind = out.suffix
    if kind == ".parquet":
        errors = [row["error"] for row in pyarrow.parquet.read_table(out).to_pylist()]
    elif kind in (".csv", ".tsv"):
        with open(out, newline="") as file:
            errors = [row["error"] for row in csv.DictReader(file, delimiter="," if kind == ".csv" else "\t")]
    else:
        found = lines(out) if kind == ".jsonl" else json.loads(out.read_text())
        errors = [one["error"] if isinstance(one, dict) else None for one in found]
    assert "lone surrogate" in "".join(filter(None, errors)) and r"te\udc00xt" in "".join(filter(None, errors))
    assert main([*words, "--overwrite", "--column", "te\udc00xt"]) == 2
    assert "--column 'te\\udc00xt' is not UTF-8" in capsys.readouterr().err


def test_a_message_has_no_sequences_for_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And its length is bounded, even if names of columns are long."""
    source = tmp_path / "in.jsonl"
    wrong = json.dumps({"\x1b[31mred": "x", "long" * 10_000: "y"}) + "\n"
    for text, further, code in (('{"text": "a"}\n' + wrong, [], 1), (wrong, [], 2), (wrong, ["--keep", "red"], 2)):
        source.write_text(text)
        words = [*ner(), "--input", str(source), "--output", str(tmp_path / "out.csv"), "--overwrite"]
        assert main([*words, *further]) == code
        said = capsys.readouterr().err
        assert "\x1b" not in said and "\\x1b[31mred" in said and len(said) < 4000
    assert "\x1b" not in (tmp_path / "out.csv").read_text()


# Interruption.


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Texts for many chunks, of several lengths."""
    path = tmp_path / "many.txt"
    rows = [" ".join(TEXTS[n % 48].split()[: 1 + n % 7]) for n in range(6000)]
    path.write_text("".join(row + "\n" for row in rows))
    return path


def resumed(words: list[str], whole: Path, out: Path) -> None:
    assert main([*words, "--output", str(out), "--resume"]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not out.with_name(out.name + ".part").exists()


def test_a_killed_run_is_resumed(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After kill -9 twice and an incomplete line, the output is the same, byte for byte."""
    words, whole, out = [*ner(), "--input", str(many)], tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert main([*words, "--output", str(whole)]) == 0
    part = tmp_path / "out.jsonl.part"
    for size in (1, 2):
        process = subprocess.Popen(command([*words, "--output", str(out), "--resume"]))
        before = part.stat().st_size if part.exists() else 0
        while not part.exists() or part.stat().st_size < before + size * 200_000:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert not out.exists()
    with open(part, "ab") as file:
        file.write(b'[{"entity": "torn')
    assert main([*words, "--output", str(out)]) == 2
    assert "type --resume to continue it, or type --overwrite" in capsys.readouterr().err
    assert main([*words, "--output", str(out), "--resume", "--constrained"]) == 2
    assert "constrained was false and is now true. Pass the earlier one" in capsys.readouterr().err
    resumed(words, whole, out)


def test_a_run_is_resumed_after_any_number_of_lines(many: Path, tmp_path: Path) -> None:
    """Also in the middle of a chunk."""
    words, whole, out = [*ner(), "--input", str(many)], tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    process = subprocess.run(command([*words, "--output", str(whole)]), check=True)
    assert process.returncode == 0
    part = tmp_path / "out.jsonl.part"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertkit.pipelines.bulk.partial.Partial.finish", lambda self: None)
        assert main([*words, "--output", str(out)]) == 0
    all_lines = part.read_bytes().splitlines(keepends=True)
    assert b"".join(line for line in all_lines[2:] if not line.startswith(b"# ")) == whole.read_bytes()
    for count in (0, 1, 2, 3, 700, 6000, len(all_lines) - 1, len(all_lines)):
        part.write_bytes(b"".join(all_lines[:count]) + b'[{"en' * (count > 0))
        out.unlink(missing_ok=True)
        resumed(words, whole, out)
    out.unlink()
    part.write_bytes(b"".join([*all_lines, b"[]\n"]))  # rows without a mark belong to an incomplete chunk
    resumed(words, whole, out)


def test_ctrl_c_says_what_was_written(many: Path, tmp_path: Path) -> None:
    words, out = [*ner(), "--input", str(many), "--output", str(tmp_path / "out.jsonl")], tmp_path / "out.jsonl"
    process = subprocess.Popen(command(words), stderr=subprocess.PIPE, text=True)
    part = tmp_path / "out.jsonl.part"
    while not part.exists() or part.stat().st_size < 100_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    count = sum(not line.startswith(b"# ") for line in part.read_bytes().splitlines()[2:])
    assert (
        said == f"bertkit: stopped. {count:,} results are in {part}: run the same command with --resume to continue.\n"
    )
    assert count % LOOK_AHEAD == 0 and not out.exists()


def test_an_unreadable_input_keeps_the_results_so_far(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn.csv"
    torn.write_bytes(b"text\n" + many.read_bytes().replace(b",", b"") + b"x" * (17 * 2**20))
    assert main([*ner(), "--input", str(torn), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "5,632 results are in" in said and "cannot be read as CSV, at line 6002" in said


def test_a_line_that_is_not_utf8_is_a_failed_row(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = many.read_bytes().splitlines(keepends=True)
    many.write_bytes(b"".join([*rows[:1500], b"caf\xe9\n", *rows[1501:2000]]))
    words, out = [*ner(), "--input", str(many)], tmp_path / "out.jsonl"
    assert main([*words, "--output", str(out)]) == 1
    said = capsys.readouterr().err
    assert "row 1501: Line 1501 of" in said and "not UTF-8" in said and "1 of 2,000 rows failed" in said
    assert [number for number, one in enumerate(lines(out), start=1) if "error" in one] == [1501]


def test_another_question_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, model = tmp_path / "a.txt", tmp_path / "out", str(pipeline_models.folder("answers"))
    path.write_text("Anna, then Ben.\n" * 600)
    words = ["qa", "--model", model, "--input", str(path), "--output", str(out), "--question"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertkit.pipelines.bulk.partial.Partial.finish", lambda self: None)
        assert main([*words, "Who?"]) == 0
    assert main([*words, "When?", "--resume"]) == 2
    assert 'belongs to another run: texts was ["Who?"] and is now ["When?"]' in capsys.readouterr().err
    assert main([*words, "Who?", "--resume"]) == 0
    assert len(lines(out)) == 600


# What a terminal shows.


def test_a_terminal_shows_tables_and_colours() -> None:
    words = [*ner(), TEXTS[1]]
    page = seen(words)
    assert "\x1b[36m" in page and "{" not in page
    plain = seen(words, NO_COLOR="1")
    assert "\x1b" not in plain and plain.startswith(TEXTS[1])
    assert re.sub(r"\x1b\[[0-9;]*m", "", page) == plain
    assert seen([*words, "--json"]).startswith("[{")
    assert seen(words[:-1]).startswith("bertkit: token-classification has no input: type a text")


def test_a_terminal_that_is_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    masked = str(pipeline_models.folder("masked"))
    for words in (["fill-mask", "東 [MASK]", "--model", masked], ["tokenize", "東", "--model", masked]):
        page = seen(words, PYTHONIOENCODING="latin-1", NO_COLOR="1")
        assert "\\u6771" in page and "Traceback" not in page


def test_a_bar_is_drawn_on_a_terminal(texts: Path, tmp_path: Path) -> None:
    page = seen([*ner(), "--input", str(texts), "--output", str(tmp_path / "out.jsonl")])
    assert "48/48" in page and "tokens/s" in page
