"""Pipelines of all tasks: streams and their order, invalid examples, models that do not fit, messages about long texts."""

from __future__ import annotations

import io
import json
import logging
import random
import tracemalloc
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_cases import SENTENCES
from pipeline_models import engine, ours, tokenizer
from pipeline_models import folder as folder_of

import bertkit
from bertkit.config import BertConfig
from bertkit.errors import BertkitError, HubError, UsageError
from bertkit.heads import tasks_of
from bertkit.pipelines import Pipeline, pipeline
from bertkit.tasks import ALIASES, TASKS, task_class

LONG = "the river " * 5000
CALLS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "fill-mask": ("masked", LONG + "[MASK]", {}),
    "text-classification": ("five", LONG, {}),
    "token-classification": ("names", LONG, {}),
    "question-answering": ("answers", {"question": "Who?", "context": LONG}, {}),
    "zero-shot-classification": ("follows", LONG, {"candidate_labels": ["food", "law"]}),
    "multiple-choice": ("choices", {"text": LONG, "choices": ["a", "b"]}, {}),
    "next-sentence-prediction": ("order", {"text": LONG, "text_pair": "a"}, {}),
    "feature-extraction": ("plain", LONG, {"pooling": "mean"}),
    "sentence-similarity": ("plain", {"source_sentence": LONG, "sentences": [LONG, "a"]}, {}),
    "sentence-embedding": ("plain", {"text": LONG, "text_pair": LONG, "negative": "a"}, {}),
    "sentence-scoring": ("masked", LONG[:2000], {}),
    "pretraining": ("joint", {"text": LONG, "text_pair": "a"}, {}),
}


SHORTER: dict[str, Any] = {
    "question-answering": {"question": "Who?", "context": "a"},
    "multiple-choice": {"text": "a", "choices": ["a", "b"]},
    "next-sentence-prediction": {"text": "a", "text_pair": "a"},
    "sentence-similarity": {"source_sentence": "a", "sentences": ["a"]},
    "sentence-embedding": {"text": "a", "text_pair": "a"},
    "pretraining": {"text": "a", "text_pair": "a"},
}


def texts(number: int = 40) -> list[str]:
    rng = random.Random(number)
    return [" ".join(rng.sample(SENTENCES, rng.randint(1, 3))) for _ in range(number)]


def alike(first: Any, second: Any) -> bool:
    """Whether two answers are equal except for rounding."""
    if isinstance(first, float):
        return first == pytest.approx(second, abs=1e-5)
    if isinstance(first, dict):
        return list(first) == list(second) and all(alike(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(alike, first, second))
    return bool(first == second)


def test_every_task_has_a_long_text() -> None:
    """Below, or in tests/unit/test_pipelines_writing.py, for the tasks that write."""
    assert {*TASKS} - CALLS.keys() == {"text-generation", "summarization", "text2text-generation"}


@pytest.mark.parametrize("task", CALLS)
@pytest.mark.parametrize("on_long", ["truncate", "window"])
def test_no_text_is_too_long(task: str, on_long: str) -> None:
    name, example, options = CALLS[task]
    if task == "fill-mask" and on_long == "truncate":
        example = "[MASK] " + LONG
    found = ours(task, name)(example, on_long=on_long, details=True, **options)
    assert list(found) == ["result", "truncated", "windows", "n_tokens"]
    assert found["n_tokens"] >= 200
    assert found["truncated"] is (on_long == "truncate")
    assert isinstance(json.dumps(found), str)
    with pytest.raises(UsageError, match='^The text has .* type on_long="window"'):
        ours(task, name)(example, on_long="error", **options)
    with pytest.raises(UsageError, match="^Number 1 of the inputs: The text has"):
        ours(task, name)([SHORTER.get(task, "a [MASK]"), example], on_long="error", **options)


def test_each_task_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertkit.hub.place.ASSETS", tmp_path)  # without the built-in model
    for task in [*TASKS, *ALIASES]:
        with pytest.raises(UsageError, match=f"{task_class(task).name} needs .* but no model was passed"):
            pipeline(task)
    with pytest.raises(UsageError, match="needs a task or a model"):
        pipeline()
    with pytest.raises(UsageError, match="A task is a name"):
        pipeline(Path("x"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Did you mean 'fill-mask'"):
        pipeline("fil-mask", "x")


def test_answers_do_not_depend_on_the_other_texts_of_a_list() -> None:
    classify = ours("text-classification", "five")
    some = texts()
    together = classify(some)
    assert alike(together, [classify(text)[0] for text in some])
    assert alike(classify(some, batch_size=1), together)
    assert alike(classify(tuple(some), batch_size=7), together)
    assert classify([]) == []


def test_streams_keep_their_order() -> None:
    classify = ours("text-classification", "five")
    some = texts(1200)
    stream = classify(text for text in some)
    assert isinstance(stream, Iterator)
    assert alike(list(stream), classify(some))


def test_an_endless_stream_is_answered_at_once() -> None:
    taken = count()

    def endless() -> Iterator[str]:
        for number in taken:
            yield SENTENCES[number % len(SENTENCES)]

    stream = ours("text-classification", "five")(endless())
    assert len(list(islice(stream, 1))) == 1
    assert next(taken) <= 2
    assert len(list(islice(stream, 100))) == 100
    assert next(taken) < 300


def test_files_and_tables() -> None:
    classify = ours("text-classification", "five")
    lines = "the river\r\n\nof it\n"
    assert alike(list(classify(io.StringIO(lines))), classify(["the river", "", "of it"]))
    with pytest.raises(UsageError, match="open in binary mode"):
        list(classify(io.BytesIO(b"a\n")))

    class Table:
        """A dataset: rows by number, and a length."""

        def __len__(self) -> int:
            return 3

        def __getitem__(self, row: int) -> dict[str, str]:
            return {"text": SENTENCES[row]}

    assert alike(list(classify(Table())), classify(SENTENCES[:3]))
    assert alike(list(classify(iter([{"text": "a", "text_pair": "b"}]))), [classify({"text": "a", "text_pair": "b"})])


def test_other_examples_are_answered_after_an_invalid_one() -> None:
    fill = ours("fill-mask", "masked")
    some = ["a [MASK]", "no mask", "b [MASK]", 3]
    with pytest.raises(UsageError, match="Number 1 of the inputs: The text has no"):
        fill(some)
    found = fill(some, errors="return")
    assert [isinstance(one, BertkitError) for one in found] == [False, True, False, True]
    assert alike(found[2], fill("b [MASK]"))
    assert isinstance(fill("no mask", errors="return"), UsageError)
    stream = fill(iter(some), errors="return")
    assert len(list(stream)) == 4
    with pytest.raises(UsageError, match="errors='ignore' is invalid: choose one of 'raise', 'return'"):
        fill(some, errors="ignore")


def test_one_warning_counts_the_texts_that_were_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ours("text-classification", "five")([*(["the " * 100] * 3), "the"])
    assert len(caplog.records) == 1
    said = '3 of 4 texts are longer than a row takes, and 114 of their tokens were left out: type on_long="window"'
    assert caplog.records[0].getMessage().startswith(said)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        ours("text-classification", "five")(["the " * 100] * 3, on_long="window")
        list(ours("text-classification", "five")(iter(["the"])))
    assert not caplog.records


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    ours("text-classification", "five")(texts(5), progress=True)
    shown = capsys.readouterr()
    assert "5/5" in shown.err and "tokens" in shown.err and not shown.out


def test_options_of_a_pipeline_are_those_of_every_call() -> None:
    classify = ours("text-classification", "five", top_k=2)
    assert len(classify(["a"])[0]) == 2
    assert len(classify("a", top_k=3)) == 3
    with pytest.raises(UsageError, match="Did you mean 'top_k'"):
        ours("text-classification", "five", topk=2)
    with pytest.raises(UsageError, match="batch_size=0"):
        ours("text-classification", "five", batch_size=0)
    with pytest.raises(UsageError, match="takes one argument"):
        classify()
    assert alike(classify(inputs="a", top_k=2), classify("a", top_k=2))


@pytest.fixture(scope="module")
def folder() -> Path:
    """A folder with a subfolder for each class, which has weights and a tokenizer."""
    for name in ("masked", "five", "plain"):
        path = folder_of(name)
    return path.parent


def test_from_files(folder: Path) -> None:
    fill = bertkit.pipeline(model=folder / "masked", engine="numpy")
    assert isinstance(fill, Pipeline) and fill.task == "fill-mask" and fill.device == "cpu"
    assert alike(fill("The [MASK] of it."), ours("fill-mask", "masked")("The [MASK] of it."))
    assert pipeline(model=str(folder / "five"), engine="numpy").task == "text-classification"
    embed = pipeline("feature-extraction", folder / "masked", engine="numpy")
    assert np.allclose(embed("a"), ours("feature-extraction", "plain")("a"), atol=1e-5)
    own = pipeline(
        "fill-mask", folder / "masked", None, str(folder / "plain"), engine="numpy", precision="fp32", use_fast=True
    )
    assert alike(own("[MASK]", top_k=1), fill("[MASK]", top_k=1))


def test_a_pytorch_model(folder: Path) -> None:
    model = bertkit.BertForMaskedLM.from_pretrained(folder / "masked")
    fill = pipeline("fill-mask", model, tokenizer=tokenizer())
    assert alike(fill("The [MASK] of it."), pipeline("fill-mask", folder / "masked", device=-1)("The [MASK] of it."))
    assert alike(fill("The [MASK] of it."), ours("fill-mask", "masked")("The [MASK] of it."))
    assert fill.engine.model is model
    assert pipeline(model=model, tokenizer=tokenizer()).task == "fill-mask"


def test_a_head_that_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(
        UsageError, match="is a BertForSequenceClassification, and fill-mask needs a BertForMaskedLM. It can do text-cl"
    ):
        pipeline("fill-mask", folder / "five", engine="numpy")
    with pytest.raises(UsageError, match="The engine is a BertForMaskedLM"):
        pipeline("ner", engine("masked", "ForMaskedLM"), tokenizer=tokenizer())
    for head, task in (
        ("ForMaskedLM", "fill-mask"),
        ("ForPreTraining", "fill-mask"),
        ("ForMultipleChoice", "multiple-choice"),
    ):
        assert tasks_of(head)[0] == task
    assert "multiple-choice" not in tasks_of("ForSequenceClassification")
    assert task_class("nsp").name in tasks_of("ForPreTraining")


def test_random_weights_give_a_warning(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A configuration without architectures needs a task; a head that the files lack is initialized at random."""
    for file in (folder / "plain").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    values = json.loads((tmp_path / "config.json").read_text())
    del values["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(
        UsageError, match='names no class in "architectures": pass a task, for example task="fill-mask"'
    ):
        pipeline(model=tmp_path, engine="numpy")
    with caplog.at_level(logging.WARNING):
        pipeline("text-classification", tmp_path, engine="numpy")("a")
    assert len(caplog.records) == 1 and "classifier: initialized at random" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"engine": "nunpy"}, "Did you mean 'numpy'"),
        ({"engine": "numpy", "device": "cuda"}, "runs on the CPU"),
        ({"engine": "numpy", "precision": "bf16"}, "computes in fp32"),
        ({"precision": "fp17"}, "precision='fp17' is invalid: choose one of 'auto', 'fp32'"),
        (
            {"precision": "fp32", "dtype": "float16"},
            "precision='fp32' contradicts dtype='float16': leave one of them out",
        ),
        ({"precision": "auto", "torch_dtype": "bfloat16"}, "computes in fp32"),
        ({"trust_remote_code": True}, "never runs the code"),
        ({"framework": "tf"}, "framework='tf' contradicts engine='numpy'"),
        ({"framework": "jax"}, "framework='jax'"),
        ({"tokenizer": 3}, "tokenizer is 3"),
        ({"tokenizer": ["[PAD]"]}, "tokenizer is"),
        ({"topk": 3}, "Did you mean 'top_k'"),
        ({"model_kwargs": 3}, "model_kwargs=3 is not a dictionary"),
    ],
)
def test_invalid_arguments(folder: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        pipeline("fill-mask", folder / "masked", **{"engine": "numpy", **options})


def test_missing_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="not-there"):
        pipeline("fill-mask", tmp_path / "not-there")
    (tmp_path / "config.json").write_bytes((folder / "masked" / "config.json").read_bytes())
    with pytest.raises(HubError, match="type tokenizer="):
        pipeline("fill-mask", tmp_path)
    with pytest.raises(HubError, match="model.safetensors"):
        pipeline("fill-mask", tmp_path, tokenizer=tokenizer(), engine="numpy")
    small = BertConfig.from_pretrained(folder / "masked", vocab_size=20)
    with pytest.raises((UsageError, bertkit.BertkitError), match="tokens, but the model only|of another shape"):
        pipeline("fill-mask", folder / "masked", small, engine="numpy")
    with pytest.raises(UsageError, match="no tokenizer was passed: type tokenizer="):
        pipeline("fill-mask", engine("masked", "ForMaskedLM"))


def test_a_stream_takes_little_memory() -> None:
    """The answers are vectors of all tokens, which are by far the largest."""
    embed = ours("feature-extraction", "plain")
    texts = (f"{LONG[:4000]} {number}" for number in range(300))
    tracemalloc.start()
    for answer in embed(texts, on_long="window"):
        assert len(answer[0]) > 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # all answers together are 150 MB
