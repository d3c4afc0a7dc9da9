"""AutoTokenizer loads BERT's tokenizers and refuses others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertkit.errors import HubError, TokenizerError, UsageError
from bertkit.text.auto import AutoTokenizer
from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast

VOCABULARY = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nHello\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "vocab.txt").write_text(VOCABULARY, encoding="utf-8")
    (tmp_path / "sub" / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 20}))
    return tmp_path


def test_use_fast_chooses_the_class(folder: Path) -> None:
    assert type(AutoTokenizer.from_pretrained(folder / "sub")) is BertTokenizerFast
    assert type(AutoTokenizer.from_pretrained(folder, subfolder="sub", use_fast=False)) is BertTokenizer


def test_settings(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(folder / "sub"), do_lower_case=False, model_max_length=10)
    assert tokenizer("Hello")["input_ids"] == [2, 6, 3]
    assert tokenizer.model_max_length == 10
    assert AutoTokenizer.from_pretrained(folder / "sub").model_max_length == 20


def test_unsupported_arguments_and_models(folder: Path) -> None:
    with pytest.raises(UsageError, match="never runs code"):
        AutoTokenizer.from_pretrained(folder / "sub", trust_remote_code=True)
    with pytest.raises(UsageError, match="do_lower_case"):
        AutoTokenizer.from_pretrained(folder / "sub", do_lowercase=True)  # type: ignore[call-arg]
    with pytest.raises(HubError, match="no tokenizer.json or vocab.txt"):
        AutoTokenizer.from_pretrained(folder)
    (folder / "sub" / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(TokenizerError, match="belongs to a model of type 'roberta'"):
        AutoTokenizer.from_pretrained(folder / "sub")


def test_saved_by_one_class_and_loaded_by_the_other(folder: Path) -> None:
    slow = AutoTokenizer.from_pretrained(folder / "sub", use_fast=False)
    slow.add_tokens(["[ENT]"])
    slow.save_pretrained(folder / "saved")
    fast = AutoTokenizer.from_pretrained(folder / "saved")
    assert fast("hello [ENT]")["input_ids"] == slow("hello [ENT]")["input_ids"] == [2, 5, 7, 3]
    assert fast.model_max_length == 20
