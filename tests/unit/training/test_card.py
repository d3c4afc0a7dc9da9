"""The model card of a fine-tuned model, read back with huggingface_hub. Its code is executed on tiny models."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import finished_runs
import pipeline_models
import pytest
from finished_runs import HOSTILE
from huggingface_hub import ModelCard
from transformers import AutoModelForMultipleChoice

from bertkit.training.card import write_card

TASKS = {
    "text-classification": ("two labels", "two"),
    "token-classification": ("entities", "names"),
    "question-answering": ("questions", "answers"),
    "multiple-choice": ("choices", "choices"),
    "next-sentence": ("two labels", "order"),
    "sentence-embedding": ("sentence embedding", "plain"),
}


@pytest.mark.parametrize("kind", finished_runs.KINDS)
def test_the_hub_reads_the_metadata(tmp_path: Path, kind: str) -> None:
    folder = finished_runs.write(tmp_path / "model", kind)
    data = ModelCard.load(write_card(folder)).data
    facts = json.loads((folder / "run.json").read_text())
    assert {result.metric_name: result.metric_value for result in data.eval_results} == facts["scores"]
    assert {result.dataset_name for result in data.eval_results} == {"eval.tsv"}
    assert data.language is None and data.license is None
    assert data.model_name == "model" and facts["task"] in data.tags
    assert data.base_model == (None if kind == "hostile labels" else "sentence-transformers/all-MiniLM-L6-v2")


def test_names_of_the_hub(tmp_path: Path) -> None:
    data = ModelCard.load(write_card(finished_runs.write(tmp_path, "regression"))).data
    assert data.pipeline_tag == "text-classification" and data.library_name == "transformers"
    assert data.metrics == ["mae", "mse", "pearsonr", "spearmanr"]
    data = ModelCard.load(write_card(finished_runs.write(tmp_path, "sentence embedding"))).data
    assert data.pipeline_tag == "sentence-similarity" and data.library_name == "sentence-transformers"
    data = ModelCard.load(write_card(finished_runs.write(tmp_path, "two labels", task="next-sentence"))).data
    assert data.pipeline_tag is None


def test_scores_data_settings_and_limits(tmp_path: Path) -> None:
    text = write_card(finished_runs.write(tmp_path, "several labels")).read_text("utf-8")
    assert "| `f1` | 0.7712 | 0.7481 to 0.7866 |" in text
    assert "| train | `train.tsv` | 6,920 | 3 | 186,840 |" in text
    assert "| `lr` | `5e-05` |" in text
    assert "- The scores are from 400 examples." in text
    assert "bertkit applies them" in text
    text = write_card(finished_runs.write(tmp_path, "two labels", scores={})).read_text("utf-8")
    assert "The model was not evaluated" in text and "model-index" not in text


def test_folders_of_this_computer_are_not_published(tmp_path: Path) -> None:
    settings = {"train": "/home/ada/secret/train.tsv", "out": r"C:\secret\out", "note": "a|b"}
    data = {"eval": {"name": "/home/ada/secret/dev.tsv", "examples": 5}}
    folder = finished_runs.write(tmp_path, "two labels", model="/home/ada/secret/minilm", settings=settings, data=data)
    text = write_card(folder).read_text("utf-8")
    assert "secret" not in text and "ada" not in text
    assert "`train.tsv`" in text and "`out`" in text and "`dev.tsv`" in text and "`minilm`" in text
    assert "| `note` | `a\\|b` |" in text


def test_hostile_data_is_shown_as_text(tmp_path: Path) -> None:
    text = write_card(finished_runs.write(tmp_path, "hostile labels")).read_text("utf-8")
    body = text.split("\n---\n", 1)[1]
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", body)
    assert "<" not in outside
    assert f"`{HOSTILE}`" in body


@pytest.mark.parametrize("task", TASKS)
def test_the_code_of_the_card_runs(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, model = TASKS[task]
    shutil.copytree(pipeline_models.folder(model), tmp_path / "it's a model")
    folder = finished_runs.write(tmp_path / "it's a model", kind, task=task)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)\n```", write_card(folder).read_text("utf-8"), re.S)
    assert [len(block.splitlines()) for block in blocks] == [3, 3]
    exec(blocks[0], {})
    assert len(capsys.readouterr().out) > 5
    names: dict[str, object] = {}
    exec(blocks[1], names)
    if task == "multiple-choice":
        assert isinstance(names["model"], AutoModelForMultipleChoice._model_mapping[type(names["model"].config)])  # type: ignore[attr-defined]
