"""How much there is to read for one who follows the library's main calls: what a person can hold in the head."""

from __future__ import annotations

from pathlib import Path

import pipeline_models
import pytest
import tiny
import torch
import torch_models
from pipeline_models import folder
from reading_path import passed_through

import bertkit
from bertkit import BertConfig, load_checkpoint, locate, save_checkpoint
from bertkit.cli import main


def test_what_is_counted() -> None:
    path = passed_through(lambda: BertConfig(num_labels=3).num_labels)
    assert [(file, name.rpartition(".")[2]) for file, name in path] == [
        ("config/bert.py", "__init__"),
        ("config/bert.py", "_check_names"),
        ("config/bert.py", "_assign"),
        ("config/rules.py", "read_labels"),
        ("config/bert.py", "validate"),
        ("config/rules.py", "check"),
        ("config/rules.py", "_of_shape"),
        ("config/rules.py", "_of_tokens"),
        ("config/rules.py", "_of_labels"),
        ("config/bert.py", "num_labels"),
    ]


def test_reading_a_checkpoint(tmp_path: Path) -> None:
    """A folder with config.json and model.safetensors, for the class that it was saved from: 41 functions in 11 files."""
    config = tiny.config()
    save_checkpoint(tmp_path, tiny.weights(config, "ForMaskedLM"), config, "ForMaskedLM")

    def load() -> None:
        place = locate(tmp_path)
        _, report = load_checkpoint(place, "ForMaskedLM", config=BertConfig.from_pretrained(place))
        assert len(report.loaded) == 42

    path = passed_through(load)
    assert len(path) <= 41, path
    assert len({file for file, _ in path}) <= 11, path


@pytest.mark.parametrize("name", torch_models.CLASSES)
def test_forward_with_loss(name: str) -> None:
    """Of a padded batch: 23 functions in 4 files."""
    model = torch_models.ours(name).train()
    ids, mask = torch_models.batch()
    words, of_rows = (ids % 3).masked_fill(mask == 0, -100), torch.tensor([0, 1, 1, 0, 1])
    labels = {
        "BertModel": {},
        "BertForPreTraining": {"labels": words, "next_sentence_label": of_rows},
        "BertForMultipleChoice": {"labels": torch.tensor([1])},
        "BertForNextSentencePrediction": {"labels": of_rows},
        "BertForSequenceClassification": {"labels": of_rows},
        "BertForQuestionAnswering": {"start_positions": of_rows, "end_positions": of_rows + 1},
    }.get(name, {"labels": words})
    if name == "BertForMultipleChoice":
        ids, mask = ids[None], mask[None]
    path = passed_through(lambda: model(ids, mask, **labels))
    assert len(path) <= 23, path
    assert len({file for file, _ in path}) <= 4, path


@pytest.mark.parametrize("name", torch_models.CLASSES)
def test_from_pretrained(name: str, tmp_path: Path) -> None:
    """Of a folder that the class was saved to: 57 functions in 16 files."""
    torch_models.ours(name).save_pretrained(tmp_path)
    path = passed_through(lambda: getattr(bertkit, name).from_pretrained(tmp_path))
    assert len(path) <= 57, path
    assert len({file for file, _ in path}) <= 16, path


def test_tokenizing_a_batch() -> None:
    """A list of texts, padded and cut: 36 functions in 9 files."""
    tokenizer = pipeline_models.tokenizer()
    path = passed_through(lambda: tokenizer(["the end of it", "and another one"], padding=True, truncation=True))
    assert len(path) <= 36, path
    assert len({file for file, _ in path}) <= 9, path


def test_tokenizing_for_fill_mask() -> None:
    """A warm answer passes 30 functions of the tokenizer in 5 files."""
    pipe = pipeline_models.ours("fill-mask", "masked", "torch")
    path = [(file, name) for file, name in passed_through(lambda: pipe("the [MASK] of it")) if file.startswith("text/")]
    assert len(path) <= 30, path
    assert len({file for file, _ in path}) <= 5, path


def test_opening_a_tokenizer(tmp_path: Path) -> None:
    """A folder that a tokenizer was saved to, up to the first text: 60 functions; up to the engine in 10 files."""
    pipeline_models.tokenizer().save_pretrained(tmp_path)
    path = passed_through(lambda: bertkit.BertTokenizerFast.from_pretrained(tmp_path)("the end"))
    assert len(path) <= 60, path
    path = passed_through(lambda: bertkit.BertTokenizerFast.from_pretrained(tmp_path).engine)
    assert len({file for file, _ in path}) <= 10, path


def test_an_answer() -> None:
    """Of a pipeline that has answered before: 103 functions in 19 files."""
    pipe = bertkit.pipeline("fill-mask", folder("masked"), engine="torch", device="cpu")
    path = passed_through(lambda: pipe("The [MASK] of it."))
    assert len(path) <= 103, path
    assert len({file for file, _ in path}) <= 19, path


def test_the_answer_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """From the words of the command line to a line of JSON, files and tokenizer included: 241 functions in 47 files."""
    words = ["fill-mask", "The [MASK] of it.", "--model", str(folder("masked"))]
    path = passed_through(lambda: main(words))
    assert "token_str" in capsys.readouterr().out
    assert len(path) <= 241, path
    assert len({file for file, _ in path}) <= 47, path
