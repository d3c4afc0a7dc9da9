"""`bertkit train-tokenizer`: files -> a tokenizer, which does not depend on how the texts are split into files."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bertkit.cli import main

ENGLISH = ["The newest widest tower.", "A lower tower, and the lowest.", "Newer towers are wider."] * 20
KOREAN = ["한국 영화는 재미있다.", "영화를 봤다", "재미있는 한국 영화"] * 20


def write(path: Path, texts: list[str]) -> str:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return str(path)


def vocabulary(directory: Path) -> list[str]:
    return (directory / "vocab.txt").read_text(encoding="utf-8").splitlines()


def test_one_file_or_three_of_any_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "all.txt", ENGLISH)
    first = write(tmp_path / "first.txt", ENGLISH[:10])
    second = write(tmp_path / "second.jsonl", [json.dumps({"text": text}) for text in ENGLISH[10:30]])
    third = tmp_path / "third.txt.gz"
    third.write_bytes(gzip.compress("\n".join(ENGLISH[30:]).encode()))
    assert main(["train-tokenizer", one, "--vocab-size", "50", "--out", str(tmp_path / "a")]) == 0
    assert str(tmp_path / "a" / "vocab.txt") in capsys.readouterr().out
    files = [first, second, str(third)]
    assert main(["train-tokenizer", *files, "--vocab-size", "50", "--out", str(tmp_path / "b")]) == 0
    assert vocabulary(tmp_path / "a") == vocabulary(tmp_path / "b")
    assert len(vocabulary(tmp_path / "a")) == 50
    assert vocabulary(tmp_path / "a")[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_options(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [json.dumps({"body": f"{text} Café"}) for text in ENGLISH])
    words = ["train-tokenizer", file, "--field", "body", "--vocab-size", "100", "--unused", "3", "--out"]
    assert main([*words, str(tmp_path / "uncased")]) == 0
    assert vocabulary(tmp_path / "uncased")[5:8] == ["[unused0]", "[unused1]", "[unused2]"]
    assert "cafe" in vocabulary(tmp_path / "uncased")
    assert main([*words, str(tmp_path / "cased"), "--cased"]) == 0
    assert "Café" in vocabulary(tmp_path / "cased")
    assert main([*words, str(tmp_path / "accents"), "--no-strip-accents"]) == 0
    assert "café" in vocabulary(tmp_path / "accents")
    assert main([*words, str(tmp_path / "rare"), "--min-frequency", "1000"]) == 0
    assert max(len(token.removeprefix("##")) for token in vocabulary(tmp_path / "rare")[8:]) == 1


def test_korean_keeps_accents_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.txt", KOREAN)
    words = ["train-tokenizer", file, "--vocab-size", "60", "--out"]
    assert main([*words, str(tmp_path / "spared")]) == 0
    assert "add --strip-accents" in capsys.readouterr().err.splitlines()[0]
    assert {"영화", "한국"} <= set(vocabulary(tmp_path / "spared"))
    assert main([*words, str(tmp_path / "torn"), "--strip-accents"]) == 0
    assert "add --strip-accents" not in capsys.readouterr().err
    assert not {"영화", "한국"} & set(vocabulary(tmp_path / "torn"))


def test_korean_after_english_keeps_accents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    english, korean = write(tmp_path / "en.txt", ENGLISH * 1000), write(tmp_path / "ko.txt", KOREAN)
    assert main(["train-tokenizer", english, korean, "--vocab-size", "100", "--out", str(tmp_path / "a")]) == 0
    assert "add --strip-accents" in capsys.readouterr().err
    assert "영화" in vocabulary(tmp_path / "a")


def test_a_small_corpus_gives_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.txt", ENGLISH)
    assert main(["train-tokenizer", file, "--out", str(tmp_path / "a")]) == 0
    assert "not the 30,522 of --vocab-size" in capsys.readouterr().err


def test_nothing_is_overwritten_without_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vocab.txt").write_text("precious", encoding="utf-8")
    words = ["train-tokenizer", write(tmp_path / "a.txt", ENGLISH), "--vocab-size", "50", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert vocabulary(tmp_path) == ["precious"]
    assert main([*words, "--overwrite"]) == 0
    assert len(vocabulary(tmp_path)) == 50


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "required: FILES, --out"),
        (["none.txt", "--out", "o"], "There is no file none.txt"),
        (["empty.txt", "--out", "o"], "no words"),
        (["a.txt", "--out", "a.txt"], "is a file, not a directory"),
        (["a.txt", "--out", "o", "--vocab-size", "3"], "no room"),
        (["a.txt", "--out", "o", "--vocab-size", "2000000"], "--vocab-size 2000000 is above the 1,048,576 pieces"),
        (["a.txt", "--out", "o", "--field", "body"], "--field body has no effect on plain text"),
        (["a.txt", "--out", "o", "--limit-alphabet", "0"], "--limit-alphabet 0 leaves no character"),
        (["a.txt", "--out", "o", "--vocab-size", "many"], "invalid int"),
        (["a.txt", "--out", "o", "--unused", "-3"], "--unused=-3 is not an integer of 0 or more: type --unused 100."),
        (["a.txt", "--out", "o", "--min-frequency", "-1"], "--min-frequency=-1 is not an integer of 0 or more"),
    ],
)
def test_invalid_use_is_an_error_of_one_line_and_writes_nothing(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.txt", ENGLISH)
    write(tmp_path / "empty.txt", [""])
    assert main(["train-tokenizer", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_an_invalid_directory_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bertkit.cli.train_tokenizer.train_vocabulary", None)
    file = write(tmp_path / "a.txt", ENGLISH)
    assert main(["train-tokenizer", file, "--out", f"{file}/out"]) == 2
    assert "a.txt/out cannot be written to" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_an_interrupt_ends_it_cleanly(tmp_path: Path) -> None:
    """Standard input is still open, so that the command is surely at work."""
    command = [sys.executable, "-m", "bertkit.cli", "train-tokenizer", "-", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        # More than the buffers of pipe and reader hold: when all is written, the reader is at work.
        process.stdin.write(b"some words of a corpus\n" * 100_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == b"bertkit: stopped. No file is left half-written.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="/dev/fd is POSIX's")
def test_a_pipe_is_read_only_once(tmp_path: Path) -> None:
    """`train-tokenizer <(xz -dc texts.xz)`: its first texts are not lost to the choice of the rules."""
    file = write(tmp_path / "a.txt", ENGLISH)
    words = ["train-tokenizer", "--vocab-size", "50", "--out"]
    assert main([*words, str(tmp_path / "file"), file]) == 0
    output, source = os.pipe()
    with subprocess.Popen(["cat", file], stdout=source):
        os.close(source)
        assert main([*words, str(tmp_path / "pipe"), f"/dev/fd/{output}"]) == 0
        os.close(output)
    assert vocabulary(tmp_path / "pipe") == vocabulary(tmp_path / "file")
