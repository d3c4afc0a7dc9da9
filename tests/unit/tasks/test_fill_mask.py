"""Fill-mask, options that transformers does not have: targets of several tokens, several masks together, long texts."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline_models import engine, ours, tokenizer

from bertkit.data.batches import Row, pack
from bertkit.errors import UsageError
from bertkit.heads import Ask
from bertkit.pipelines import pipeline
from bertkit.tasks.numbers import log_softmax, softmax
from bertkit.tasks.windows import Whole, around, neighbours

fill = ours("fill-mask", "masked")


def log_probs(ids: list[int], place: int) -> np.ndarray:
    """Return the log probability of each token at a position of a row."""
    row = Row(np.array(ids), np.zeros(len(ids), np.int64), np.array([place]))
    return log_softmax(engine("masked", "ForMaskedLM").run(pack([row]), Ask(("logits",)))["logits"][0])


def test_a_target_of_several_pieces_is_scored_by_the_chain_rule() -> None:
    text, word = "The [MASK] closed the harbour.", "photosynthesis"
    pieces = tokenizer()(word, add_special_tokens=False)["input_ids"]
    assert len(pieces) > 2
    ids = tokenizer()(text)["input_ids"]
    mask = tokenizer().mask_token_id
    place, total = ids.index(mask), 0.0
    ids[place : place + 1] = [mask] * len(pieces)
    for number, piece in enumerate(pieces):
        total += float(log_probs(ids, place + number)[piece])
        ids[place + number] = piece
    found = fill(text, targets=[word, "river"])
    assert [one["token_str"] for one in found] != [] and {one["token_str"] for one in found} == {word, "river"}
    one = next(one for one in found if one["token_str"] == word)
    assert one["token"] == pieces
    assert one["score"] == pytest.approx(np.exp(total), rel=1e-4)
    assert one["sequence"] == "the photosynthesis closed the harbour."
    river = next(one for one in found if one["token_str"] == "river")
    assert river["score"] == pytest.approx(fill(text, targets="river")[0]["score"], rel=1e-5)


def test_a_target_of_one_token_has_the_same_score_as_without_targets() -> None:
    everything = fill("The [MASK] closed the harbour.", top_k=400)
    best = everything[0]
    assert fill("The [MASK] closed the harbour.", targets=[best["token_str"]])[0]["score"] == pytest.approx(
        best["score"]
    )


@pytest.mark.parametrize("text", ["The [MASK] is [MASK].", "[MASK] the river, [MASK] of it"])
def test_the_best_filling_of_two_masks(text: str) -> None:
    """Beam search finds the same as a search of all pairs."""
    ids = tokenizer()(text)["input_ids"]
    first, second = (place for place, token in enumerate(ids) if token == tokenizer().mask_token_id)
    start = log_probs(ids, first)
    rows = []
    for token in range(len(start)):
        filled = np.array(ids)
        filled[first] = token
        rows.append(Row(filled, np.zeros(len(ids), np.int64), np.array([second])))
    logits = engine("masked", "ForMaskedLM").run(pack(rows), Ask(("logits",)))["logits"]
    pairs = start[:, None] + log_softmax(logits)
    best = np.unravel_index(pairs.argmax(), pairs.shape)
    found = fill(text, joint=True)
    assert found[0]["token"] == [int(token) for token in best]
    assert found[0]["score"] == pytest.approx(np.exp(pairs.max()), rel=1e-4)
    assert list(found[0]) == ["score", "token", "token_str", "sequence"]
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True) and len(scores) == 5
    assert "[MASK]" not in found[0]["sequence"]


def test_a_mask_in_a_long_text_is_filled_from_its_context() -> None:
    words = ["river"] * 300
    words[250] = "[MASK]"
    found = fill(" ".join(words), details=True)
    assert (found["truncated"], found["windows"], found["n_tokens"]) == (False, 1, 302)
    assert len(found["result"][0]["sequence"].split()) == 300
    assert found["result"][0]["score"] == pytest.approx(fill(" ".join(words))[0]["score"])
    with pytest.raises(UsageError, match='on_long="window"'):
        fill(" ".join(words), on_long="truncate")
    with pytest.raises(UsageError, match="302 tokens, and a row has at most 64"):
        fill(" ".join(words), on_long="error")


def test_distant_masks_have_separate_windows() -> None:
    words = ["river"] * 300
    for place in (2, 10, 150, 299):
        words[place] = "[MASK]"
    found = fill(" ".join(words), details=True)
    assert found["windows"] == 3
    assert [len(one) for one in found["result"]] == [5] * 4


def test_a_mask_is_in_the_middle_of_its_window() -> None:
    whole = Whole(np.arange(100), 1, 1)
    row = around(whole, [50], 20)
    assert len(row) == 20 and row.input_ids[0] == 0 and row.input_ids[-1] == 99
    assert row.positions is not None and row.input_ids[row.positions].tolist() == [50]
    assert row.input_ids[1:-1].tolist() == list(range(41, 59))
    for place in (1, 2, 97, 98):
        row = around(whole, [place], 20)
        assert len(row) == 20 and row.positions is not None
        assert row.input_ids[row.positions].tolist() == [place]
    assert neighbours([1, 2, 30], 10) == [[1, 2], [30]]


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        ("no mask", {}, "The text has no \\[MASK\\]: replace"),
        (7, {}, "takes a text"),
        ("[MASK]", {"targets": []}, "targets is empty"),
        ("[MASK]", {"targets": [3]}, "a target is a word"),
        ("[MASK]", {"targets": [" "]}, "has no tokens"),
        ("[MASK]", {"top_k": 0}, "top_k=0 is not an integer"),
        ("[MASK]", {"topk": 3}, "Did you mean 'top_k'"),
        ("[MASK]", {"joint": True, "targets": ["a"]}, "leave one of them out"),
    ],
)
def test_helpful_errors(text: object, options: dict[str, object], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        fill([text, text], **options)


def test_targets_and_score() -> None:
    task = fill._task
    (rows,) = task.targets(["The [MASK] is [MASK]."], [["river", "The"]], task.options({}))
    assert len(rows) == 1
    assert rows[0].targets["labels"].grain == "place"
    assert tokenizer().convert_ids_to_tokens(rows[0].targets["labels"].values.tolist()) == ["river", "the"]
    answers = fill(["The [MASK].", "The [MASK] of [MASK]."])
    best = [answers[0][0]["token_str"], [masks[0]["token_str"] for masks in answers[1]]]
    assert task.score(answers, best) == {"accuracy": 1.0}
    assert np.isclose(softmax(np.array([0.0, 0.0])).sum(), 1)


@pytest.mark.parametrize(("side", "words"), [("right", ["the", "of"]), ("left", ["is"])])
def test_targets_of_truncated_masks(side: str, words: list[str]) -> None:
    """An answer has a word for each mask of the text, also for truncated masks."""
    text = ["river"] * 300
    for place in (2, 10, 299):
        text[place] = "[MASK]"
    task = fill._task
    tokenizer().truncation_side = side
    try:
        (cut,) = task.targets([" ".join(text)], [["the", "of", "is"]], task.options({"on_long": "truncate"}))
    finally:
        tokenizer().truncation_side = "right"
    assert [tokenizer().convert_ids_to_tokens(row.targets["labels"].values.tolist()) for row in cut] == [words]
    (windows,) = task.targets([" ".join(text)], [["the", "of", "is"]], task.options({}))
    labels = [tokenizer().convert_ids_to_tokens(row.targets["labels"].values.tolist()) for row in windows]
    assert labels == [["the", "of"], ["is"]]
    assert all(row.group is windows[0].group for row in windows)


def test_a_decoder_cannot_fill_masks() -> None:
    with pytest.raises(UsageError, match='a decoder uses only .* type task="sentence-scoring"'):
        pipeline("fill-mask", engine("decoder", "LMHeadModel"), tokenizer=tokenizer())


def test_truncation_side() -> None:
    words = ["river"] * 300
    words[299] = "[MASK]"
    tokenizer().truncation_side = "left"
    try:
        found = fill(" ".join(words), on_long="truncate", details=True)
    finally:
        tokenizer().truncation_side = "right"
    assert found["truncated"] and len(found["result"][0]["sequence"].split()) == 62
