"""Token classification, options that transformers does not have: windows, labels of words, constrained sequences of labels."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from pipeline_cases import LENGTH, SENTENCES, vocabulary
from pipeline_models import engine, ours, tokenizer

from bertkit.config import BertConfig
from bertkit.data.batches import Row, pack
from bertkit.engines.numpy import NumpyEngine
from bertkit.errors import UsageError
from bertkit.heads import Ask
from bertkit.metrics.schemes import SCHEMES
from bertkit.pipelines import pipeline
from bertkit.tasks.entities import Unit, by_scheme
from bertkit.tasks.numbers import softmax
from bertkit.tasks.transitions import best_path, transitions
from bertkit.tasks.windows import meeting_points
from bertkit.text.tokenizer import BertTokenizerFast

ner = ours("ner", "names")
LONG = " ".join(SENTENCES)


@pytest.mark.parametrize("overlap", [0, 3, 20, 40])
def test_each_token_is_labelled_in_the_window_with_most_context(overlap: int) -> None:
    ids = tokenizer()(LONG, add_special_tokens=False)["input_ids"]
    room, step = 62, 62 - overlap
    starts = [0]
    while starts[-1] + room < len(ids):
        starts.append(starts[-1] + step)
    best: dict[int, tuple[int, str]] = {}
    cls, sep, ask = tokenizer().cls_token_id, tokenizer().sep_token_id, Ask(("logits",))
    for start in starts:
        window = np.array([cls, *ids[start : start + room], sep])
        logits = engine("names", "ForTokenClassification").run(pack([Row(window, window * 0)]), ask)["logits"]
        end = start + len(window) - 2
        for place in range(start, end):
            left = 10**9 if start == 0 else place - start
            right = 10**9 if end == len(ids) else end - 1 - place
            label = ner.config.id2label[int(logits[place - start + 1].argmax())]
            best.setdefault(place, (-1, ""))
            if min(left, right) > best[place][0]:
                best[place] = (min(left, right), label)
    found = ner(LONG, ignore_labels=[], stride=overlap)
    assert [one["index"] for one in found] == list(range(1, len(ids) + 1))
    same = [one["entity"] == best[one["index"] - 1][1] for one in found]
    # If two windows have the same number of tokens around a token, either may be used.
    assert sum(same) >= len(same) - len(starts)


def test_windows_meet_in_the_middle() -> None:
    assert meeting_points([(0, 10), (6, 16), (12, 22)]) == [(0, 8), (8, 14), (14, 22)]
    assert meeting_points([(0, 10)]) == [(0, 10)]


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max", "words"])
@pytest.mark.parametrize("text", [LONG, "Café  in\tTOKYO (東京) ☃☃ x☃y.", ""])
def test_words_are_those_of_the_text(strategy: str, text: str) -> None:
    found = ner(text, aggregation_strategy=strategy, ignore_labels=[], word_from="text")
    ends = [0]
    for one in found:
        assert one["word"] == text[one["start"] : one["end"]]
        assert one["start"] >= ends[-1] and type(one["score"]) is float
        ends.append(one["end"])


def test_a_label_for_each_word() -> None:
    words = ["Dr.", "Anna", "Keller-Okafor", "won", "☃", "photosynthesis!"]
    found = ner([words], is_split_into_words=True, aggregation_strategy="words")[0]
    assert [one["word"] for one in found] == words
    assert list(found[0]) == ["entity", "score", "word", "start", "end"]
    firsts = ner(["Anna Keller"], aggregation_strategy="first", ignore_labels=[])
    assert firsts[0][0]["start"] == 0


def test_an_invalid_text_among_lists_of_words() -> None:
    texts = [["Anna", "Keller"], ["won"], "x y", {"text": "x"}, {"text": ["Anna"]}]
    options = {"is_split_into_words": True, "aggregation_strategy": "words"}
    found = ner(texts, errors="return", **options)
    assert [isinstance(one, UsageError) for one in found] == [False, False, True, True, False]
    assert [[one["word"] for one in some] for some in found[:2]] == texts[:2]
    assert len(ner(["Anna", "Keller"], **options)) == 1 and ner([], **options) == []


def test_each_treats_a_list_as_several_texts() -> None:
    found = ner.each(["Anna", "Keller"], errors="return", is_split_into_words=True)
    assert [type(one) for one in found] == [UsageError, UsageError]
    assert ner.each([]) == []
    assert ner.each(["Anna"]) == [ner("Anna")]


@pytest.mark.parametrize("strategy", ["first", "average", "max"])
def test_a_token_of_another_length_than_its_text_is_a_word(strategy: str) -> None:
    """Such tokens do not join the word before, as in transformers: a syllable of the text is three characters here."""
    names = engine("names", "ForTokenClassification")
    config = BertConfig(**{**names.config.to_dict(), "id2label": {n: f"B-{n}" for n in range(names.config.num_labels)}})
    known = [normalize("NFD", "한국") if word == "soup" else word for word in vocabulary()]
    words = BertTokenizerFast(known, model_max_length=LENGTH)
    begins = pipeline("ner", NumpyEngine(config, names.head, names.parameters), tokenizer=words)
    assert normalize("NFD", "한국") in words.tokenize("the 한국 of it")
    found = begins("the 한국 of it", aggregation_strategy=strategy, word_from="text")
    assert [one["word"] for one in found] == ["the", "한국", "of", "it"]


def test_constrained_paths_are_the_best_valid_paths() -> None:
    rng = np.random.default_rng(0)
    for names in (["O", "B-X", "I-X", "B-Y", "I-Y"], ["O", "B-X", "I-X", "E-X", "S-X"]):
        allowed, first, last = transitions(tuple(names))
        for _ in range(20):
            scores = softmax(rng.standard_normal((4, len(names))))
            paths = [
                path
                for path in product(range(len(names)), repeat=4)
                if first[path[0]] and last[path[-1]] and all(allowed[a, b] for a, b in pairwise(path))
            ]
            best = max(paths, key=lambda path: np.prod([scores[i, label] for i, label in enumerate(path)]))
            assert best_path(scores, dict(enumerate(names))) == list(best)


def test_transitions_of_bioes() -> None:
    allowed, first, last = transitions(("O", "B-X", "I-X", "E-X", "S-X", "E-Y"))
    assert allowed.astype(int).tolist() == [
        [1, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 0],
    ]
    assert first.astype(int).tolist() == [1, 1, 0, 0, 1, 0]
    assert last.astype(int).tolist() == [1, 0, 0, 1, 1, 1]


def test_entities_of_bioes() -> None:
    names = ["B-X", "I-X", "E-X", "S-X", "O", "B-Y", "B-Y"]
    tagged = [(Unit(str(i), np.zeros(1), i, i + 1, i, False, i), name, 1.0) for i, name in enumerate(names)]
    assert [(group.name, len(group.units)) for group in by_scheme(tagged, SCHEMES["IOBES"])] == [
        ("X", 3),
        ("X", 1),
        ("O", 1),
        ("Y", 1),
        ("Y", 1),
    ]


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "words"])
def test_constrained_answers(strategy: str) -> None:
    found = ner(LONG, aggregation_strategy=strategy, constrained=True, ignore_labels=[])
    if strategy in ("none", "words"):
        before = "O"
        for one in found:
            assert not one["entity"].startswith("I-") or before[2:] == one["entity"][2:]
            before = one["entity"]
    else:
        assert {one["entity_group"] for one in found} <= {"O", "PER", "LOC", "ORG"}
    with pytest.raises(UsageError, match="leave constrained out"):
        ours("ner", "parts")("a", constrained=True)


def test_targets_and_score() -> None:
    task = ner._task
    words, tags = ["Anna", "Keller", "likes", "photosynthesis"], ["B-PER", "I-PER", "O", "O"]
    options = task.options({"is_split_into_words": True})
    (rows,) = task.targets([words], [tags], options)
    tokens = tokenizer()([words], is_split_into_words=True)
    numbers = [task.config.label2id[tag] for tag in tags]
    expected, seen = [], set()
    for word in tokens.word_ids(0):
        expected.append(-100 if word is None or word in seen else numbers[word])
        seen.add(word)
    assert rows[0].targets["labels"].grain == "token"
    assert rows[0].targets["labels"].values.tolist() == expected
    answers = ner([words], is_split_into_words=True, aggregation_strategy="words")
    right = [[one["entity"] for one in answer] for answer in answers]
    assert task.score(answers, right)["f1"] in (0.0, 1.0)
    assert task.score(answers, right)["accuracy"] == 1.0
    many = LONG.split()
    (rows,) = task.targets([many], [[number % 7 for number in range(len(many))]], options)
    labelled = [label for row in rows for label in row.targets["labels"].values.tolist() if label != -100]
    assert len(rows) > 10 and labelled == [number % 7 for number in range(len(many))]
    with pytest.raises(UsageError, match="A text of 4 words has 1 labels"):
        task.targets([words], [["O"]], options)


@pytest.mark.parametrize(
    ("inputs", "options", "match"),
    [
        (["a"], {"aggregation_strategy": "frist"}, "Did you mean 'first'"),
        ([["a", "b"]], {}, "takes a text"),
        ([[1]], {"is_split_into_words": True}, "a text is a list of words"),
        ([["Anna", "sings"]], {}, "type is_split_into_words=True for a list of words"),
        (["a"], {"stride": 63}, "overlap=63 is not smaller than a window, which has 62 tokens"),
        (["a"], {"ignore_labels": "O"}, r'type ignore_labels=\["O"\]'),
    ],
)
def test_helpful_errors(inputs: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        ner(inputs, **options)
