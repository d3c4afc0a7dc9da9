"""The report of a fine-tuning run, from fabricated runs. Its numbers are compared with scikit-learn and seqeval."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import finished_runs
import numpy as np
import pytest
from finished_runs import HOSTILE
from html_page import Page
from seqeval.metrics import classification_report
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bertkit.errors import DataError
from bertkit.metrics import expected_calibration_error
from bertkit.training.report import write_report

PICTURES = {
    "two labels": {"confusion", "calibration"},
    "many labels": {"labels", "calibration"},
    "hostile labels": {"confusion", "labels", "calibration"},
    "several labels": {"labels", "calibration"},
    "regression": {"scatter"},
    "sentence embedding": {"scatter"},
    "entities": {"labels"},
    "parts of speech": {"labels"},
    "questions": {"calibration"},
    "choices": {"confusion", "labels", "calibration"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with reports."""
    found = {}
    for kind in finished_runs.KINDS:
        found[kind] = finished_runs.write(tmp_path_factory.mktemp("runs") / "run", kind)
        assert write_report(found[kind]) == found[kind] / "report.html"
    return found


def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text("utf-8"))


def predictions(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kind", finished_runs.KINDS)
def test_the_page_is_valid_and_loads_nothing(runs: dict[str, Path], kind: str) -> None:
    found = page(runs[kind])
    assert not found.errors
    assert len(found.ids) == len(set(found.ids))
    assert not found.tags & {"script", "link", "img", "iframe", "object", "image", "metadata"}
    assert found.links and all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert not any(name.startswith("on") for name, _ in found.attributes)
    values = " ".join(value for name, value in found.attributes if name != "aria-label")
    assert "//" not in values and "javascript:" not in values
    assert all(place in found.ids for place in re.findall(r"url\(#([^)]*)\)", values))


@pytest.mark.parametrize("kind", finished_runs.KINDS)
def test_pictures_are_in_the_page_and_in_files(runs: dict[str, Path], kind: str) -> None:
    scores = "percentages" if kind == "questions" else "scores"
    files = {path.stem: path.read_bytes() for path in (runs[kind] / "report").iterdir()}
    assert files.keys() == {"loss", "learning_rate", scores, "lengths", *PICTURES[kind]}
    assert all(content.startswith(b"\x89PNG") and len(content) > 5_000 for content in files.values())
    text = (runs[kind] / "report.html").read_text("utf-8")
    assert text.count("<svg") == len(files)


def test_pictures_follow_the_style_of_the_page(runs: dict[str, Path]) -> None:
    """Each colour of a picture is a variable, which has another value on a dark page."""
    for folder in runs.values():
        text = (folder / "report.html").read_text("utf-8")
        style = re.findall(r"<style>(.*?)</style>", text, re.S)
        assert len(style) == 1 and "prefers-color-scheme:dark" in style[0]
        light, dark = (
            dict(re.findall(r"--(\w+):(#\w+)", part)) for part in style[0].split("@media(prefers-color-scheme:dark)")
        )
        assert light.keys() == dark.keys() and not set(light.values()) & set(dark.values())
        pictures = "".join(re.findall(r"<svg.*?</svg>", text, re.S))
        assert not re.search(r"(fill|stroke)[:=]\s*\"?#", pictures)
        assert set(re.findall(r"var\(--(\w+)\)", pictures)) <= light.keys()


def test_hostile_data_is_shown_as_text(runs: dict[str, Path]) -> None:
    found = page(runs["hostile labels"])
    assert found.text.count(HOSTILE) > 5
    assert "😀 froh" in found.text and "سعيد" in found.text and "$\\frac{a}$" in found.text
    assert "שלום עולם, הסרט היה נפלא 🎬" in found.text
    assert "nothing\ufffd like\ufffd it" in found.text
    assert "(empty)" in found.text
    assert "</script><script>alert(1)</script>" in page(runs["entities"]).text


def numbers(rows: list[list[str]]) -> list[list[float]]:
    return [[float(cell.replace(",", "")) for cell in row[1:]] for row in rows[1:]]


@pytest.mark.parametrize("kind", ["two labels", "choices"])
def test_confusion_matrix(runs: dict[str, Path], kind: str) -> None:
    lines = predictions(runs[kind])
    expected = confusion_matrix([line["truth"] for line in lines], [line["answer"] for line in lines])
    assert numbers(page(runs[kind]).tables["confusion"][0]) == expected.tolist()


def test_scores_by_label(runs: dict[str, Path]) -> None:
    lines = predictions(runs["many labels"])
    truth, answer = ([line[side] for line in lines] for side in ("truth", "answer"))
    labels = sorted({*truth, *answer})
    precision, recall, f1, support = precision_recall_fscore_support(truth, answer, labels=labels, zero_division=0)
    expected = {name: [*row] for name, *row in zip(labels, f1, precision, recall, support, strict=True)}
    table = page(runs["many labels"]).tables["labels"][0]
    assert table[0] == ["label", "F1", "precision", "recall", "examples"]
    found = dict(zip((row[0] for row in table[1:]), numbers(table), strict=True))
    assert found.keys() == expected.keys()
    for name, row in found.items():
        assert row == pytest.approx(expected[name], abs=5e-5)


def test_the_most_confused_labels(runs: dict[str, Path]) -> None:
    lines = predictions(runs["many labels"])
    table = page(runs["many labels"]).tables["confusion"][0]
    pairs = [(line["truth"], line["answer"]) for line in lines if line["truth"] != line["answer"]]
    largest = max(pairs.count(pair) for pair in pairs)
    assert len(table) == 21
    assert int(table[1][2]) == largest
    for truth, answer, count, share in table[1:]:
        assert pairs.count((truth, answer)) == int(count)
        assert float(share) == pytest.approx(int(count) / sum(line["truth"] == truth for line in lines), abs=5e-5)


def test_scores_of_several_labels_with_thresholds(runs: dict[str, Path]) -> None:
    lines = predictions(runs["several labels"])
    labels = finished_runs.EMOTIONS
    truth, answer = (
        np.array([[name in line[side] for name in labels] for line in lines]) for side in ("truth", "answer")
    )
    _, _, f1, support = precision_recall_fscore_support(truth, answer)
    thresholds = json.loads((runs["several labels"] / "run.json").read_text())["thresholds"]["thresholds"]
    table = page(runs["several labels"]).tables["labels"][0]
    assert len(table) == 29
    for name, found, _, _, threshold, examples in table[1:]:
        place = labels.index(name)
        assert float(found) == pytest.approx(f1[place], abs=5e-5)
        assert (int(examples), float(threshold)) == (support[place], thresholds[name])


def test_scores_by_entity(runs: dict[str, Path]) -> None:
    lines = predictions(runs["entities"])
    expected = classification_report(
        *([line[side] for line in lines] for side in ("truth", "answer")), output_dict=True
    )
    table = page(runs["entities"]).tables["labels"][0]
    assert len(table) == 7
    for (name, *_), row in zip(table[1:], numbers(table), strict=True):
        keys = ("f1-score", "precision", "recall", "support")
        assert row == pytest.approx([float(expected[name][key]) for key in keys], abs=5e-5)


def test_tags_that_are_not_entities(runs: dict[str, Path]) -> None:
    lines = predictions(runs["parts of speech"])
    truth, answer = ([tag for line in lines for tag in line[side]] for side in ("truth", "answer"))
    _, _, f1, _ = precision_recall_fscore_support(truth, answer)
    table = page(runs["parts of speech"]).tables["labels"][0]
    found = {row[0]: float(row[1]) for row in table[1:]}
    assert [found[name] for name in sorted(found)] == pytest.approx(f1.tolist(), abs=5e-5)


def test_answers_by_length(runs: dict[str, Path]) -> None:
    lines = predictions(runs["questions"])
    lengths, nulls = page(runs["questions"]).tables["answers"]
    assert [row[0] for row in lengths[1:]] == [
        "no answer",
        "1 word",
        "2 words",
        "3 to 5 words",
        "6 to 10 words",
        "11 words or more",
    ]
    assert sum(int(row[1]) for row in lengths[1:]) == len(lines)
    empty = [line for line in lines if not line["truth"]]
    assert float(lengths[1][2]) == pytest.approx(np.mean([not line["answer"] for line in empty]), abs=5e-5)
    assert numbers(nulls) == [
        [sum(bool(line["truth"]) and bool(line["answer"]) is given for line in lines) for given in (True, False)],
        [sum(not line["truth"] and bool(line["answer"]) is given for line in lines) for given in (True, False)],
    ]


def test_quantiles_of_errors(runs: dict[str, Path]) -> None:
    lines = predictions(runs["regression"])
    errors = [line["answer"] - line["truth"] for line in lines]
    table = page(runs["regression"]).tables["scatter"][0]
    assert [float(row[3]) for row in table[1:]] == pytest.approx(
        np.percentile(errors, [0, 5, 25, 50, 75, 95, 100]), abs=5e-5
    )


@pytest.mark.parametrize("kind", ["two labels", "many labels"])
def test_calibration_equals_that_of_all_probabilities(runs: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """The report uses only the probability of the answer. The error is that of the whole distributions."""
    changed = [line for line in predictions(runs[kind]) if max(line["scores"].values()) == line["score"]]
    finished_runs.write(tmp_path, kind)
    finished_runs.write_lines(tmp_path / "predictions.jsonl", changed)
    write_report(tmp_path)
    labels = sorted(changed[0]["scores"])
    rows = [[line["scores"][name] for name in labels] for line in changed]
    expected = expected_calibration_error(rows, [labels.index(line["truth"]) for line in changed], bins=10)
    assert f"Expected calibration error: {expected:.4f}." in page(tmp_path).text


def test_the_worst_mistakes_are_first(runs: dict[str, Path]) -> None:
    text = page(runs["two labels"]).text
    lines = sorted(
        (line for line in predictions(runs["two labels"]) if not line["correct"]), key=lambda line: -line["score"]
    )
    places = [text.index(f"{line['where']}, with confidence") for line in lines[:25]]
    assert places == sorted(places)
    assert f"25 of {len(lines)} mistakes" in text
    assert f"{lines[25]['where']}, with" not in text
    errors = sorted(predictions(runs["regression"]), key=lambda line: -abs(line["truth"] - line["answer"]))
    text = page(runs["regression"]).text
    assert text.index(errors[0]["where"]) < text.index(errors[1]["where"]) < text.index(errors[2]["where"])


def test_scores_settings_and_command(runs: dict[str, Path]) -> None:
    found = page(runs["two labels"])
    assert "accuracy0.90250.8754 to 0.9205" in found.text
    assert "--train train.tsv --eval dev.tsv --out sst2" in found.text
    settings, versions = found.tables["settings"]
    assert ["lr", "5e-05"] in settings and ["class_weights", "none"] in settings
    assert ["torch", "2.13.0"] in versions and ["processor", "AMD EPYC, 2 cores"] in versions
    rows = found.tables["lengths"][0]
    assert [row[0] for row in rows] == [
        "tokens",
        "0 to 7",
        "8 to 15",
        "16 to 31",
        "32 to 63",
        "64 to 127",
        "128 to 255",
        "256 to 511",
    ]
    facts = json.loads((runs["two labels"] / "run.json").read_text())
    assert [int(row[2]) for row in rows[1:]] == facts["data"]["eval"]["lengths"][:-1]
    assert found.tables["data"][0][1] == ["train", "train.tsv", "6,920", "3", "186,840"]
    assert [int(row[0]) for row in found.tables["curves"][0][1:]] == [210, 420, 630]


def test_without_matplotlib_all_numbers_are_in_tables(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for kind, folder in runs.items():
        plain = finished_runs.write(tmp_path / kind, kind)
        write_report(plain)
        found = page(plain)
        assert not found.errors and "svg" not in found.tags and not (plain / "report").exists()
        assert 'pip install "bertkit[train]"' in found.text
        assert found.tables == page(folder).tables


def test_a_resumed_run_repeats_steps(tmp_path: Path) -> None:
    """The last line of a step counts, and the incomplete line of a killed process is skipped."""
    finished_runs.write(tmp_path, "two labels")
    losses = [(10, 0.9), (20, 0.8), (30, 99.0), (20, 0.75), (30, float("nan"))]
    text = "".join(json.dumps({"event": "step", "step": step, "loss": loss}) + "\n" for step, loss in losses)
    (tmp_path / "metrics.jsonl").write_text(text + '{"event": "step", "st')
    write_report(tmp_path)
    assert page(tmp_path).tables["curves"][0][1:] == [["10", "–", "0.9000"], ["20", "–", "0.7500"], ["30", "–", "–"]]


def test_a_run_without_evaluation(tmp_path: Path) -> None:
    finished_runs.write(tmp_path, "two labels", scores={"accuracy": 0.5})
    facts = {"task": "text-classification", "model": "bert", "scores": {}, "data": {}, "settings": {}}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    (tmp_path / "predictions.jsonl").unlink()
    (tmp_path / "metrics.jsonl").unlink()
    write_report(tmp_path)
    assert "No scores: the run had no evaluation file." in page(tmp_path).text
    assert not page(tmp_path).errors


@pytest.mark.parametrize("kind", finished_runs.KINDS)
def test_a_run_of_one_step_and_one_example(tmp_path: Path, kind: str) -> None:
    """Neither a loss that is not finite nor a single point, label or length is an error or a warning of matplotlib."""
    data = {"train": {"lengths": [1], "edges": [0, 8]}, "eval": None}
    finished_runs.write(tmp_path, kind, labels=["only"], scores={"f1": float("nan")}, data=data, seconds=float("nan"))
    first = finished_runs.KINDS[kind](np.random.default_rng(0))[1][0]
    finished_runs.write_lines(tmp_path / "predictions.jsonl", [first | {"score": float("nan")}])
    logged = [{"event": event, "step": 1, "loss": float("inf"), "f1": float("nan")} for event in ("step", "eval")]
    finished_runs.write_lines(tmp_path / "metrics.jsonl", logged)
    write_report(tmp_path)
    assert not page(tmp_path).errors
    assert (tmp_path / "report" / "loss.png").exists()


def test_long_texts_are_folded_and_bounded(tmp_path: Path) -> None:
    finished_runs.write(tmp_path, "two labels")
    line = {"input": "word " * 100_000, "truth": "a", "answer": "b", "score": 0.9, "correct": False, "where": "line 2"}
    finished_runs.write_lines(tmp_path / "predictions.jsonl", [line])
    write_report(tmp_path)
    text = page(tmp_path).text
    assert "(480,000 more characters)" in text and "details" in page(tmp_path).tags
    assert len(text) < 60_000


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run.json does not exist: pass the output folder of bertkit finetune"):
        write_report(tmp_path)
    finished_runs.write(tmp_path, "two labels")
    (tmp_path / "predictions.jsonl").write_text("{}\nnot json\n{}\n")
    with pytest.raises(DataError, match=r"Line 2 of .*predictions.jsonl is not valid JSON"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(DataError, match="not a JSON object"):
        write_report(tmp_path)
