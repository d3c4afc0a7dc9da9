"""`Pipeline.map`: streams in constant memory, files, interruptions."""

from __future__ import annotations

import gc
import itertools
import json
import os
import shutil
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_cases
import pytest
from pipeline_cases import SENTENCES
from pipeline_models import folder, ours

from bertkit import Pipeline, pipeline
from bertkit.cli import main
from bertkit.errors import DataError, UsageError
from bertkit.tasks.embedding import write_mean
from bertkit.text.tokenizer import BertTokenizerFast


@pytest.fixture
def embed() -> Pipeline:
    return pipeline("feature-extraction", folder("plain"), engine="numpy", pooling="mean")


def some(count: int) -> list[str]:
    return [" ".join(SENTENCES[n % 48].split()[: 1 + n % 4]) for n in range(count)]


def test_a_stream_has_the_answers_of_a_call() -> None:
    classify = ours("text-classification", "five")
    texts = some(1100)
    stream = classify.map(iter(texts), top_k=2)
    assert isinstance(stream, Iterator)
    assert list(stream) == list(classify(iter(texts), top_k=2))
    found = list(classify.map(["a", 5, "b"], errors="return"))
    assert isinstance(found[1], UsageError) and [isinstance(one, dict) for one in found] == [True, False, True]


def test_an_endless_stream_is_read_a_little_ahead() -> None:
    taken = itertools.count()
    stream = ours("text-classification", "five").map(SENTENCES[number % 48] for number in taken)
    assert len(list(itertools.islice(stream, 600))) == 600
    stream.close()
    assert next(taken) <= 4 * 512


def test_memory_does_not_grow(embed: Pipeline, tmp_path: Path) -> None:
    peaks = []
    for count in (2000, 8000):
        tracemalloc.start()
        embed.map(iter(some(48) * (count // 48)), tmp_path / f"{count}.npy")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        gc.collect()
    assert peaks[1] < peaks[0] + 500_000, peaks


@pytest.mark.parametrize("name", ["out.npy", "out.parquet", "out.jsonl"])
def test_a_file_is_that_of_the_command(name: str, embed: Pipeline, tmp_path: Path) -> None:
    texts = some(700)
    report = embed.map(iter(texts), tmp_path / name, output_dtype="int8", normalize=True)
    assert (report.examples, report.cut) == (700, 0) and report.tokens > 700
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    words = ["embed", "--engine", "numpy", "--model", str(folder("plain")), "--output-dtype", "int8"]
    by_command = tmp_path / f"command-{name}"
    assert main([*words, "--input", str(tmp_path / "in.jsonl"), "--output", str(by_command)]) == 0
    assert (tmp_path / name).read_bytes() == by_command.read_bytes()


def test_an_interrupted_job_is_resumed(embed: Pipeline, tmp_path: Path) -> None:
    texts, whole, out = some(2000), tmp_path / "whole.npy", tmp_path / "out.npy"
    embed.map(texts, whole)

    def fails() -> Iterator[str]:
        yield from texts[:1200]
        raise DataError("The connection is lost.")

    with pytest.raises(DataError, match="The connection is lost"):
        embed.map(fails(), out)
    part = tmp_path / "out.npy.part"
    assert b"\n# 1024 " in part.read_bytes() and not out.exists()
    with pytest.raises(UsageError, match="type resume=True to continue it, or type overwrite=True to start again"):
        embed.map(texts, out)
    with pytest.raises(UsageError, match="has results of other inputs: the first 1,024 rows changed"):
        embed.map(["x", *texts[1:]], out, resume=True)
    with pytest.raises(UsageError, match="normalize was null and is now true. Leave normalize out, or type overwrite"):
        embed.map(texts, out, resume=True, normalize=True)
    assert embed.map(iter(texts), out, resume=True).examples == 2000
    assert out.read_bytes() == whole.read_bytes() and not part.exists()
    with pytest.raises(UsageError, match="is complete, so that there is nothing to resume: type overwrite=True"):
        embed.map(texts, out, resume=True)
    embed.map(texts[:9], out, overwrite=True)
    assert np.load(out).shape == (9, 16)


def interrupted(pipe: Pipeline, texts: list[str], out: Path, **options: Any) -> None:
    """Begin a job that ends with an exception after two chunks."""

    def fails() -> Iterator[Any]:
        yield from texts[:1100]
        raise DataError("The connection is lost.")

    with pytest.raises(DataError, match="The connection is lost"):
        pipe.map(fails(), out, **options)


@pytest.mark.parametrize(
    "setting",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"model_max_length": 7},
        {"truncation_side": "left"},
        {"additional_special_tokens": ["river"]},
        {"compat": "google"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_another_tokenizer_is_another_run(setting: dict[str, Any], tmp_path: Path) -> None:
    """Also one with the same vocabulary."""
    words, texts = pipeline_cases.vocabulary(), some(2000)

    def opened(**changed: Any) -> Pipeline:
        settings = {"strip_accents": True, "model_max_length": pipeline_cases.LENGTH, **changed}
        tokenizer = BertTokenizerFast(words, **settings)
        return pipeline("feature-extraction", folder("plain"), tokenizer=tokenizer, engine="numpy", pooling="mean")

    interrupted(opened(), texts, tmp_path / "out.npy")
    with pytest.raises(UsageError, match=r"the tokenizer changed since. Pass the earlier one to continue that run, or"):
        opened(**setting).map(texts, tmp_path / "out.npy", resume=True)
    assert opened().map(texts, tmp_path / "out.npy", resume=True).examples == 2000


def test_another_pooling_in_the_files_is_another_run(tmp_path: Path) -> None:
    model = Path(shutil.copytree(folder("plain"), tmp_path / "model"))
    texts, out = some(2000), tmp_path / "out.npy"

    def opened(mode: str) -> Pipeline:
        write_mean(model, 16, 64)
        (model / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
        return pipeline("feature-extraction", model, engine="numpy", pooling="auto")

    interrupted(opened("mean"), texts, out)
    with pytest.raises(UsageError, match="the pooling in the model's files changed since"):
        opened("cls").map(texts, out, resume=True)
    assert opened("mean").map(texts, out, resume=True).examples == 2000


def test_weights_in_a_folder_of_the_model_are_compared(tmp_path: Path) -> None:
    """As older models of sentence-transformers have them."""
    inner = Path(shutil.copytree(folder("plain"), tmp_path / "model" / "0_BERT"))
    write_mean(tmp_path / "model", 16, 64)
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    modules[0]["path"] = "0_BERT"
    (tmp_path / "model" / "modules.json").write_text(json.dumps(modules))
    embed = pipeline("feature-extraction", tmp_path / "model", engine="numpy", pooling="auto")
    interrupted(embed, some(2000), tmp_path / "out.npy")
    os.utime(inner / "model.safetensors", (1, 1))
    with pytest.raises(UsageError, match="model.safetensors of the model changed since. Restore the earlier files"):
        embed.map(some(2000), tmp_path / "out.npy", resume=True)


def test_errors_that_are_results_are_not_lost(tmp_path: Path) -> None:
    """`errors="raise"` accepts results without errors, and none with errors."""
    fill, out = pipeline("fill-mask", folder("masked"), engine="numpy", top_k=1), tmp_path / "out.jsonl"
    texts = [f"{text} [MASK]" for text in some(2000)]
    interrupted(fill, ["none", *texts], out, errors="return")
    with pytest.raises(
        UsageError, match='has the errors of 1 invalid examples, .*: type errors="return", or type over'
    ):
        fill.map(["none", *texts], out, resume=True)
    assert fill.map(["none", *texts], out, resume=True, errors="return").examples == 2001
    interrupted(fill, texts, out, overwrite=True)
    assert fill.map([*texts, "none"], out, resume=True, errors="return").examples == 2001
    assert list(json.loads(out.read_text().splitlines()[-1])) == ["error"]


def test_errors_of_examples_are_results_or_raised(tmp_path: Path) -> None:
    fill = ours("fill-mask", "masked")
    with pytest.raises(UsageError, match=r"^Number 1 of the inputs: "):
        fill.map(["a [MASK]", "none"], tmp_path / "out.jsonl")
    assert not list(tmp_path.iterdir())
    fill.map(["a [MASK]", "none"], tmp_path / "out.jsonl", errors="return", top_k=1)
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert list(found[1]) == ["error"] and len(found[0]) == 1


def test_long_texts_are_counted(embed: Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert embed.map(["the river " * 500, "a"], tmp_path / "out.jsonl").cut == 1
    assert "1 of 2 texts are longer than a row takes" in caplog.text


def test_counts_are_those_of_all_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also of a run that was interrupted."""
    embed, out = pipeline("feature-extraction", folder("plain"), engine="numpy", pooling="mean"), tmp_path / "out.npy"
    texts = ["the river " * 50, *some(1200), "the river " * 50]
    whole = embed.map(texts, tmp_path / "whole.npy")
    interrupted(embed, texts, out)
    caplog.clear()
    assert embed.map(texts, out, resume=True) == whole and whole.cut == 2
    assert "2 of 1,202 texts are longer than a row takes" in caplog.text


def test_a_refused_job_draws_no_bar(embed: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.npy").write_bytes(b"")
    with pytest.raises(UsageError, match="exists"):
        embed.map(["a"], tmp_path / "out.npy", progress=True)
    embed.map(["a"], progress=True)
    assert capsys.readouterr().err == ""
    embed.map(["a"], tmp_path / "out.npy", progress=True, overwrite=True)
    assert "1/1" in capsys.readouterr().err


def test_the_first_answers_of_a_slow_stream_come_at_once() -> None:
    answered: list[Any] = []

    def texts() -> Iterator[str]:
        yield "a"
        yield from ("b", "c")
        until = time.monotonic() + 60
        while not answered and time.monotonic() < until:
            time.sleep(0.01)
        yield "d"

    began = time.monotonic()
    for answer in ours("text-classification", "five").map(texts()):
        answered.append(answer)
    assert len(answered) == 4 and time.monotonic() - began < 50


def test_a_model_that_is_an_object_cannot_resume(tmp_path: Path) -> None:
    classify = ours("text-classification", "five")
    classify.map(["a"], tmp_path / "out.jsonl")
    with pytest.raises(UsageError, match="opened by the name of a model can resume a job"):
        classify.map(["a"], tmp_path / "b.jsonl", resume=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"examples": "a text"}, "is one example: pass a list or a stream"),
        ({"examples": {"text": "a"}}, "is one example"),
        ({"resume": True}, 'is for a file: type output="FILE", too'),
        ({"output_dtype": "int8"}, 'is for a file: type output="FILE", too'),
        ({"output": "a.npy", "pooling": None}, "is for one vector of each text"),
        (
            {"output": "a.json", "pooling": None, "output_dtype": "int8"},
            'output_dtype="int8" needs one vector for each text',
        ),
        ({"output": "a.json", "resume": True, "overwrite": True}, "resume=True keeps the results that overwrite=True"),
        ({"output": "a.json", "return_tensors": True}, "return_tensors has no effect on a file"),
        ({"output": "a.npy", "details": True}, "has only vectors"),
    ],
)
def test_what_is_refused(
    arguments: dict[str, Any], sentence: str, embed: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=sentence):
        embed.map(**{"examples": ["a"], **arguments})
    assert not list(tmp_path.iterdir())
