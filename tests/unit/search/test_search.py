"""Searches choose the words that transformers chooses, for random settings of a random decoder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from generation_cases import searching

from bertkit.errors import HubError, UsageError
from bertkit.search.beams import write_beams
from bertkit.search.loop import Written, streams_of, write
from bertkit.search.scores import changes_of
from bertkit.search.settings import GenerationConfig

V = 40


class WithoutCache:
    """A decoder that computes all words again in each step."""

    def __init__(self, model: Any, prompt: np.ndarray) -> None:
        self.model, self.words, self.rows = model, prompt, [len(prompt)]

    def start(self) -> np.ndarray:
        with torch.inference_mode():
            return self.model(torch.from_numpy(self.words)).logits[:, -1].numpy()

    def step(self, words: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.words = np.concatenate([self.words[rows], words[:, None]], 1)
        self.rows.append(len(rows))
        return self.start()


def decoder(seed: int) -> Any:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=V,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        is_decoder=True,
        initializer_range=rng.choice([0.3, 0.8, 1.5]),
    )
    return transformers.BertLMHeadModel(config).eval()


def written(model: Any, prompt: np.ndarray, options: dict[str, Any], **more: Any) -> Written:
    settings = GenerationConfig().with_options(options)
    rows = prompt.repeat(settings.num_beams, 0)
    search = write if settings.num_beams == 1 else write_beams
    return search(WithoutCache(model, rows), rows, settings, changes_of(settings, prompt.shape[1]), **more)


@pytest.mark.parametrize("start", range(0, 60, 10))
@pytest.mark.filterwarnings("ignore")
def test_words_are_those_of_transformers(start: int) -> None:
    for seed in range(start, start + 10):
        model, options, rng = decoder(seed), searching(random.Random(seed)), np.random.default_rng(seed)
        prompt = rng.integers(2, V, (rng.integers(1, 4), rng.integers(1, 6)))
        expected = model.generate(torch.from_numpy(prompt), **options, return_dict_in_generate=True, output_scores=True)
        found = written(model, prompt, options)
        np.testing.assert_array_equal(found.words, expected.sequences.numpy(), err_msg=f"{seed} {options}")
        if options["num_beams"] > 1:
            np.testing.assert_allclose(found.totals, expected.sequences_scores.numpy(), atol=1e-5, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(8))
def test_scores_of_sampling_are_those_of_transformers(seed: int) -> None:
    """Words are drawn from other random numbers. So the first scores are compared, which no draw has changed."""
    model, rng = decoder(seed), random.Random(seed)
    options = {
        "do_sample": True,
        "temperature": rng.choice([0.5, 1.7]),
        "top_k": rng.choice([0, 1, 7]),
        "max_new_tokens": 1,
    }
    options |= {
        "top_p": rng.choice([1.0, 0.3, 0.9]),
        "repetition_penalty": 1.3,
        "output_scores": True,
        "pad_token_id": 0,
    }
    prompt = np.random.default_rng(seed).integers(1, V, (3, 4))
    expected = model.generate(torch.from_numpy(prompt), **options, return_dict_in_generate=True, eos_token_id=3).scores[
        0
    ]
    found = written(model, prompt, options, streams=streams_of(0, 3))
    np.testing.assert_allclose(found.scores[0], expected.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_row_does_not_depend_on_the_others(beams: int) -> None:
    model, prompt = decoder(0), np.random.default_rng(0).integers(1, V, (6, 3))
    for sample in (False, True):
        options = {"num_beams": beams, "do_sample": sample, "max_new_tokens": 9, "eos_token_id": [3, 7, 9, 11]}
        whole = written(model, prompt, options, streams=streams_of(5, 6)).words
        for row, words in enumerate(prompt):
            alone = written(model, words[None], options, streams=streams_of(5, 6)[row:]).words[0]
            assert alone.tolist() == whole[row, : len(alone)].tolist()


def test_draws_have_their_probabilities() -> None:
    model, prompt = decoder(0), np.array([[4, 5]])
    options = {"do_sample": True, "top_k": 5, "max_new_tokens": 1}
    wanted = (
        written(model, prompt, options | {"output_scores": True}, streams=streams_of(0, 1)).scores[0][0].astype(float)
    )
    wanted = np.exp(wanted) / np.exp(wanted).sum()
    rows = prompt.repeat(4000, 0)
    drawn = written(model, rows, options, streams=streams_of(1, 4000)).words[:, -1]
    assert np.abs(np.bincount(drawn, minlength=V) / 4000 - wanted).max() < 0.03


def test_rows_that_have_ended_leave_the_batch() -> None:
    model, prompt = decoder(0), np.random.default_rng(0).integers(1, V, (6, 3))
    settings = GenerationConfig(max_new_tokens=20, eos_token_id=list(range(20)))
    own = WithoutCache(model, prompt)
    write(own, prompt, settings)
    assert own.rows[0] == 6 and own.rows == sorted(own.rows, reverse=True) and own.rows[-1] < 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0, and must be a whole number, 1 or above"),
        (
            {"num_return_sequences": 3, "num_beams": 2},
            "num_beams=2 finds fewer: raise num_beams, or type do_sample=True",
        ),
        ({"top_p": 1.5}, "top_p is 1.5, and must be a number from 0 to 1"),
        ({"temperature": 0.0}, "temperature is 0.0, and must be a number above 0"),
        ({"early_stopping": "soon"}, "early_stopping is 'soon', and must be True, False or \"never\""),
        ({"penalty_alpha": 0.6}, "penalty_alpha=0.6 is not supported: leave it out"),
        ({"num_return_sequences": 3, "num_beams": 2, "do_sample": True}, "num_beams=2 finds fewer: raise num_beams[.]"),
        ({"top_k": -5}, "top_k is -5, and must be a whole number, 0 or above"),
        ({"top_k": "5"}, "top_k is '5', and must be a whole number"),
        ({"top_p": "0.9"}, "top_p is '0.9', and must be a number from 0 to 1"),
        ({"do_sample": "no"}, "do_sample is 'no', and must be True or False"),
        ({"return_dict_in_generate": "x"}, "return_dict_in_generate is 'x', and must be True or False"),
        ({"temperature": True}, "temperature is True, and must be a number above 0"),
        ({"length_penalty": float("nan")}, "length_penalty is nan, and must be a number from -100 to 100"),
        ({"length_penalty": 1e6}, "length_penalty is 1000000.0, and must be"),
        ({"bad_words_ids": [[]]}, r"bad_words_ids is \[\[\]\], and must be a list, such as \[\[5\], \[6, 8\]\]"),
        ({"bad_words_ids": [3, 4]}, r"bad_words_ids is \[3, 4\], and must be a list, such as"),
        ({"suppress_tokens": 5}, r"suppress_tokens is 5, and must be a list, such as \[5, 6\]"),
        ({"num_beams": 10**8}, "num_beams is 100000000, and must be 65536 or less"),
        ({"num_beems": 2}, "generate has no 'num_beems'. Did you mean 'num_beams'"),
    ],
)
def test_what_is_invalid(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GenerationConfig().with_options(options)


def test_files_are_those_of_transformers(tmp_path: Any) -> None:
    theirs = transformers.GenerationConfig(
        num_beams=4, max_new_tokens=7, eos_token_id=[3, 4], do_sample=True, typical_p=0.9
    )
    theirs.save_pretrained(tmp_path)
    own = GenerationConfig.from_pretrained(tmp_path)
    assert (own.num_beams, own.max_new_tokens, own.ends, own.others["typical_p"]) == (4, 7, [3, 4], 0.9)
    own.save_pretrained(tmp_path / "again")
    again = transformers.GenerationConfig.from_pretrained(tmp_path / "again")
    assert (again.num_beams, again.max_new_tokens, again.eos_token_id, again.typical_p) == (4, 7, [3, 4], 0.9)


def test_files_with_the_methods_of_transformers(tmp_path: Path) -> None:
    settings = GenerationConfig(num_beams=3, max_new_tokens=9)
    settings.to_json_file(tmp_path / "other.json")
    assert json.loads(settings.to_json_string()) == settings.to_diff_dict() == {"num_beams": 3, "max_new_tokens": 9}
    read = GenerationConfig.from_pretrained(tmp_path, "other.json", num_beams=2)
    assert (read.num_beams, read.max_new_tokens) == (2, 9)
    assert GenerationConfig.from_dict(config_dict={"num_beams": 5}).num_beams == 5
    with pytest.raises(UsageError, match="num_beems.*num_beams"):
        GenerationConfig.from_pretrained(tmp_path, "other.json", num_beems=2)
    with pytest.raises(HubError, match=r"There is no generation_config\.json"):
        GenerationConfig.from_pretrained(tmp_path)
    read.num_beams = 0
    with pytest.raises(UsageError, match="num_beams"):
        read.save_pretrained(tmp_path)
