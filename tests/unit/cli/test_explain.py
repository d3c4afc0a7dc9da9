"""`bertkit explain`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pipeline_models
import pytest
from terminal import command

from bertkit import explain
from bertkit.cli import COMMANDS, main

MODEL = str(pipeline_models.folder("two"))


def test_the_command_prints_and_writes_the_views(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    words = ["attribution", "What a film!", "--target", "GOOD", "--steps", "4", "--model", MODEL]
    assert main(["explain", *words, "--html", str(page), "--png", str(picture)]) == 0
    found = explain.attribution(MODEL, "What a film!", target="GOOD", steps=4)
    output = capsys.readouterr()
    assert output.out == f"{found}\n" and page.read_text("utf-8") == found.html()
    assert (
        picture.read_bytes().startswith(b"\x89PNG")
        and f"wrote {page}" in output.err
        and f"wrote {picture}" in output.err
    )


def test_texts_from_stdin() -> None:
    words = command(["explain", "mask", "--model", MODEL])
    run = subprocess.run(words, input="The soup was cold.\nAnna moved.\n", capture_output=True, text=True, check=True)
    assert run.stdout == f"{explain.mask(MODEL, ['The soup was cold.', 'Anna moved.'])}\n"


@pytest.mark.parametrize("kind", ["tokens", "mask", "attention", "attribution", "embeddings"])
def test_the_built_in_model_is_the_default(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["The [MASK] rose.", "Rain fell."][: 1 + (kind in ("mask", "embeddings"))]
    assert main(["explain", kind, *texts]) == 0
    found = capsys.readouterr().out
    assert main(["explain", kind, *texts, "--model", "builtin:english"]) == 0
    assert found == capsys.readouterr().out and "[MASK]" in found


def test_kinds_and_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kinds = [name for name in COMMANDS if name.startswith("explain ")]
    assert len(kinds) == 6
    for words, code in ((["explain"], 2), (["explain", "--help"], 0)):
        assert main(words) == code
        page = capsys.readouterr().out
        assert page.startswith("usage: bertkit explain KIND ...") and all(kind in page for kind in kinds)
        assert "fill-mask" not in page and "--version" not in page
    for words, sentence in (
        (["atention"], "Unknown command 'explain atention': choose one of explain tokens, "),
        (["atention"], "Did you mean 'explain attention'?"),
        (["tokens", "a", "--model", MODEL, "--html", str(tmp_path / "no" / "a.html")], "does not exist. Create it"),
        (["attribution", "a", "--model", MODEL, "--steps", "0"], "--steps"),
        (
            ["attention", "a", "--model", MODEL, "--layer", "7"],
            "the model has layers 0 to 1. Type for example --layer 0.",
        ),
        (["tokens", " "], "Text 1 of 1 is empty: type a text in quotes"),
        (["attention", "a", "--pair", ""], "Text 2 of 2 is empty: type a text in quotes"),
        (["embeddings"], "There are no texts: type each in quotes, or pipe texts into the command"),
        (["training", __file__], "run.json does not exist: pass the output folder of bertkit finetune or pretrain"),
    ):
        assert main(["explain", *words]) == 2
        assert sentence in capsys.readouterr().err
