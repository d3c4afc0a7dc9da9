"""Text classification, zero-shot classification, multiple choice, next sentence prediction: windows, labels, scores, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from pipeline_cases import SENTENCES
from pipeline_classes import theirs
from pipeline_models import engine, folder, ours, tokenizer

from bertkit.data.batches import Row, pack
from bertkit.errors import UsageError
from bertkit.heads import Ask
from bertkit.pipelines import pipeline
from bertkit.tasks.numbers import sigmoid, softmax

LONG = " ".join(SENTENCES)
five = ours("text-classification", "five")


def window_logits(overlap: int = 8) -> np.ndarray:
    ids = tokenizer()(LONG, add_special_tokens=False)["input_ids"]
    rows, start = [], 0
    while True:
        some = ids[start : start + 62]
        rows.append(np.array([tokenizer().cls_token_id, *some, tokenizer().sep_token_id]))
        if start + 62 >= len(ids):
            break
        start += 62 - overlap
    batch = pack([Row(row, row * 0) for row in rows])
    return engine("five", "ForSequenceClassification").run(batch, Ask(("logits",)))["logits"]


@pytest.mark.parametrize("merge", ["mean", "max", "first", "vote"])
def test_windows_of_a_long_text(merge: str) -> None:
    logits = window_logits()
    if merge == "vote":
        expected = np.bincount(logits.argmax(1), minlength=5) / len(logits)
    else:
        one = {"mean": logits.mean(0), "max": logits.max(0), "first": logits[0]}[merge]
        expected = softmax(one)
    found = five(LONG, on_long="window", merge=merge, top_k=None)
    assert found[0]["label"] == f"LABEL_{expected.argmax()}"
    scores = {one["label"]: one["score"] for one in found}
    assert np.allclose([scores[f"LABEL_{i}"] for i in range(5)], expected, atol=1e-5)


def test_multi_label_scores_of_windows() -> None:
    tags = ours("text-classification", "tags")
    ids = tokenizer()(LONG, add_special_tokens=False)["input_ids"]
    found = {one["label"]: one["score"] for one in tags(LONG, on_long="window", top_k=None)}
    single = [tags(SENTENCES[0], top_k=None), tags(SENTENCES[1], top_k=None)]
    assert len(ids) > 500 and len(single) == 2
    assert all(0 <= score <= 1 for score in found.values())
    assert sigmoid(np.array([0.0])).tolist() == [0.5]


def test_the_second_text_as_a_keyword() -> None:
    both = {"text": SENTENCES[0], "text_pair": SENTENCES[1]}
    assert five(SENTENCES[0], text_pair=SENTENCES[1]) == [five(both)]
    assert five(**both, top_k=2) == five(both, top_k=2)


def test_windows_contain_all_tokens_of_a_pair() -> None:
    found = five({"text": SENTENCES[0], "text_pair": LONG}, on_long="window", details=True)
    assert found["windows"] > 10 and not found["truncated"]
    both = five({"text": LONG, "text_pair": LONG}, on_long="window", details=True)
    assert both["windows"] > 100


@pytest.mark.parametrize(
    ("inputs", "options", "match"),
    [
        (3, {}, "pass an example, or a list or stream"),
        (b"a", {}, "pass an example, or a list or stream"),
        ("a", {"overlap": 3, "stride": 3}, "overlap was passed twice"),
        ([3], {}, "takes a text"),
        ({"text": "a", "second": 3, "text_pair": 3}, {}, "takes a text"),
        ("a", {"function_to_apply": "sotfmax"}, "Did you mean 'softmax'"),
        ("a", {"on_long": "windows"}, "Did you mean 'window'"),
        ("a", {"merge": "median"}, "merge='median'"),
        ("a", {"top_k": 0}, "top_k=0"),
        ("a " * 99, {"on_long": "error"}, "The text has 101 tokens"),
        ("a " * 99, {"on_long": "window", "overlap": 80}, "overlap=80 is not smaller than a window, which has 62"),
    ],
)
def test_helpful_errors(inputs: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        five(inputs, **options)


def value(targets: list[list[Row]]) -> Any:
    """Return the label of the only row of the only example."""
    ((row,),) = targets
    return row.targets["labels"].values


def test_targets_and_scores() -> None:
    task = five._task
    assert value(task.targets(["a"], ["LABEL_3"], task.options({}))) == 3
    answers = five(["a", "the river"])
    assert task.score(answers, [one["label"] for one in answers])["accuracy"] == 1.0
    with pytest.raises(UsageError, match="Unknown label 'good'"):
        task.targets(["a"], ["good"], task.options({}))
    tags = ours("text-classification", "tags")
    flags = value(tags._task.targets(["a"], [["LABEL_0", "LABEL_3"]], tags._task.options({})))
    assert flags.dtype == np.float32 and flags.tolist() == [1, 0, 0, 1]
    answers = tags(["a", "b"], top_k=None)
    right = [[one["label"] for one in answer if one["score"] > 0.5] for answer in answers]
    assert tags._task.score(answers, right)["accuracy"] == 1.0
    number = ours("text-classification", "number")
    assert value(number._task.targets(["a"], [2.5], number._task.options({}))) == np.float32(2.5)
    answers = number(["a", "the river", "of"])
    assert number._task.score(answers, [one["score"] for one in answers])["pearson"] == pytest.approx(1)


def test_multiple_choice() -> None:
    choose = ours("multiple-choice", "choices")
    text, choices = SENTENCES[0], SENTENCES[1:4]
    encoded = tokenizer()([(text, choice) for choice in choices], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = theirs("choices")(**{name: column[None] for name, column in encoded.items()}).logits[0]
    found = choose({"text": text, "choices": choices})
    scores = logits.softmax(-1)
    assert [one["index"] for one in found] == scores.argsort(descending=True).tolist()
    assert np.allclose([one["score"] for one in found], scores.sort(descending=True).values.numpy(), atol=1e-5)
    assert list(found[0]) == ["score", "index", "choice"] and found[0]["choice"] == choices[found[0]["index"]]
    assert choose(text, choices=choices, top_k=1) == found[:1]
    assert len(choose([{"text": LONG, "choices": choices}], on_long="window", details=True)[0]["result"]) == 3
    task = choose._task
    for answer in (1, choices[1]):
        (rows,) = task.targets([{"text": text, "choices": choices}], [answer], task.options({"on_long": "window"}))
        assert [(row.targets["labels"].values, row.targets["labels"].grain) for row in rows] == [(1, "group")] * 3
        assert rows[0].group is not None and rows[0].group.rows == 3
        assert all(row.group is rows[0].group for row in rows)
    (cut,) = task.targets([{"text": LONG, "choices": choices}], [1], task.options({"on_long": "window"}))
    assert [len(row) for row in cut] == [64] * 3
    assert task.score([found], [found[0]["choice"]]) == {"accuracy": 1.0}
    with pytest.raises(UsageError, match='"choices": \\[...\\]'):
        choose({"text": "a", "choices": []})


def test_next_sentence() -> None:
    follows = ours("nsp", "order")
    first, second = SENTENCES[:2]
    with torch.no_grad():
        logits = theirs("order")(**tokenizer()(first, second, return_tensors="pt")).logits[0]
    scores = logits.softmax(-1).tolist()
    found = follows(first, second, top_k=None)
    assert {one["label"]: pytest.approx(one["score"], abs=1e-5) for one in found} == {
        "IsNext": scores[0],
        "NotNext": scores[1],
    }
    best = follows({"text": first, "text_pair": second})
    assert best == found[0] == follows((first, second))
    assert follows([(first, second), (second, first)])[0]["label"] == best["label"]
    assert follows._task.score([best], [best["label"]]) == {"accuracy": 1.0}
    assert value(follows._task.targets([(first, second)], ["NotNext"], follows._task.options({}))) == 1
    assert value(follows._task.targets([(first, second)], [0], follows._task.options({}))) == 0
    with pytest.raises(UsageError, match="only one text was passed"):
        follows("a text")


def test_zero_shot_without_a_label_for_entailment(caplog: pytest.LogCaptureFixture) -> None:
    """The scores are those of transformers, which warns, too."""
    found = pipeline("zero-shot-classification", folder("two"), precision="fp32")(SENTENCES[0], ["food", "law"])
    (message,) = caplog.messages
    assert message.startswith("No label of the model starts with 'entail', so that its last label, 'GOOD', counts")
    expected = transformers.pipeline("zero-shot-classification", folder("two"))(SENTENCES[0], ["food", "law"])
    assert found["labels"] == expected["labels"]
    assert found["scores"] == pytest.approx(expected["scores"], abs=1e-5)


def test_zero_shot() -> None:
    zero = ours("zero-shot-classification", "follows")
    assert zero(SENTENCES[0], ["food", "law"]) == zero(sequences=SENTENCES[0], candidate_labels="food, law")
    long = zero(LONG, ["food", "law"], on_long="window", details=True)
    assert long["windows"] > 8 and sum(long["result"]["scores"]) == pytest.approx(1)
    narrow = zero(LONG, ["the river " * 25], on_long="window", details=True)
    assert narrow["windows"] > 100
    cut = zero(LONG, ["food"], details=True)
    assert cut["truncated"] and cut["windows"] == 1
    ready = ours("zero-shot-classification", "follows", candidate_labels=["food", "law"])
    assert ready(SENTENCES[0]) == zero(SENTENCES[0], ["food", "law"])
    for options, match in (
        ({"candidate_labels": []}, "candidate_labels is empty"),
        ({"candidate_labels": 3}, "not a list of labels"),
        ({"candidate_labels": ["the " * 99]}, "type a shorter label"),
        ({"candidate_labels": ["a"], "hypothesis_template": "b"}, "has no {}"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{} {}"}, "has no {}"),
    ):
        with pytest.raises(UsageError, match=match):
            zero("a", **options)
    assert zero("a", ["food"], hypothesis_template=None) == zero("a", ["food"])  # None is the default
    with pytest.raises(UsageError, match="candidate_labels is empty"):
        zero("a")
    answers = zero(SENTENCES[:2], ["food", "law"])
    assert zero._task.score(answers, [answer["labels"][0] for answer in answers]) == {"accuracy": 1.0}
