"""`bertkit evaluate` and `bertkit predict`: tables, JSON, the predictions file, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sklearn.metrics
from pipeline_cases import SENTENCES
from pipeline_models import folder, ours

import bertkit
from bertkit.cli import main

TRUTHS = ["GOOD" if number % 3 else "BAD" for number in range(12)]


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def table(path: Path, rows: list[tuple[str, Any]], names: str = "text\tlabel") -> str:
    return written(path / "dev.tsv", "\n".join([names, *(f"{text}\t{label}" for text, label in rows)]) + "\n")


def run(*words: str, name: str = "two") -> int:
    return main(["evaluate", "--model", str(folder(name)), "--engine", "numpy", *words])


def test_scores_and_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = table(tmp_path, list(zip(SENTENCES, TRUTHS, strict=False)))
    assert run("--data", data, "--json", "--average", "binary", "--predictions", str(tmp_path / "p.jsonl")) == 0
    printed = capsys.readouterr()
    scores = json.loads(printed.out)
    answers = [one["label"] for one in ours("text-classification", "two")(SENTENCES[:12])]
    flags = [[label == "GOOD" for label in labels] for labels in (TRUTHS, answers)]
    assert scores["f1"] == pytest.approx(sklearn.metrics.f1_score(*flags, zero_division=0))
    assert scores["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(*flags))
    assert "12 examples evaluated." in printed.err and "Column 'text' is the text" in printed.err
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["answer"] for line in lines] == answers and lines[1]["where"] == "line 3 of dev.tsv"


def test_the_table_shows_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = table(tmp_path, list(zip(SENTENCES, TRUTHS, strict=False)))
    assert run("--data", data, "--confidence", "0.9") == 0
    lines = capsys.readouterr().out.splitlines()
    found = bertkit.evaluate(folder("two"), data, engine="numpy", confidence=0.9)
    low, high = found.intervals["accuracy"]
    assert lines[0].split() == ["score", "90%", "interval"]
    assert lines[1].split() == ["accuracy", f"{found.scores['accuracy']:.4f}", f"{low:.4f}", "to", f"{high:.4f}"]


def test_columns_and_skipped_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = table(tmp_path, [("a", "GOOD"), ("b", "😀"), ("", "BAD"), ("c", "BAD")], "body\tgold")
    assert run("--data", data, "--columns", "text=body,label=gold", "--on-bad", "skip") == 0
    assert "2 examples evaluated. Left out: 2." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["names", "answers", "choices", "order", "number", "tags", "plain"])
def test_every_task(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = SENTENCES[:3]
    rows: dict[str, Any] = {
        "names": [{"words": text.split(), "tags": ["O"] * len(text.split())} for text in texts],
        "answers": [{"question": "Who?", "context": text, "answers": []} for text in texts],
        "choices": [{"text": text, "choices": texts, "label": 1} for text in texts],
        "order": [{"text": text, "text_pair": texts[0], "label": 0} for text in texts],
        "number": [{"text": text, "label": len(text)} for text in texts],
        "tags": [{"text": text, "labels": ["LABEL_0", "LABEL_2"]} for text in texts],
        "plain": [{"text": text, "text_pair": texts[0], "score": len(text)} for text in texts],
    }
    data = written(tmp_path / "dev.jsonl", "\n".join(map(json.dumps, rows[name])))
    task = ["--task", "sentence-embedding"] if name == "plain" else []
    assert run("--data", data, "--json", *task, name=name) == 0
    scores = json.loads(capsys.readouterr().out)
    main_score = {"number": "pearson", "plain": "spearmanr", "answers": "NoAns_f1"}.get(name, "accuracy")
    assert main_score in scores


@pytest.mark.parametrize(
    ("name", "content", "words", "message"),
    [
        ("two", "text\nx\n", [], "no column with a usual name for the label"),
        ("two", "text\tother\nx\ty\n", [], "type for example --columns label=other"),
        ("two", "", [], "dev.tsv has no examples: it is empty."),
        (
            "two",
            "text\tlabel\nx\tODD\ny\tGOOD\n",
            [],
            "Unknown labels: 'ODD' in 1 of 2 examples, the first in line 2 of dev.tsv",
        ),
        ("two", "text\tlabel\nx\tODD\n", ["--on-bad", "skip"], "There are no examples to evaluate."),
        ("two", "text\tlabel\nx\tGOOD\n", ["--task", "ner"], "type --task text-classification, or train it"),
        ("two", "text\tlabel\nx\tGOOD\n", ["--columns", "label"], "--columns label is invalid"),
        ("two", "text\tlabel\nx\tGOOD\n", ["--average", "best"], "choose from 'macro', 'micro'"),
        ("two", "text\tlabel\nx\tGOOD\n", ["--predictions", "no-such-folder/p.jsonl"], "create it first"),
        ("two", "text\tlabel\nx\tGOOD\n", ["--resamples", "0"], "resamples is 0"),
        ("five", "text\tlabel\nx\tLABEL_3\n", ["--average", "binary"], "type --average macro."),
        ("number", "text\tlabel\nx\tgood\n", [], "the label is 'good' (str), not a number"),
        ("masked", "text\tlabel\nx\tGOOD\n", [], "its task fill-mask cannot be evaluated"),
    ],
)
def test_errors(
    name: str, content: str, words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", written(tmp_path / "dev.tsv", content), *words, name=name) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == "" and "Traceback" not in printed.err


def test_missing_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--data", "x.tsv"]) == 2
    assert "evaluate needs --model" in capsys.readouterr().err
    assert run() == 2
    assert "evaluate needs --data" in capsys.readouterr().err


def test_predict_is_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = written(tmp_path / "texts.txt", "a\nthe river\n")
    for command in ("run", "predict"):
        assert main([command, "--task", "text-classification", "--model", str(folder("two")), "--input", texts]) == 0
    first, second, *rest = capfd.readouterr().out.splitlines()
    assert rest == [first, second]


def test_thresholds_of_labels(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["classify", "a film", "--model", str(folder("tags"))]
    assert main([*words, "--threshold", "auto"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found and all(one["score"] > 0.5 for one in found)
    assert main([*words, "--threshold", "1"]) == 0
    assert json.loads(capfd.readouterr().out) == []
    assert main([*words, "--threshold", "high"]) == 2
    assert "type a number, as in --threshold 0.5, or auto" in capfd.readouterr().err
