"""Targets: packed rows have the same loss as transformers' padded batches, for each class. Invalid answers raise errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pipeline_classes
import pytest
import torch
import transformers
from pipeline_cases import MODELS, NER_LABELS, SENTENCES
from pipeline_models import folder, ours, tokenizer

from bertkit.config import BertConfig
from bertkit.data.batches import Limits, Row, by_length, pack
from bertkit.errors import UsageError
from bertkit.tasks import TASKS, task_class
from bertkit.tasks.text_classification import TextClassification

LONG = " ".join(SENTENCES)
THREE = [SENTENCES[0], SENTENCES[20], SENTENCES[40] + " " + SENTENCES[41]]
PAIRS = [(SENTENCES[0], SENTENCES[1]), (SENTENCES[2], SENTENCES[3]), (SENTENCES[4], "It rained.")]
MASKED = [("The [MASK] is [MASK].", "It [MASK] of the sea."), ("A river.", "A [MASK]."), ("No mask.", "None at all.")]
WORDS = [["river", "long", "was"], ["river"], []]


def packed_loss(name: str, rows: list[Row]) -> float:
    """Return the loss of bertkit's class for packed rows."""
    head, batch = MODELS[name][0], pack(rows)
    lengths = batch.lengths
    if head == "ForMultipleChoice":
        assert batch.groups is not None
        lengths = lengths.reshape(len(batch.groups), -1)
    labels = {key: torch.from_numpy(values) for key, values in batch.labels(head).items()}
    ids, types = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.token_type_ids)
    with torch.no_grad():
        return float(
            pipeline_classes.ours(name)(ids, token_type_ids=types, lengths=torch.from_numpy(lengths), **labels).loss
        )


def padded_loss(name: str, encoded: Any, **labels: torch.Tensor) -> float:
    """Return the loss of transformers' class for a padded batch."""
    with torch.no_grad():
        return float(pipeline_classes.theirs(name)(**encoded, **labels).loss)


def words() -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder("masked"))


def rectangle(first: list[str], second: list[str] | None = None) -> Any:
    """Encode and pad texts with transformers' tokenizer."""
    return words()(first, second, padding=True, truncation=True, max_length=64, return_tensors="pt")


def rows_of(task: str, name: str, examples: list[Any], answers: list[Any], **options: Any) -> list[Row]:
    own = ours(task, name)._task
    return [row for rows in own.targets(examples, answers, own.options(options)) for row in rows]


@pytest.mark.parametrize(
    ("name", "answers", "labels"),
    [
        ("two", ["GOOD", 0, "BAD"], torch.tensor([1, 0, 0])),
        ("five", [4, "LABEL_1", np.int64(2)], torch.tensor([4, 1, 2])),
        ("tags", [["LABEL_1", 3], [], [0]], torch.tensor([[0.0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])),
        ("stars", [2.5, -1, 4], torch.tensor([2.5, -1, 4])),
        ("number", [2.5, -1, 4], torch.tensor([2.5, -1, 4])),
    ],
)
def test_text_classification(name: str, answers: list[Any], labels: torch.Tensor) -> None:
    rows = rows_of("text-classification", name, THREE, answers)
    assert packed_loss(name, rows) == pytest.approx(padded_loss(name, rectangle(THREE), labels=labels), abs=1e-5)
    pairs = rows_of("text-classification", name, PAIRS, answers)
    expected = padded_loss(name, rectangle(*map(list, zip(*PAIRS, strict=True))), labels=labels)
    assert packed_loss(name, pairs) == pytest.approx(expected, abs=1e-5)


def test_token_classification() -> None:
    texts = [text.split() for text in THREE]
    answers = [[NER_LABELS[number % 7] for number in range(len(text))] for text in texts]
    rows = rows_of("token-classification", "names", texts, answers, is_split_into_words=True)
    encoded = words()(texts, is_split_into_words=True, padding=True, return_tensors="pt")
    labels = torch.full(encoded["input_ids"].shape, -100)
    for number in range(len(texts)):
        owners = encoded.word_ids(number)
        for place, word in enumerate(owners):
            if word is not None and owners[place - 1] != word:
                labels[number, place] = word % 7
    assert packed_loss("names", rows) == pytest.approx(padded_loss("names", encoded, labels=labels), abs=1e-5)


def test_fill_mask() -> None:
    texts, answers = ["The [MASK] is [MASK].", "A [MASK]."], [["river", "long"], "was"]
    rows = rows_of("fill-mask", "masked", texts, answers)
    encoded = rectangle(texts)
    labels = torch.full(encoded["input_ids"].shape, -100)
    labels[encoded["input_ids"] == tokenizer().mask_token_id] = torch.tensor(
        tokenizer().convert_tokens_to_ids(["river", "long", "was"])
    )
    assert packed_loss("masked", rows) == pytest.approx(padded_loss("masked", encoded, labels=labels), abs=1e-5)


def test_next_sentence() -> None:
    rows = rows_of("next-sentence-prediction", "order", PAIRS, ["IsNext", 1, "NotNext"])
    encoded = rectangle(*map(list, zip(*PAIRS, strict=True)))
    expected = padded_loss("order", encoded, labels=torch.tensor([0, 1, 1]))
    assert packed_loss("order", rows) == pytest.approx(expected, abs=1e-5)


def test_pretraining() -> None:
    answers = [
        {"words": own, "next_sentence": label} for own, label in zip(WORDS, ["NotNext", 0, "IsNext"], strict=True)
    ]
    rows = rows_of("pretraining", "joint", MASKED, answers)
    encoded = rectangle(*map(list, zip(*MASKED, strict=True)))
    labels = torch.full(encoded["input_ids"].shape, -100)
    labels[encoded["input_ids"] == tokenizer().mask_token_id] = torch.tensor(
        tokenizer().convert_tokens_to_ids([word for own in WORDS for word in own])
    )
    expected = padded_loss("joint", encoded, labels=labels, next_sentence_label=torch.tensor([1, 0, 0]))
    assert packed_loss("joint", rows) == pytest.approx(expected, abs=1e-5)


def test_multiple_choice() -> None:
    examples = [{"text": SENTENCES[n], "choices": SENTENCES[n + 1 : n + 4]} for n in (0, 10)]
    rows = rows_of("multiple-choice", "choices", examples, [2, SENTENCES[11]])
    first = [example["text"] for example in examples for _ in range(3)]
    second = [choice for example in examples for choice in example["choices"]]
    encoded = {name: column.reshape(2, 3, -1) for name, column in rectangle(first, second).items()}
    expected = padded_loss("choices", encoded, labels=torch.tensor([2, 0]))
    assert packed_loss("choices", rows) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("context", [SENTENCES[18], LONG])
def test_question_answering(context: str) -> None:
    """One row, and many windows. transformers runs each row separately, without padding, as padding has logits there."""
    questions = ["Who was born in Bonn?", "Where?"]
    answers = [{"answer_start": context.index("Ludwig"), "text": "Ludwig van Beethoven"}, None]
    examples = [{"question": question, "context": context} for question in questions]
    rows = rows_of("question-answering", "answers", examples, answers, overlap=20)
    encoded = words()(
        questions, [context] * 2, truncation="only_second", max_length=64, stride=20, return_overflowing_tokens=True
    )
    losses, starts, owners = [], [], encoded.pop("overflow_to_sample_mapping")
    begin = context.index("Ludwig")
    for number, owner in enumerate(owners):
        first = encoded.char_to_token(number, begin, 1)
        last = encoded.char_to_token(number, begin + len("Ludwig van Beethoven") - 1, 1)
        is_complete = owner == 0 and first is not None and last is not None
        starts.append(first if is_complete else 0)
        positions = {
            "start_positions": torch.tensor([starts[-1]]),
            "end_positions": torch.tensor([last if is_complete else 0]),
        }
        row = {name: torch.tensor([column[number]]) for name, column in encoded.items()}
        losses.append(padded_loss("answers", row, **positions))
    assert len(rows) == len(owners) and any(starts)
    assert packed_loss("answers", rows) == pytest.approx(np.mean(losses), abs=1e-5)


def test_several_labels_are_stacked() -> None:
    task = TextClassification(tokenizer(), BertConfig(num_labels=3, problem_type="multi_label_classification"))
    rows = [row for rows in task.targets(["a", "b"], [[0], ["LABEL_1", 2]], task.options({})) for row in rows]
    assert pack(rows).labels("ForSequenceClassification")["labels"].tolist() == [[1, 0, 0], [0, 1, 1]]
    number = TextClassification(tokenizer(), BertConfig(num_labels=3, problem_type="regression"))
    rows = [row for rows in number.targets(["a", "b"], [[0, 1.5, 2]] * 2, number.options({})) for row in rows]
    assert pack(rows).labels("ForSequenceClassification")["labels"].tolist() == [[0, 1.5, 2], [0, 1.5, 2]]


ANSWER = {"answer_start": 0, "text": "The"}
TRAINED: dict[str, tuple[str, Any, Any]] = {
    "fill-mask": ("masked", "[MASK] " + LONG + " [MASK]", ["the", "of"]),
    "text-classification": ("five", LONG, 1),
    "token-classification": ("names", LONG.split(), [0] * len(LONG.split())),
    "question-answering": ("answers", {"question": "Who?", "context": LONG}, ANSWER),
    "multiple-choice": ("choices", {"text": LONG, "choices": ["a", "b", "c"]}, 1),
    "next-sentence-prediction": ("order", {"text": LONG, "text_pair": "a"}, 0),
    "pretraining": ("joint", ("[MASK] " + LONG, "a"), {"words": ["the"], "next_sentence": 0}),
}


def test_tasks_that_can_be_trained() -> None:
    """Those below, and sentence embeddings and summaries: tests/unit/training/test_embeddings.py and test_summaries.py."""
    elsewhere = {"sentence-embedding", "summarization"}
    assert {task for task in TASKS if hasattr(task_class(task), "targets")} == TRAINED.keys() | elsewhere


@pytest.mark.parametrize("task", TRAINED)
def test_rows_of_an_example_stay_in_one_batch(task: str) -> None:
    name, example, answer = TRAINED[task]
    options = {"on_long": "window"} | ({"is_split_into_words": True} if task == "token-classification" else {})
    rows = rows_of(task, name, [example] * 3, [answer] * 3, **options)
    assert len(rows) > 3
    batches = by_length(rows, Limits(tokens=100))
    for batch in batches:
        pack([rows[number] for number in batch])  # raises for a part of a group
    owners = [{id(rows[number].group) for number in batch} for batch in batches]
    assert len(set().union(*owners)) == sum(map(len, owners)) == 3


WRONG: list[tuple[str, str, Any, Any, str]] = [
    ("text-classification", "two", "a", "good", "Unknown label 'good' .* BAD, GOOD"),
    ("text-classification", "two", "a", 2, "Unknown label 2 .* from 0 to 1"),
    ("text-classification", "two", "a", -1, "Unknown label -1"),
    ("text-classification", "two", "a", True, "Unknown label True"),
    ("text-classification", "two", "a", 1.0, "Unknown label 1.0"),
    ("text-classification", "two", "a", ["GOOD"], "Unknown label \\['GOOD'\\]"),
    ("text-classification", "tags", "a", "LABEL_1", "needs a list of labels for each text, not 'LABEL_1'"),
    ("text-classification", "tags", "a", ["LABEL_9"], "Unknown label 'LABEL_9'"),
    ("text-classification", "tags", "a", [0, 1, 0, 1], "has one label twice"),
    ("text-classification", "number", "a", float("nan"), "An answer is a number, not nan"),
    ("text-classification", "number", "a", "2.5", "An answer is a number, not '2.5'"),
    ("text-classification", "number", "a", [1.0, 2.0], "An answer is a number"),
    ("text-classification", "number", "a", None, "An answer is a number"),
    ("text-classification", "two", 3, "GOOD", "takes a text"),
    ("token-classification", "names", ["a", "b"], ["O"], "A text of 2 words has 1 labels"),
    ("token-classification", "names", ["a", "b"], ["O"] * 3, "A text of 2 words has 3 labels"),
    ("token-classification", "names", ["a", "b"], ["O", "B-X"], "Unknown label 'B-X'"),
    ("token-classification", "names", ["a", "b"], ["O", -100], "Unknown label -100"),
    ("token-classification", "names", ["a", "b"], "OO", "a list with a label for each word"),
    ("fill-mask", "masked", "a [MASK]", ["the", "of"], "has 1 masks, but the answer has 2 words"),
    ("fill-mask", "masked", "a [MASK]", "photosynthesis", "'photosynthesis' has 7 tokens, and a mask is one token"),
    ("fill-mask", "masked", "a [MASK]", "☃", "not in the vocabulary"),
    ("fill-mask", "masked", "a [MASK]", 3, "a word for each mask"),
    ("fill-mask", "masked", "a", [], "The text has no \\[MASK\\]"),
    ("next-sentence-prediction", "order", ("a", "b"), "Next", '"IsNext", "NotNext", 0 or 1'),
    ("next-sentence-prediction", "order", ("a", "b"), 2, '"IsNext", "NotNext", 0 or 1'),
    ("next-sentence-prediction", "order", ("a", "b"), True, '"IsNext", "NotNext", 0 or 1'),
    ("next-sentence-prediction", "order", "a", 1, "only one text was passed"),
    ("multiple-choice", "choices", {"text": "a", "choices": ["b", "c"]}, 2, "not one of the 2 choices"),
    ("multiple-choice", "choices", {"text": "a", "choices": ["b", "c"]}, "d", "not one of the 2 choices"),
    ("question-answering", "answers", {"question": "a", "context": "b c"}, {"answer_start": 3, "text": "c"}, "0 to 2"),
    ("question-answering", "answers", {"question": "a", "context": "b c"}, {"answer_start": -1, "text": "c"}, "0 to 2"),
    (
        "question-answering", "answers", {"question": "a", "context": "b c"}, {"answer_start": 1, "text": "c"},
        "The text has ' ' .* at 1, not the answer 'c'",
    ),
    ("question-answering", "answers", {"question": "a", "context": "b c"}, {"text": "c"}, '"answer_start": 5'),
    ("question-answering", "answers", {"question": "a", "context": "b c"}, "c", '"answer_start": 5'),
    ("pretraining", "joint", ("a [MASK]", "b"), "the", '"words"'),
    ("pretraining", "joint", ("a [MASK]", "b"), {"words": [], "next_sentence": 0}, "has 1 masks, but the answer has 0"),
    ("pretraining", "joint", ("a [MASK]", "b"), {"words": ["the"], "next_sentence": 3}, '"IsNext"'),
]  # fmt: skip


@pytest.mark.parametrize(("task", "name", "example", "answer", "match"), WRONG)
def test_wrong_answers(task: str, name: str, example: Any, answer: Any, match: str) -> None:
    split = {"is_split_into_words": True} if task == "token-classification" else {}
    _, valid_example, valid_answer = TRAINED[task]
    if (task, name) == ("text-classification", "tags"):
        valid_answer = [0]
    with pytest.raises(UsageError, match="^Example 1: .*" + match):
        rows_of(task, name, [valid_example, example], [valid_answer, answer], **split)


def test_an_answer_for_each_example() -> None:
    with pytest.raises(UsageError, match="2 examples and 1 answers"):
        rows_of("text-classification", "two", ["a", "b"], ["GOOD"])
    assert rows_of("text-classification", "two", [], []) == []


def test_words_of_a_truncated_text() -> None:
    """An answer has a label for each word of the whole text."""
    many = LONG.split()
    answers = [number % 7 for number in range(len(many))]
    (row,) = rows_of("token-classification", "names", [many], [answers], is_split_into_words=True, on_long="truncate")
    labels = row.targets["labels"].values
    labelled = labels[labels != -100].tolist()
    assert 10 < len(labelled) < 62 and labelled == answers[: len(labelled)]
    (row,) = rows_of("token-classification", "names", ["Anna sings."], [["B-PER", "O", 0]])
    assert [label for label in row.targets["labels"].values.tolist() if label != -100] == [1, 0, 0]
    with pytest.raises(UsageError, match="A text of 3 words has 4 labels"):
        rows_of("token-classification", "names", ["Anna sings."], [[0] * 4])
    with pytest.raises(UsageError, match="A text of at least .* words has 4 labels"):
        rows_of("token-classification", "names", [LONG], [[0] * 4], on_long="truncate")


def test_all_examples_are_encoded_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    encode = TextClassification.encode

    def counted(self: TextClassification, examples: Any, options: Any) -> Any:
        calls.append(len(examples))
        return encode(self, examples, options)

    monkeypatch.setattr(TextClassification, "encode", counted)
    assert len(rows_of("text-classification", "two", THREE, [0, 1, 0])) == 3
    assert calls == [3]
