"""`bertkit prepare` and `bertkit inspect` of shards."""

from __future__ import annotations

import json
from pathlib import Path

import corpora
import pytest

from bertkit.cli import main


def test_prepare_and_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = corpora.write(tmp_path / "a.txt", corpora.documents(20))
    corpora.tokenizer().save_pretrained(tmp_path / "tokenizer")
    words = ["prepare", str(source), "--tokenizer", str(tmp_path / "tokenizer"), "--out", str(tmp_path / "shards")]
    assert main([*words, "--processes", "1", "--sentence-per-line"]) == 0
    assert "20 documents" in capsys.readouterr().out
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "shards")]) == 0
    page = capsys.readouterr().out
    assert "documents" in page and "checksums correct" in page
    assert f"  {corpora.documents(20)[0][1].replace(' .', '.')}" in page
    assert main(["inspect", str(tmp_path / "shards"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    lengths = [len(document) for document in corpora.documents(20)]
    assert found["documents"] == 20 and found["sentences"] == sum(lengths)
    assert found["sentences_per_document"]["longest"] == max(lengths)
    assert main(["inspect", str(tmp_path / "shards"), "--prefix", "bert."]) == 2
    assert "has shards, and --prefix is for a checkpoint: leave it out." in capsys.readouterr().err


def test_wrong_numbers_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpora.tokenizer().save_pretrained(tmp_path / "tokenizer")
    words = ["--tokenizer", str(tmp_path / "tokenizer"), "--out", str(tmp_path / "shards")]
    assert main(["prepare", str(tmp_path / "none.txt"), *words]) == 2
    assert "There is no file" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "tokenizer" / "vocab.txt"), *words, "--processes", "0"]) == 2
    assert "--processes 0 is invalid" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "tokenizer" / "vocab.txt"), *words, "--shard-tokens", "1"]) == 2
    assert "between 1,000 and" in capsys.readouterr().err
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "partial.json").write_text("{}")
    assert main(["inspect", str(tmp_path / "shards")]) == 2
    assert "has unfinished shards" in capsys.readouterr().err
