"""`bertkit generate` and `bertkit summarize`: the answers of the pipelines, files, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pipeline_models
import pytest
import writing_cases
from pipeline_cases import SENTENCES

from bertkit.cli import main
from bertkit.pipelines import pipeline

DECODER = str(pipeline_models.folder("decoder"))
FP32 = ["--device", "cpu", "--precision", "fp32"]


def printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[Any]:
    assert main([*words, "--json", *FP32]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_generate(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "The sea", "Rain", "--model", DECODER, "--max-new-tokens", "5"]
    pipe = pipeline("text-generation", DECODER, device="cpu", precision="fp32")
    assert printed(words, capsys) == pipe(["The sea", "Rain"], max_new_tokens=5, seed=0)
    further = [
        "--top-p",
        "0.8",
        "--temperature",
        "1.5",
        "--seed",
        "3",
        "--num-return-sequences",
        "2",
        "--no-return-full-text",
    ]
    own = {"top_p": 0.8, "temperature": 1.5, "seed": 3, "num_return_sequences": 2, "return_full_text": False}
    assert printed([*words, *further], capsys) == pipe(["The sea", "Rain"], max_new_tokens=5, **own)
    beams = [
        "--no-do-sample",
        "--num-beams",
        "3",
        "--early-stopping",
        "--no-repeat-ngram-size",
        "2",
        "--prefix",
        "The ",
    ]
    own = {"do_sample": False, "num_beams": 3, "early_stopping": True, "no_repeat_ngram_size": 2, "prefix": "The "}
    assert printed([*words, *beams], capsys) == pipe(["The sea", "Rain"], max_new_tokens=5, **own)


def test_summarize_texts_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, article = str(writing_cases.pair_folder()), tmp_path / "article.txt"
    article.write_text("\n".join(SENTENCES[:9]), encoding="utf-8")
    pipe = pipeline("summarization", place, device="cpu", precision="fp32")
    words = ["--model", place, "--max-length", "6"]
    expected = [pipe(text, max_length=6) for text in ("\n".join(SENTENCES[:9]), SENTENCES[0])]
    assert printed(["summarize", str(article), SENTENCES[0], *words], capsys) == expected
    output = tmp_path / "summaries.csv"
    assert main(["summarize", "--input", str(article), "--output", str(output), *words, *FP32]) == 0
    rows = output.read_text(encoding="utf-8").splitlines()
    assert rows[:2] == ["row,summary_text", f"1,{pipe(SENTENCES[0], max_length=6)[0]['summary_text']}"]
    assert len(rows) == 10


def test_options_of_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompts.txt").write_text("The sea\n", encoding="utf-8")
    words = ["run", "--task", "text-generation", "--input", str(tmp_path / "prompts.txt"), "--model", DECODER]
    options = ["--option", "max_new_tokens=3", "--option", "seed=1", "--option", "bad_words_ids=[[70]]"]
    pipe = pipeline("text-generation", DECODER, device="cpu", precision="fp32")
    expected = pipe(["The sea"], max_new_tokens=3, seed=1, bad_words_ids=[[70]])
    assert printed([*words, *options], capsys) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "x", "--max-new-tokens", "99"], "type --max-new-tokens 32, or less"),
        (["generate", "x", "--engine", "numpy"], "type --engine torch, or leave it out"),
        (["generate", "x", "--stop-sequence", "photosynthesis"], "tokens, and must have one"),
        (["generate", "x", "--top-p", "2"], "top_p is 2.0, and must be a number from 0 to 1"),
        (["summarize", "x"], "summarization needs an EncoderDecoderModel"),
        (["summarize", "x", "--overlap", "2"], "summarization needs an EncoderDecoderModel"),
    ],
)
def test_errors(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--model", DECODER, *FP32]) == 2
    assert message in capsys.readouterr().err


def test_summarize_needs_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summarize", "x"]) == 2
    assert "needs an EncoderDecoderModel: type --model" in capsys.readouterr().err
