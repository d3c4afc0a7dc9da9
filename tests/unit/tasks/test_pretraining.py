"""Pretraining: masked words and the next sentence from one model, masks in windows, truncated masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pipeline_cases import SENTENCES
from pipeline_classes import theirs
from pipeline_models import engine, exact_engine, ours, tokenizer

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.pipelines import pipeline
from bertkit.tasks.pretraining import Pretraining

joint = ours("pretraining", "joint")
LONG = " ".join(SENTENCES)
PAIR = ("The [MASK] is long.", "It runs to the [MASK] [MASK].")


def test_answers() -> None:
    encoded = tokenizer()(*PAIR, return_tensors="pt")
    with torch.no_grad():
        output = theirs("joint")(**encoded)
    places = (encoded["input_ids"][0] == tokenizer().mask_token_id).nonzero()[:, 0]
    words = output.prediction_logits[0, places].softmax(-1)
    related = output.seq_relationship_logits[0].softmax(-1)
    found = joint({"text": PAIR[0], "text_pair": PAIR[1]}, top_k=3)
    assert list(found) == ["masks", "next_sentence"]
    assert [[one["token"] for one in some] for some in found["masks"]] == words.topk(3).indices.tolist()
    for some, scores in zip(found["masks"], words.topk(3).values, strict=True):
        assert list(some[0]) == ["score", "token", "token_str"]
        assert [one["score"] for one in some] == pytest.approx(scores.tolist(), abs=1e-5)
        assert [one["token_str"] for one in some] == [tokenizer().decode([one["token"]]) for one in some]
    assert found["next_sentence"]["label"] == ("IsNext", "NotNext")[int(related.argmax())]
    assert found["next_sentence"]["score"] == pytest.approx(float(related.max()), abs=1e-5)
    assert joint(PAIR, top_k=3) == joint(*PAIR, top_k=3) == found
    assert joint("A river.", "It is long.")["masks"] == []
    assert len(joint(PAIR)["masks"][0]) == 5


def test_an_answer_does_not_depend_on_its_batch() -> None:
    exact = pipeline("pretraining", exact_engine("joint", Pretraining.head), tokenizer=tokenizer())
    alone, second = exact(PAIR, top_k=3), exact([PAIR, PAIR], top_k=3)[1]
    for one, other in zip(alone["masks"], second["masks"], strict=True):
        assert [word["token_str"] for word in one] == [word["token_str"] for word in other]
        assert [word["score"] for word in one] == pytest.approx([word["score"] for word in other], abs=1e-12, rel=0)
    assert alone["next_sentence"]["label"] == second["next_sentence"]["label"]
    assert alone["next_sentence"]["score"] == pytest.approx(second["next_sentence"]["score"], abs=1e-12, rel=0)


def test_a_mask_is_predicted_in_the_window_with_most_context() -> None:
    words = LONG.split()
    for place in (3, 100, 200):
        words[place] = "[MASK]"
    found = joint((" ".join(words), "A [MASK]."), on_long="window", details=True)
    assert found["windows"] > 5 and len(found["result"]["masks"]) == 4
    task = joint._task
    options = task.options({"on_long": "window"})
    (encoded,) = task.encode([(" ".join(words), "A [MASK].")], options)
    assert sum(len(masks) for masks in encoded.memory.masks) > 4
    best = list(task._best_places(encoded.memory))
    margins = {}
    for masks, own in zip(encoded.memory.masks, encoded.memory.margins, strict=True):
        for mask, margin in zip(masks, own, strict=True):
            margins[mask] = max(margin, margins.get(mask, 0))
    assert [encoded.memory.margins[row][place] for row, place in best] == [margins[mask] for mask in sorted(margins)]


@pytest.mark.parametrize("side", ["right", "left"])
def test_targets_of_truncated_masks(side: str) -> None:
    """An answer has a word for each mask of the two texts, also for truncated masks."""
    first = " ".join(["[MASK]", *["river"] * 100, "[MASK]"])
    answer = {"words": ["the", "of", "is"], "next_sentence": "NotNext"}
    task = joint._task
    tokenizer().truncation_side = side
    try:
        ((row,),) = task.targets([(first, "A [MASK].")], [answer], task.options({}))
    finally:
        tokenizer().truncation_side = "right"
    assert row.positions is not None and len(row) == 64
    assert (row.input_ids[row.positions] == tokenizer().mask_token_id).all()
    words = tokenizer().convert_ids_to_tokens(row.targets["labels"].values.tolist())
    assert words == (["the", "is"] if side == "right" else ["of", "is"])
    assert np.asarray(row.targets["next_sentence_label"].values) == 1


def test_score() -> None:
    answers = [joint(PAIR), joint("A river.", "It is long.")]
    right = [
        {"words": [some[0]["token_str"] for some in one["masks"]], "next_sentence": one["next_sentence"]["label"]}
        for one in answers
    ]
    assert joint._task.score(answers, right) == {"mask_accuracy": 1.0, "next_sentence_accuracy": 1.0}
    right[0]["words"][0] = "nothing"
    assert joint._task.score(answers, right)["mask_accuracy"] == pytest.approx(2 / 3)
    assert joint._task.score(answers[1:], right[1:]) == {"next_sentence_accuracy": 1.0}


def test_helpful_errors() -> None:
    with pytest.raises(UsageError, match="only one text was passed"):
        joint("a [MASK]")
    with pytest.raises(UsageError, match="top_k=0"):
        joint(PAIR, top_k=0)
    with pytest.raises(UsageError, match="pretraining needs an encoder"):
        Pretraining(tokenizer(), BertConfig(is_decoder=True))
    with pytest.raises(UsageError, match="needs a BertForPreTraining"):
        pipeline("pretraining", engine("masked", "ForMaskedLM"), tokenizer=tokenizer())
