"""The pipelines that write: the words of transformers, long texts, batches, seeds, files and errors."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import pipeline_models
import pytest
import torch
import writing_cases
from pipeline_cases import SENTENCES

import bertkit
from bertkit.errors import BertkitError, UsageError
from bertkit.pipelines import Pipeline, pipeline
from bertkit.search.settings import GenerationConfig

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "writing_transformers4.json").read_text(encoding="utf-8"))


@cache
def opened(task: str) -> Pipeline:
    place = pipeline_models.folder("decoder") if task == "text-generation" else writing_cases.pair_folder()
    return pipeline(task, place, device="cpu", precision="fp32")


@pytest.mark.parametrize("task", writing_cases.TASKS)
def test_the_words_are_those_of_transformers(task: str) -> None:
    pipe = opened(task)
    for seed, theirs in enumerate(RECORDED[task]):
        texts, options = writing_cases.case(task, seed)
        assert pipe(texts, **options) == theirs, (seed, texts, options)


@pytest.mark.parametrize("task", writing_cases.TASKS)
def test_an_answer_does_not_depend_on_the_batch(task: str) -> None:
    pipe, texts = opened(task), [" ".join(one.split()[: 2 + n % 3]) for n, one in enumerate(SENTENCES[:8])]
    options = {"max_new_tokens": 6, "do_sample": True, "num_beams": 1, "seed": 5, "eos_token_id": 40}
    together = pipe(texts, **options)
    alone = [pipe([text], **options)[0] for text in texts]
    assert together == alone == pipe(texts[::-1], batch_size=3, **options)[::-1]
    assert together != pipe(texts, **{**options, "seed": 6})


def test_seeds_of_several_prompts() -> None:
    model = bertkit.BertLMHeadModel.from_pretrained(pipeline_models.folder("decoder"))
    both, one = torch.tensor([[2, 7], [2, 9]]), torch.tensor([[2, 9]])
    options: dict[str, Any] = {"do_sample": True, "max_new_tokens": 5, "num_return_sequences": 2}
    found = model.generate(both, seed=[3, 4], **options)
    assert torch.equal(found[2:], model.generate(one, seed=4, **options))
    with pytest.raises(UsageError, match="3 seeds"):
        model.generate(both, seed=[1, 2, 3], do_sample=True)


def test_a_long_text_is_summarized_in_windows_of_sentences() -> None:
    pipe, text = opened("summarization"), " ".join(SENTENCES[:10])
    found = pipe(text, max_new_tokens=4, details=True)
    assert not found["truncated"]
    assert found["windows"] > 2
    windows = list(pipe.task_object._windows(text, pipe.options, 64))
    assert " ".join(windows) == text
    parts = [pipe(window, max_new_tokens=4)[0]["summary_text"] for window in windows]
    assert found["result"] == [{"summary_text": " ".join(parts)}]
    cut = pipe(text, max_new_tokens=4, on_long="truncate", details=True)
    assert cut["truncated"]
    assert cut["result"] == [{"summary_text": parts[0]}] or cut["windows"] == 1
    with pytest.raises(UsageError, match="row has at most 64"):
        pipe(text, on_long="error")


def test_a_long_prompt_loses_its_first_tokens(caplog: pytest.LogCaptureFixture) -> None:
    pipe, words = opened("text-generation"), ("the sea " * 60).strip()
    found = pipe(words, max_new_tokens=4, do_sample=False, return_full_text=False)
    assert "type max_new_tokens=20, or another small number, to read all of them" in caplog.text
    ids = pipe.tokenizer(words)["input_ids"][-60:]
    own = pipe.model.generate(torch.tensor([ids]), max_new_tokens=4, pad_token_id=0)
    assert pipe.tokenizer.decode(own[0, 60:]) == found[0]["generated_text"].strip()
    assert found == pipe(
        words, max_new_tokens=4, do_sample=False, return_full_text=False, handle_long_generation="hole"
    )
    whole = pipe("the", do_sample=False, return_tensors=True)[0]["generated_token_ids"]
    assert len(whole) == 64  # the usual 256 words do not fit


def test_max_length_of_a_call_or_of_the_model_is_honoured(tmp_path: Path) -> None:
    pipe = opened("text2text-generation")
    assert len(pipe(SENTENCES[0], max_length=5, return_tensors=True)[0]["generated_token_ids"]) <= 5
    model = bertkit.AutoModelForSeq2SeqLM.from_pretrained(writing_cases.pair_folder())
    assert isinstance(model, bertkit.EncoderDecoderModel)
    model.generation_config = GenerationConfig(max_length=6, no_repeat_ngram_size=2, decoder_start_token_id=2)
    model.save_pretrained(tmp_path)
    again = bertkit.EncoderDecoderModel.from_pretrained(tmp_path)
    assert again.generation_config.no_repeat_ngram_size == 2
    assert again.generation_config.eos_token_id == 3  # of config.json
    found = pipeline("text2text-generation", again, tokenizer=pipe.tokenizer)(SENTENCES[0], return_tensors=True)
    words = found[0]["generated_token_ids"]
    assert len(words) <= 6
    pairs = list(itertools.pairwise(words))
    assert len(pairs) == len(set(pairs))


def test_models_of_transformers_and_classes() -> None:
    import transformers

    place = writing_cases.pair_folder()
    theirs = transformers.EncoderDecoderModel.from_pretrained(place)
    options = {"max_new_tokens": 5, "num_beams": 2}
    found = bertkit.SummarizationPipeline(theirs, opened("summarization").tokenizer)(SENTENCES[:2], **options)
    assert found == opened("summarization")(SENTENCES[:2], **options)
    assert type(pipeline(model=place)) is bertkit.SummarizationPipeline
    assert type(opened("text2text-generation")) is bertkit.Text2TextGenerationPipeline
    decoder = bertkit.BertLMHeadModel.from_pretrained(pipeline_models.folder("decoder"))
    made = bertkit.TextGenerationPipeline(decoder, pipeline_models.tokenizer())
    assert made("The", max_new_tokens=3, do_sample=False) == opened("text-generation")(
        "The", max_new_tokens=3, do_sample=False
    )


def test_a_saved_pipeline_opens_again(tmp_path: Path) -> None:
    opened("summarization").save_pretrained(tmp_path)
    again = pipeline(model=tmp_path, device="cpu", precision="fp32")
    assert again(SENTENCES[0], max_new_tokens=5) == opened("summarization")(SENTENCES[0], max_new_tokens=5)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("summarization", {"num_beems": 2}, "Did you mean 'num_beams'"),
        ("summarization", {"streamer": print}, "pass it to the method generate of pipe.model"),
        ("summarization", {"overlap": 2}, "windows are sentences"),
        ("summarization", {"top_p": 7}, "top_p is 7"),
        ("summarization", {"penalty_alpha": 0.6}, "penalty_alpha=0.6 is not supported"),
        ("summarization", {"stop_sequence": "photosynthesis"}, "tokens, and must have one"),
        ("summarization", {"settings": {}}, "each by its own name"),
        ("summarization", {"return_text": False}, "leaves no answer"),
        ("text-generation", {"on_long": "window"}, "reads no windows"),
        ("text-generation", {"handle_long_generation": "cut"}, 'must be "hole"'),
        ("text-generation", {"max_length": 2}, "leaves no room for new words"),
        ("text-generation", {"max_new_tokens": 99}, "the model has 64 positions"),
        ("text-generation", {"num_return_sequences": 3, "do_sample": False}, "needs as many different texts"),
        ("text-generation", {"prefix": 3}, "prefix is 3"),
    ],
)
def test_errors(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BertkitError) as caught:
        opened(task)("The old lighthouse", **options)
    assert message in str(caught.value)


def test_errors_of_models() -> None:
    decoder, pair = pipeline_models.folder("decoder"), writing_cases.pair_folder()
    for task, place, own, message in [
        ("summarization", decoder, {}, "is a BertLMHeadModel, and summarization needs an EncoderDecoderModel"),
        ("fill-mask", pair, {}, "is an EncoderDecoderModel, and fill-mask needs a BertForMaskedLM"),
        ("summarization", pair, {"engine": "numpy"}, "cannot write"),
        ("summarization", pair, {"precision": "int8"}, "cannot write"),
        ("text-generation", pipeline_models.engine("decoder", "LMHeadModel"), {}, "needs a PyTorch model"),
    ]:
        with pytest.raises(UsageError, match=message):
            pipeline(task, place, tokenizer=pipeline_models.tokenizer(), **own)


def test_a_job_is_resumed(tmp_path: Path) -> None:
    pipe, output = opened("summarization"), tmp_path / "summaries.jsonl"
    texts = [" ".join(SENTENCES[n : n + 40]) for n in range(8)]  # a chunk ends after some of them
    options: dict[str, Any] = {"max_new_tokens": 3, "do_sample": True, "seed": 4, "on_long": "truncate"}

    def broken() -> Any:
        yield from texts[:6]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe.map(broken(), output, **options)
    with pytest.raises(UsageError, match="num_beams was null and is now 2"):
        pipe.map(texts, output, resume=True, num_beams=2, **options)
    pipe.map(texts, output, resume=True, **options)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert lines == [pipe(text, **options) for text in texts]
