"""`generate` of BertLMHeadModel writes what transformers writes, with and without a cache, in any batch."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from generation_cases import COUNT, case, searching

import bertkit
from bertkit.errors import UsageError
from bertkit.models.torch.generation import TorchDecoder

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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", range(0, 40, 10))
def test_words_are_those_of_transformers(start: int) -> None:
    own, theirs = pair(start)
    for seed in range(start, start + 10):
        options, rng = searching(random.Random(seed)), np.random.default_rng(seed)
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


@pytest.mark.parametrize("beams", [1, 3])
def test_an_encoder_is_attended_to(beams: int) -> None:
    """With and without a cache. The recorded words are those of transformers 4."""
    own, _ = pair(0, add_cross_attention=True)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
    options = {"num_beams": beams, "max_new_tokens": 8, "eos_token_id": [3, 7], "pad_token_id": 0}
    options |= {"encoder_hidden_states": torch.randn(2, 6, 16), "encoder_attention_mask": mask}
    prompt = torch.tensor([[4, 5], [6, 7]])
    words = own.generate(prompt, **options).tolist()
    assert words == own.generate(prompt, **options, use_cache=False).tolist()


def test_keys_of_an_encoder_are_copied_only_where_a_row_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """All beams of an input attend to the same states."""
    own, _ = pair(0, add_cross_attention=True)
    seen: list[tuple[int, int]] = []  # rows, and the memory of the keys of the first layer
    step = TorchDecoder.step

    def watched(self: TorchDecoder, words: np.ndarray, rows: np.ndarray) -> np.ndarray:
        found = step(self, words, rows)
        keys = self.cache[0][2]
        assert len(keys) == len(rows) and torch.equal(keys, keys_of(self.at.encoder_states))
        seen.append((len(rows), keys.data_ptr()))
        return found

    def keys_of(states: torch.Tensor) -> torch.Tensor:
        heads = own.bert.encoder.layer[0].crossattention.self.key(states).unflatten(2, (2, 8))
        return heads.transpose(1, 2)

    monkeypatch.setattr(TorchDecoder, "step", watched)
    prompt, states = torch.tensor([[4], [6], [9]]), torch.randn(3, 6, 16)
    options = {"num_beams": 3, "max_new_tokens": 12, "eos_token_id": list(range(3, 20)), "early_stopping": True}
    own.generate(prompt, **options, encoder_hidden_states=states)
    changes = sum(one[1] != two[1] for one, two in itertools.pairwise(seen))
    assert 0 < changes == sum(one[0] != two[0] for one, two in itertools.pairwise(seen)) < len(seen) - 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("is_normal", [False, True])
def test_transition_scores(beams: int, is_normal: bool) -> None:
    own, theirs = pair(1)
    prompt = torch.tensor([[4, 5], [6, 8], [9, 10]])
    options = {"num_beams": beams, "max_new_tokens": 7, "pad_token_id": 1, "eos_token_id": [3, 7, 11, 12]}
    options |= {"return_dict_in_generate": True, "output_scores": True, "attention_mask": torch.ones_like(prompt)}
    options |= {"num_return_sequences": beams}
    found, other = own.generate(prompt, **options), theirs.generate(prompt, **options)
    assert found.sequences.tolist() == other.sequences.tolist()
    own_beams, their_beams = (found.beam_indices, other.beam_indices) if beams > 1 else (None, None)
    expected = theirs.compute_transition_scores(other.sequences, other.scores, their_beams, is_normal)
    scores = own.compute_transition_scores(found.sequences, found.scores, own_beams, is_normal)
    written = found.sequences[:, 2:] != 1
    assert not written.all() and not scores[~written].any()
    torch.testing.assert_close(scores[written], expected[written], atol=1e-5, rtol=1e-5)
    same = own.compute_transition_scores(other.sequences, other.scores, their_beams, is_normal)  # of their scores
    torch.testing.assert_close(same, expected, atol=1e-5, rtol=1e-5)


def test_transition_scores_of_nothing() -> None:
    own, _ = pair(1)
    with pytest.raises(UsageError, match="received no scores: pass output_scores=True to generate"):
        own.compute_transition_scores(torch.tensor([[4, 5]]), None)
    with pytest.raises(UsageError, match="sequences has 1 rows, and the scores have 2: pass beam_indices"):
        own.compute_transition_scores(torch.tensor([[4, 5]]), (torch.zeros(2, V),))


def test_batch_invariance_of_padded_prompts() -> None:
    own, _ = pair(6)
    prompt, options = torch.tensor([[0, 0, 4, 5], [6, 7, 8, 9]]), {"max_new_tokens": 3, "pad_token_id": 0}
    options |= {"return_dict_in_generate": True, "output_logits": True, "eos_token_id": None}
    with bertkit.batch_invariant():
        with pytest.raises(UsageError, match="pass use_cache=False"):
            own.generate(prompt, **options)
        found = own.generate(prompt, **options, use_cache=False)
        alone = own.generate(prompt[:1, 2:], **options, use_cache=False)
    assert found.sequences[:1, 2:].tolist() == alone.sequences.tolist()
    assert all(torch.equal(one[0], two[0]) for one, two in zip(found.logits, alone.logits, strict=True))


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
    """380 random settings, recorded from 4.57.6."""
    for seed in range(start, min(start + 50, COUNT)):
        one, expected = case(seed), RECORDED[seed]
        own = bertkit.BertLMHeadModel(one.config)
        own.load_state_dict({name: torch.from_numpy(array) for name, array in one.weights.items()})
        prompt, mask = torch.from_numpy(one.prompt), torch.from_numpy(one.mask)
        given = {name: torch.from_numpy(array) for name, array in one.given.items()}
        options = {**one.options, **given, "return_dict_in_generate": True, "output_scores": True}
        found = own.eval().generate(prompt, attention_mask=mask, **options)
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
        (
            [[4] * 20],
            {"max_length": 20},
            "The prompt has 20 words, and max_length=20 leaves no room: pass max_new_tokens",
        ),
        ([[4] * 20], {"max_new_tokens": 50}, "positions for 64: pass max_new_tokens=45 or less"),
        ([[4]], {"num_return_sequences": 2}, "num_return_sequences=2 needs as many different texts"),
        ([[4]], {"num_beems": 2}, "generate has no 'num_beems'"),
    ],
)
def test_what_is_invalid(prompt: Any, options: dict[str, Any], message: str) -> None:
    own, _ = pair(0)
    with pytest.raises(UsageError, match=message):
        own.generate(None if prompt is None else torch.tensor(prompt, dtype=torch.long), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": 9, "max_new_tokens": 4}, "min_length=9 cannot be reached: at most 6 words fit."),
        ({"min_new_tokens": 5, "max_new_tokens": 4}, "min_new_tokens=5 cannot be reached: at most 4 words fit."),
        ({"min_new_tokens": 4, "max_length": 6}, ""),
        ({"min_length": 6, "max_new_tokens": 4}, ""),
    ],
)
def test_a_least_length_above_the_largest(
    options: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    pair(0)[0].generate(torch.tensor([[4, 5]]), **options)
    assert [record.getMessage() for record in caplog.records] == ([message] if message else [])


@pytest.mark.parametrize("padded", [False, True])
def test_logits_to_keep(padded: bool) -> None:
    own, theirs = pair(3)
    words, mask = torch.randint(1, V, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    if padded:
        mask[1, :4] = 0  # on the left, as in a prompt
    with torch.no_grad():
        for kept in (np.int64(1), 3, torch.tensor(2)):
            found = own(words, attention_mask=mask, logits_to_keep=kept).logits
            expected = theirs(words, attention_mask=mask, logits_to_keep=int(kept)).logits
            assert found.shape == (3, int(kept), V)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    for wrong in (
        {"logits_to_keep": -1},
        {"logits_to_keep": torch.tensor([1])},
        {"logits_to_keep": 1, "labels": words},
        {"logits_to_keep": 1, "lengths": [3, 4]},
    ):
        with pytest.raises(UsageError, match="must be a number from 0 on; with labels or lengths, leave it out"):
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
        ({"eos_token_id": "a"}, "eos_token_id is 'a', and must be a whole number, -1 or above"),
        ({"eos_token_id": [3, V]}, f"eos_token_id has the word {V}, and the vocabulary has {V}: 0 to {V - 1}"),
        ({"bad_words_ids": [[1, 2], [99]]}, "bad_words_ids has the word 99"),
        ({"forced_bos_token_id": 77}, "forced_bos_token_id has the word 77"),
        ({"suppress_tokens": [-1]}, "suppress_tokens is -1, and must be"),
        ({"attention_mask": torch.ones(2, 9)}, r"attention_mask has the shape \[2, 9\], and the words have \[2, 5\]"),
        ({"input_ids": "hello"}, r"'hello' \(str\), and must be a tensor \[batch, length\]"),
        ({"input_ids": torch.tensor([1, 2])}, r"must be a tensor \[batch, length\]"),
        ({"input_ids": torch.ones(2, 5)}, r"must be a tensor \[batch, length\] of whole numbers"),
        ({"inputs": torch.ones(2, 5, dtype=torch.long)}, "received inputs and input_ids, which are two names"),
        (
            {"attention_mask": [[1] * 5] * 2},
            r"attention_mask is \[\[1, 1, 1, 1, 1\].* \(list\), and the words have \[2, 5\]",
        ),
        ({"stopping_criteria": lambda words, scores: False}, "must be a list of functions: stopping_criteria="),
        ({"logits_processor": [lambda words, scores: scores[:1]]}, r"must return the changed scores, \[2, 40\]"),
        ({"generation_config": 5}, r"generation_config is 5 \(int\), and must be a GenerationConfig"),
        ({"encoder_outputs": torch.ones(2, 3, 16)}, "encoder_outputs are for an EncoderDecoderModel"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    own, _ = pair(7)
    with pytest.raises(UsageError, match=message):
        own.generate(
            **{"input_ids": torch.ones(2, 5, dtype=torch.long), "max_new_tokens": 3, "pad_token_id": 0, **options}
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 3])
def test_functions_of_the_caller_know_rows_by_their_number(beams: int) -> None:
    own, theirs = pair(0)
    prompt, mask = torch.tensor([[4, 5], [6, 7], [8, 9]]), torch.ones(3, 2, dtype=torch.long)
    options = {"num_beams": beams, "max_new_tokens": 5, "eos_token_id": 3, "pad_token_id": 0, "attention_mask": mask}
    allowed = [[3, 12], [20, 22], [21, 23]]
    prefix = transformers.PrefixConstrainedLogitsProcessor(lambda row, words: allowed[row], beams)
    expected = theirs.generate(prompt, **options, logits_processor=transformers.LogitsProcessorList([prefix]))
    found = own.generate(prompt, **options, logits_processor=[prefix])
    assert found.tolist() == expected.tolist()
    assert set(found[2, 2:].tolist()) <= {21, 23}


@pytest.mark.filterwarnings("ignore")
def test_a_row_that_a_criterion_ends_goes_on_without_an_end_token() -> None:
    own, theirs = pair(1)
    prompt = torch.tensor([[4, 5], [6, 7], [8, 9]])

    class Ends(transformers.StoppingCriteria):
        def __call__(self, words: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            return torch.arange(len(words)) < words.shape[1] - 3

    for end in (None, 3):
        options = {
            "max_new_tokens": 9,
            "eos_token_id": end,
            "pad_token_id": 0,
            "attention_mask": torch.ones_like(prompt),
        }
        criteria = transformers.StoppingCriteriaList([Ends()])
        expected = theirs.generate(prompt, **options, stopping_criteria=criteria)
        assert own.generate(prompt, **options, stopping_criteria=criteria).tolist() == expected.tolist()
        assert expected.shape[1] == 6


@pytest.mark.filterwarnings("ignore")
def test_the_default_length_counts_new_words() -> None:
    own, theirs = pair(2)
    for length, options in ((3, {}), (20, {}), (50, {}), (3, {"max_length": 20}), (60, {"max_new_tokens": 4})):
        prompt = torch.randint(4, V, (1, length), generator=torch.Generator().manual_seed(0))
        options |= {"eos_token_id": None, "pad_token_id": 0, "attention_mask": torch.ones_like(prompt)}
        assert own.generate(prompt, **options).tolist() == theirs.generate(prompt, **options).tolist()
    longest = own.generate(torch.randint(4, V, (1, 60)), max_new_tokens=5)  # the last word has no position
    assert longest.shape == (1, 65)
    padded = torch.cat([torch.zeros(1, 6, dtype=torch.long), torch.randint(4, V, (1, 58))], 1)
    assert own.generate(padded, max_new_tokens=7, pad_token_id=0).shape == (1, 71)


@pytest.mark.filterwarnings("ignore")
def test_settings_of_the_model_fill_those_of_an_object() -> None:
    own, theirs = pair(5)
    prompt = torch.tensor([[4, 5, 6]])
    for model in (own, theirs):
        model.generation_config.eos_token_id, model.generation_config.pad_token_id = 3, 0
        model.generation_config.num_beams = 3
    for settings in ({"max_new_tokens": 7}, {"max_new_tokens": 7, "num_beams": 2}):
        given = transformers.GenerationConfig(**settings)
        expected = theirs.generate(prompt, generation_config=given).tolist()
        assert own.generate(prompt, generation_config=given).tolist() == expected
        assert own.generate(prompt, generation_config=bertkit.GenerationConfig(**settings)).tolist() == expected
    alone = own.generate(prompt, bertkit.GenerationConfig(max_new_tokens=7), use_model_defaults=False)
    assert alone.tolist() == own.generate(prompt, max_new_tokens=7, num_beams=1).tolist() != expected


def test_settings_that_are_not_supported_are_no_silent_ones(tmp_path: Path) -> None:
    own, _ = pair(0)
    prompt = torch.tensor([[4, 5]])
    (tmp_path / "generation_config.json").write_text('{"typical_p": 0.2, "transformers_version": "4.57.6"}')
    given = bertkit.GenerationConfig.from_pretrained(tmp_path)
    with pytest.raises(UsageError, match="typical_p=0.2 is not supported: leave it out"):
        own.generate(prompt, generation_config=given)
    old = bertkit.BertLMHeadModel(bertkit.BertConfig(**SIZES, num_beam_groups=2))
    with pytest.raises(UsageError, match="num_beam_groups=2 is not supported"):
        old.generate(prompt)


def test_a_file_replaces_values_of_the_configuration_by_defaults(tmp_path: Path) -> None:
    torch.manual_seed(0)
    bertkit.BertLMHeadModel(bertkit.BertConfig(**SIZES, num_beams=4)).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"num_beams": 1}')
    assert bertkit.BertLMHeadModel.from_pretrained(tmp_path).generation_config.num_beams == 1


def test_a_warning_of_padding_on_the_right(caplog: pytest.LogCaptureFixture) -> None:
    own, _ = pair(5)
    for prompt in ([[0, 4], [5, 6]], [[4, 0], [5, 6]]):
        assert not caplog.text
        own.generate(torch.tensor(prompt), max_new_tokens=1, pad_token_id=0)
    assert "A prompt has padding on the right" in caplog.text


@pytest.mark.parametrize(
    "options", [{"top_k": 2}, {"top_p": 0.01}, {"forced_bos_token_id": 5}, {"num_return_sequences": 4}]
)
def test_beams_that_are_drawn_from_few_words(options: dict[str, Any]) -> None:
    own, _ = pair(5)
    words = own.generate(
        torch.tensor([[4], [6]]), num_beams=4, do_sample=True, seed=0, max_new_tokens=4, pad_token_id=0, **options
    )
    assert words.shape == (2 * options.get("num_return_sequences", 1), 5)
    assert len({tuple(row) for row in words.tolist()}) == len(words)


def test_none_and_values_that_change_nothing() -> None:
    own, _ = pair(5)
    prompt, options = torch.tensor([[4, 5, 6]]), {"max_new_tokens": 6, "pad_token_id": 0}
    expected = own.generate(prompt, eos_token_id=[3, 11], **options).tolist()
    without = dict.fromkeys(
        ("logits_processor", "stopping_criteria", "max_length", "min_length", "no_repeat_ngram_size", "assistant_model")
    )
    for end in ((3, 11), torch.tensor([3, 11]), np.array([3, 11])):
        assert own.generate(prompt, eos_token_id=end, synced_gpus=False, **without, **options).tolist() == expected
    endless = own.generate(prompt, eos_token_id=-1, min_length=5, **options)
    assert endless.tolist() == own.generate(prompt, eos_token_id=None, **options).tolist()


@pytest.mark.filterwarnings("ignore")
def test_ended_rows_are_filled_with_the_end_where_there_is_no_padding() -> None:
    own, theirs = pair(7)
    prompt = torch.tensor([[4, 5, 6, 7, 8], [9, 10, 11, 12, 13]])
    for model in (own, theirs):
        model.generation_config.pad_token_id = None
    for end in range(3, V):
        options = {"max_new_tokens": 5, "eos_token_id": end, "attention_mask": torch.ones_like(prompt)}
        assert own.generate(prompt, **options).tolist() == theirs.generate(prompt, **options).tolist()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 3])
def test_the_last_token_type_goes_on(beams: int) -> None:
    own, theirs = pair(7)
    prompt, options = torch.tensor([[4, 5, 6]]), {"num_beams": beams, "max_new_tokens": 5, "pad_token_id": 0}
    given = {"token_type_ids": torch.tensor([[0, 1, 1]]), **options}
    found = own.generate(prompt, **given).tolist()
    assert found == theirs.generate(prompt, **given).tolist() != own.generate(prompt, **options).tolist()


def test_a_layer_whose_forward_was_replaced() -> None:
    own, _ = pair(6)
    layer = own.bert.encoder.layer[0].output.dense
    layer.forward = lambda x: torch.zeros(*x.shape[:-1], 16)
    prompt = torch.randint(1, V, (2, 5))
    found = own.generate(prompt, max_new_tokens=1, pad_token_id=0, attention_mask=torch.ones_like(prompt))
    assert found[:, -1].tolist() == own(prompt).logits[:, -1].argmax(-1).tolist()
    del layer.forward
    assert found[:, -1].tolist() != own(prompt).logits[:, -1].argmax(-1).tolist()


def test_hooks_of_all_modules_run() -> None:
    own, _ = pair(6)
    seen: list[Any] = []
    dense = own.bert.encoder.layer[0].output.dense
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        own.generate(torch.randint(1, V, (2, 5)), max_new_tokens=2, pad_token_id=0)
    finally:
        handle.remove()
    assert sum(type(module) is torch.nn.Linear and module.weight is dense.weight for module in seen) == 2


def test_autocast() -> None:
    own, _ = pair(6)
    prompt = torch.randint(1, V, (2, 5))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = own(prompt).logits[:, -1].argmax(-1)
        found = own.generate(prompt, max_new_tokens=1, pad_token_id=0, attention_mask=torch.ones_like(prompt))
    assert found[:, -1].tolist() == expected.tolist()


def test_a_weight_of_another_class_and_a_module_without_a_truth() -> None:
    from bertkit.models.torch.copies import SmallProduct, for_few_rows

    class Weight(torch.nn.Parameter):
        pass

    class Compiled(torch.nn.Sequential):
        def __len__(self) -> int:
            raise TypeError("it has no length")

    layers = torch.nn.ModuleDict({"plain": torch.nn.Linear(4, 4), "own": torch.nn.Linear(4, 4)})
    layers["own"].weight = Weight(torch.zeros(4, 4))
    layers["inside"] = Compiled(torch.nn.Linear(4, 4))
    found = for_few_rows(layers)
    assert isinstance(found["plain"], SmallProduct) and isinstance(found["inside"]._modules["0"], SmallProduct)
    assert found["own"].weight is layers["own"].weight and type(found["own"]) is torch.nn.Linear


def test_prompt_tuning_is_refused() -> None:
    import peft

    own, _ = pair(5)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    with pytest.raises(UsageError, match="generate does not support prompt tuning and prefix tuning"):
        peft.get_peft_model(own, config).generate(input_ids=torch.tensor([[4, 5, 6]]), max_new_tokens=3)
