"""`generate` of BertLMHeadModel writes what transformers writes, with and without a cache, in any batch."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from generation_cases import COUNT, case

import bertkit
from bertkit.errors import UsageError

V = 40
SIZES = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "is_decoder": True,
}


def pair(seed: int, **more: Any) -> tuple[Any, Any]:
    """A model of transformers, and the same of bertkit."""
    torch.manual_seed(seed)
    theirs = transformers.BertLMHeadModel(transformers.BertConfig(**SIZES, initializer_range=0.8, **more)).eval()
    own = bertkit.BertLMHeadModel(bertkit.BertConfig(**SIZES, **more)).eval()
    own.load_state_dict(theirs.state_dict())
    return own, theirs


def random_options(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    beams = rng.choice([1, 1, 2, 4])
    found = {"max_new_tokens": rng.randint(2, 12), "num_beams": beams, "eos_token_id": [3, 7, 9], "pad_token_id": 0}
    rare = {
        "no_repeat_ngram_size": 2,
        "repetition_penalty": 1.3,
        "length_penalty": 2.0,
        "early_stopping": True,
        "min_new_tokens": 4,
        "num_return_sequences": rng.randint(1, beams),
        "use_cache": False,
    }
    return found | {name: value for name, value in rare.items() if rng.random() < 0.4}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", range(0, 40, 10))
def test_words_are_those_of_transformers(start: int) -> None:
    own, theirs = pair(start)
    for seed in range(start, start + 10):
        options, rng = random_options(seed), np.random.default_rng(seed)
        prompt = torch.from_numpy(rng.integers(4, V, (3, 5)))
        for row, length in enumerate(rng.integers(1, 6, 3) if seed % 2 else ()):
            prompt[row, : 5 - length] = 0  # padding on the left
        expected = theirs.generate(prompt, attention_mask=(prompt != 0).long(), **options)
        assert own.generate(prompt, **options).tolist() == expected.tolist(), (seed, options)
        for row in range(3):
            texts = options.get("num_return_sequences", 1)
            alone = own.generate(prompt[row : row + 1], attention_mask=(prompt[row : row + 1] != 0).long(), **options)
            whole = expected[row * texts : (row + 1) * texts]
            assert alone.tolist() == whole[:, : alone.shape[1]].tolist()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 3])
def test_an_encoder_is_attended_to(beams: int) -> None:
    own, theirs = pair(0, add_cross_attention=True)
    states = torch.randn(2, 6, 16)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
    options = {"num_beams": beams, "max_new_tokens": 8, "eos_token_id": [3, 7], "pad_token_id": 0}
    given = {"encoder_hidden_states": states, "encoder_attention_mask": mask}
    prompt = torch.tensor([[4, 5], [6, 7]])
    words = own.generate(prompt, **options, **given)
    assert words.tolist() == own.generate(prompt, **options, **given, use_cache=False).tolist()
    if beams == 1:  # transformers 5 fails with a cache, and with beams
        expected = theirs.generate(prompt, **options, **given, use_cache=False)
        assert words.tolist() == expected.tolist()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 3])
def test_output_objects(beams: int) -> None:
    own, theirs = pair(1)
    prompt = torch.tensor([[4, 5], [6, 8]])
    options = {"num_beams": beams, "max_new_tokens": 5, "pad_token_id": 0, "eos_token_id": 3, "min_new_tokens": 5}
    options |= {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    found, expected = own.generate(prompt, **options), theirs.generate(prompt, **options)
    assert type(found).__name__ == type(expected).__name__
    for name in ("sequences", "sequences_scores", "beam_indices") if beams > 1 else ("sequences",):
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5, check_dtype=False)
    for name in ("scores", "logits"):
        for one, other in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_functions_of_the_caller() -> None:
    own, _ = pair(2)
    prompt = torch.tensor([[4, 5], [6, 8]])

    def only_even(words: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        assert words.shape[0] == scores.shape[0]
        return scores.index_fill(1, torch.arange(1, V, 2), -torch.inf)

    written: list[torch.Tensor] = []

    class Streamer:
        def put(self, words: torch.Tensor) -> None:
            written.append(words)

        def end(self) -> None:
            written.append(torch.tensor([]))

    words = own.generate(
        prompt,
        logits_processor=[only_even],
        stopping_criteria=[lambda words, scores: words.shape[1] >= 6],
        streamer=Streamer(),
        max_new_tokens=20,
    )
    assert words.shape == (2, 6) and (words[:, 2:] % 2 == 0).all()
    assert torch.equal(written[0], prompt) and torch.equal(torch.stack(written[1:-1], 1), words[:, 2:])


RECORDED = json.loads(
    (Path(__file__).parents[3] / "data" / "generation_transformers4.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("start", range(0, COUNT, 50))
def test_words_and_scores_are_those_of_transformers_4(start: int) -> None:
    """300 random settings, recorded from 4.57.6."""
    for seed in range(start, start + 50):
        one, expected = case(seed), RECORDED[seed]
        own = bertkit.BertLMHeadModel(one.config)
        own.load_state_dict({name: torch.from_numpy(array) for name, array in one.weights.items()})
        prompt, mask = torch.from_numpy(one.prompt), torch.from_numpy(one.mask)
        found = own.eval().generate(
            prompt, attention_mask=mask, **one.options, return_dict_in_generate=True, output_scores=True
        )
        if one.options["do_sample"]:
            scores = torch.tensor([[-torch.inf if x is None else x for x in row] for row in expected["scores"]])
            torch.testing.assert_close(found.scores[0], scores, atol=1e-5, rtol=1e-5)
            continue
        assert found.sequences.tolist() == expected["words"], (seed, one.options)
        if one.options["num_beams"] > 1:
            torch.testing.assert_close(found.sequences_scores, torch.tensor(expected["totals"]), atol=1e-5, rtol=1e-5)


def test_seeds() -> None:
    own, _ = pair(3)
    prompt = torch.tensor([[4, 5], [6, 8]])
    options = {"do_sample": True, "max_new_tokens": 12, "num_return_sequences": 3, "pad_token_id": 0}
    first = own.generate(prompt, seed=1, **options)
    assert first.shape == (6, 14) and len({tuple(row) for row in first.tolist()}) > 3
    assert torch.equal(first, own.generate(prompt, seed=1, **options))
    assert not torch.equal(first, own.generate(prompt, seed=2, **options))
    torch.manual_seed(5)
    free = own.generate(prompt, **options)
    torch.manual_seed(5)
    assert torch.equal(free, own.generate(prompt, **options))


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        (None, {}, "received no prompt: pass input_ids, or bos_token_id"),
        ([[]], {}, "received an empty prompt"),
        ([[4] * 20], {}, "The prompt has 20 words, and max_length=20 leaves no room: pass max_new_tokens"),
        ([[4] * 20], {"max_new_tokens": 50}, "positions for 64: pass max_new_tokens=44 or less"),
        ([[4]], {"num_return_sequences": 2}, "num_return_sequences=2 needs as many different texts"),
        ([[4]], {"num_beems": 2}, "generate has no 'num_beems'"),
    ],
)
def test_what_is_invalid(prompt: Any, options: dict[str, Any], message: str) -> None:
    own, _ = pair(0)
    with pytest.raises(UsageError, match=message):
        own.generate(None if prompt is None else torch.tensor(prompt, dtype=torch.long), **options)


@pytest.mark.parametrize("padded", [False, True])
def test_logits_to_keep(padded: bool) -> None:
    own, theirs = pair(3)
    words, mask = torch.randint(1, V, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    if padded:
        mask[1, :4] = 0  # on the left, as in a prompt
    with torch.no_grad():
        for kept in (1, 3):
            found = own(words, attention_mask=mask, logits_to_keep=kept).logits
            expected = theirs(words, attention_mask=mask, logits_to_keep=kept).logits
            assert found.shape == (3, kept, V)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    for wrong in (
        {"logits_to_keep": -1},
        {"logits_to_keep": torch.tensor([1])},
        {"logits_to_keep": 1, "labels": words},
    ):
        with pytest.raises(UsageError, match="must be a number from 0 on; with labels, leave it out"):
            own(words, **wrong)


def test_the_prompt_is_computed_once_for_all_beams() -> None:
    own, _ = pair(4)
    seen: list[int] = []
    own.bert.register_forward_hook(lambda module, given, output: seen.append(len(output.last_hidden_state)))
    own.generate(torch.randint(1, V, (2, 5)), num_beams=3, max_new_tokens=2, pad_token_id=0)
    assert seen == [2, 2 * 3]  # rows


def test_a_class_without_logits_to_keep() -> None:
    class Own(bertkit.BertLMHeadModel):
        def forward(self, input_ids: Any, attention_mask: Any = None, **others: Any) -> Any:  # type: ignore[override]
            assert "logits_to_keep" not in others
            return super().forward(input_ids, attention_mask, **others)

    own, _ = pair(5)
    other = Own(own.config).eval()
    other.load_state_dict(own.state_dict())
    prompt = torch.randint(1, V, (2, 5))
    assert torch.equal(*(model.generate(prompt, max_new_tokens=4, pad_token_id=0) for model in (own, other)))


def test_hooks_of_dense_layers_run() -> None:
    own, _ = pair(6)
    calls: list[int] = []
    own.bert.encoder.layer[0].output.dense.register_forward_hook(lambda *_: calls.append(1))
    own.generate(torch.randint(1, V, (2, 5)), max_new_tokens=3, pad_token_id=0)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens is -1, and must be a whole number, 1 or above"),
        ({"eos_token_id": "a"}, "eos_token_id is 'a', and must be a whole number, 0 or above"),
        ({"eos_token_id": [3, V]}, f"eos_token_id has the word {V}, and the vocabulary has {V}: 0 to {V - 1}"),
        ({"bad_words_ids": [[1, 2], [99]]}, "bad_words_ids has the word 99"),
        ({"forced_bos_token_id": 77}, "forced_bos_token_id has the word 77"),
        ({"suppress_tokens": [-1]}, "suppress_tokens is -1, and must be"),
        ({"attention_mask": torch.ones(2, 9)}, r"attention_mask has the shape \[2, 9\], and the words have \[2, 5\]"),
        ({"input_ids": "hello"}, r"'hello' \(str\), and must be a tensor \[batch, length\]"),
        ({"input_ids": torch.tensor([1, 2])}, r"must be a tensor \[batch, length\]"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    own, _ = pair(7)
    with pytest.raises(UsageError, match=message):
        own.generate(
            **{"input_ids": torch.ones(2, 5, dtype=torch.long), "max_new_tokens": 3, "pad_token_id": 0, **options}
        )
