"""Question answering, options that transformers does not have: scores over windows, no answer by a threshold, long questions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pipeline_cases import QUESTIONS, SENTENCES
from pipeline_models import ours

from bertkit.data.batches import Row
from bertkit.errors import UsageError

qa = ours("question-answering", "answers")
LONG = " ".join(SENTENCES * 4)


@pytest.mark.parametrize("options", [{}, {"doc_stride": 20}, {"max_seq_len": 30}, {"align_to_words": False}])
def test_many_windows(options: dict[str, Any]) -> None:
    found = qa(question=QUESTIONS[0], context=LONG, top_k=50, details=True, **options)
    assert found["windows"] > 20
    scores = [one["score"] for one in found["result"]]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] <= scores[0] <= 1
    texts = [one["answer"].lower() for one in found["result"]]
    assert len(texts) == len(set(texts)) == 50
    for one in found["result"]:
        assert list(one) == ["score", "start", "end", "answer"]
        assert LONG[one["start"] : one["end"]] == one["answer"]


def test_an_answer_in_many_windows_counts_once() -> None:
    """The score is not the sum over windows, as in transformers, which may exceed 1."""
    word = "Beethoven "
    found = qa(question="Who?", context=word * 300, top_k=1, max_answer_len=1)
    once = qa(question="Who?", context=(word * 57).strip(), top_k=1, max_answer_len=1)
    assert found["answer"] == once["answer"] == "Beethoven"
    assert found["score"] <= 1


def test_no_answer_by_a_threshold() -> None:
    question, context = QUESTIONS[1], SENTENCES[4]
    plain = qa(question=question, context=context, top_k=3)
    never = qa(question=question, context=context, top_k=3, null_threshold=1e9)
    always = qa(question=question, context=context, top_k=3, null_threshold=-1e9)
    assert never == plain
    assert always[0]["answer"] == "" and (always[0]["start"], always[0]["end"]) == (0, 0)
    assert always[1:] == plain[:2]
    assert qa(question=question, context=context, null_threshold=-1e9)["answer"] == ""
    qa.config.null_score_diff_threshold = -1e9
    try:
        assert qa(question=question, context=context, handle_impossible_answer=True)["answer"] == ""
        assert qa(question=question, context=context, top_k=3) == plain
    finally:
        del qa.config.null_score_diff_threshold


def test_a_long_question_is_truncated() -> None:
    found = qa(question=LONG, context=LONG, details=True)
    assert found["windows"] > 10 and found["result"]["answer"]


def test_truncated_tokens_of_a_question_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    question, context = "the " * 100 + "who?", "Anna."
    count = len(qa.tokenizer(question, context)["input_ids"])
    found = qa(question=question, context=context, details=True)
    assert found["truncated"] and found["n_tokens"] == count
    sentence = "1 of 2 texts are longer than a row takes, and 70 of their tokens were left out"
    caplog.clear()
    qa([{"question": question, "context": context}, {"question": "Who?", "context": context}])
    assert len(caplog.records) == 1 and caplog.records[0].getMessage().startswith(sentence)
    assert caplog.records[0].getMessage().endswith("or a larger max_question_len, to read all of them.")
    with pytest.raises(
        UsageError, match="The question has 102 tokens, and at most 9 are used: .* max_question_len=32, the maximum"
    ):
        qa(question=question, context=context, on_long="error", max_question_len=9)
    assert not qa(question="Who?", context=context, details=True)["truncated"]


@pytest.mark.parametrize(
    "call",
    [
        ((), {"question": "Who?", "context": "Anna."}),
        (({"question": "Who?", "context": "Anna."},), {}),
        (([{"question": "Who?", "context": "Anna."}],), {}),
        (("Who?", "Anna."), {}),
        ((), {"question": ["Who?"], "context": "Anna."}),
    ],
)
def test_every_form_of_passing_one_question(call: tuple[Any, Any]) -> None:
    assert isinstance(qa(*call[0], **call[1]), dict)


def test_a_text_without_tokens_has_no_answer() -> None:
    assert qa(question="Who?", context="\u200b") == {"score": 0.0, "start": 0, "end": 0, "answer": ""}


def test_several_questions() -> None:
    pairs = [{"question": question, "context": text} for question, text in zip(QUESTIONS, SENTENCES, strict=False)]
    one_by_one = [qa(pair) for pair in pairs]
    together = qa(pairs)
    assert [one["answer"] for one in together] == [one["answer"] for one in one_by_one]
    assert np.allclose([one["score"] for one in together], [one["score"] for one in one_by_one], atol=1e-6)
    assert len(qa(question=QUESTIONS, context=LONG)) == len(QUESTIONS)


@pytest.mark.parametrize(
    ("args", "options", "match"),
    [
        (("a",), {}, 'takes {"question"'),
        (({"question": "a", "context": " "},), {}, "The context is empty"),
        ((), {"question": ["a"], "context": ["b", "c"]}, "1 questions were passed with 2 contexts"),
        ((), {"question": "a", "context": "b", "top_k": 0}, "top_k=0"),
        ((), {"question": "a", "context": "b", "max_answer_length": 3}, "Did you mean 'max_answer_len'"),
        ((), {"question": 3, "context": "b"}, "question is 3"),
        ((), {"question": "a", "context": "b " * 90, "on_long": "error"}, "a row has at most 64"),
    ],
)
def test_helpful_errors(args: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        qa(*args, **options)


def test_targets_and_score() -> None:
    task, text = qa._task, SENTENCES[18]
    options = task.options({})
    asked = {"question": "Where?", "context": text}
    right = {"answer_start": text.index("Bonn"), "text": "Bonn"}
    for answer in (right, {"answer_start": text.index("Bonn") - 1, "text": " Bonn "}):
        (rows,) = task.targets([asked], [answer], options)
        assert len(rows) == 1 and {target.grain for target in rows[0].targets.values()} == {"row"}
        first, last = spans_of(rows)[0]
        words = qa.tokenizer.convert_ids_to_tokens(rows[0].input_ids[first : last + 1].tolist())
        assert qa.tokenizer.convert_tokens_to_string(words) == "bonn"
    for nothing in (None, {"answer_start": 0, "text": ""}):
        (none,) = task.targets([asked], [nothing], options)
        assert spans_of(none) == [[0, 0]]
    (far,) = task.targets(
        [{"question": "Where?", "context": LONG}], [{"answer_start": LONG.index("Kyoto"), "text": "Kyoto"}], options
    )
    assert 1 <= sum(span != [0, 0] for span in spans_of(far)) <= 3  # in one window, or in the overlap of several
    assert len(far) > 10 and all(row.group is far[0].group for row in far)
    answers = [{"score": 1.0, "start": 0, "end": 4, "answer": "Bonn"}]
    assert task.score(answers, [["Bonn", "in Bonn"]]) == {"exact_match": 100.0, "f1": 100.0}
    assert task.score(answers, [[]])["exact"] == 0.0


def spans_of(rows: list[Row]) -> list[list[int]]:
    return [[int(row.targets[name].values) for name in ("start_positions", "end_positions")] for row in rows]


def test_a_window_with_a_part_of_the_answer_has_no_target() -> None:
    """Windows with only the first or only the last tokens of an answer."""
    task, words = qa._task, LONG.split()
    start, text = LONG.index("Kyoto"), " ".join(words[words.index("Kyoto") : words.index("Kyoto") + 12])
    (rows,) = task.targets(
        [{"question": "Where?", "context": LONG}], [{"answer_start": start, "text": text}], task.options({})
    )
    found = [(row, span) for row, span in zip(rows, spans_of(rows), strict=True) if span != [0, 0]]
    pieces = qa.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert found and all(row.input_ids[first : last + 1].tolist() == pieces for row, (first, last) in found)
