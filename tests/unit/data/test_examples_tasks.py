"""Examples of tags, questions and choices, real data sets, and files with arbitrary contents."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertkit import BertConfig, BertTokenizer
from bertkit.data.examples import Examples, read_examples
from bertkit.errors import BertkitError, DataError
from bertkit.metrics.schemes import SCHEMES, Entity, entity_spans, tags_of
from bertkit.tasks import task_class

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[4] / "shared" / "data"))
TAG, ASK, CHOOSE = "token-classification", "question-answering", "multiple-choice"


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def sentences(tags: list[list[str]]) -> list[dict[str, Any]]:
    return [{"tokens": [f"w{number}" for number in range(len(own))], "tags": own} for own in tags]


CONLL = """-DOCSTART- -X- O O

EU NNP I-NP B-ORG
rejects VBZ I-VP O

#tag NN I-NP O
"""


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_conll(separator: str, tmp_path: Path) -> None:
    path = write(tmp_path / "train.txt", CONLL.replace(" ", separator).replace("\n\n", "\n\t\n").replace("\n", "\r\n"))
    found = read_examples(TAG, path)
    assert list(found) == [(["EU", "rejects"], ["B-ORG", "O"]), (["#tag"], ["O"])] and found.references == found.answers
    assert (
        found.labels == ["B-ORG", "O"]
        and found.where(0) == "line 3 of train.txt"
        and found.where(1) == "line 6 of train.txt"
    )
    found = read_examples(TAG, path, columns={"tags": 1})
    assert found.answers == [["NNP", "VBZ"], ["NN"]] and found.notes == ["3 tags, not of entities: 'NN', 'NNP', 'VBZ'."]
    found = read_examples(TAG, path, columns={"tags": -2})
    assert found.answers == [["B-NP", "B-VP"], ["B-NP"]] and "The tags are converted from IOB1 to IOB2." in found.notes


def test_two_columns_and_words_with_spaces(tmp_path: Path) -> None:
    found = read_examples(TAG, write(tmp_path / "a.conll", "New York\tB-LOC\n\u00a0\tO\n"))
    assert list(found) == [(["New York", "\u00a0"], ["B-LOC", "O"])]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x", "Line 4 of {} needs a word and a tag"),
        ("\tO", "Line 4 of {} needs a word and a tag"),
        ("x\t", "Line 4 of {} needs a word and a tag"),
        ("x NN O", "Line 4 of {} has 3 columns, but line 1 has 2."),
        ("# id 7", "Line 4 of {} has 3 columns, but line 1 has 2."),
        (
            "x I-PER",
            "Line 3 of {}: 'I-PER', the tag of the word 2, cannot follow O in IOB2. To repair such tags, type repair=True.",
        ),
        (
            "x domain=en",
            "Line 3 of {}: 'domain=en' is not a tag in IOB2. If the tags are not entities, type scheme=\"none\".",
        ),
    ],
)
def test_a_bad_sentence(line: str, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", f"a B-PER\n\nb O\n{line}\nc O\n\nd O\n")
    with pytest.raises(DataError) as caught:
        read_examples(TAG, path)
    assert reason.format(path) in str(caught.value)
    found = read_examples(TAG, path, on_bad="skip")
    assert found.inputs == [["a"], ["d"]] and found.skipped == 1


CONLLU = """# text = don't stop
1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tdo\tdo\tAUX\tVBP\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
2.1\tto\tto\tPART\tTO\t_\t_\t_\t_\t_
3\tstop\tstop\tVERB\t_\t_\t0\troot\t_\t_

1\t_\t_\tSYM\tNFP\t_\t0\troot\t_\t_
"""


def test_conllu(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conllu", CONLLU)
    found = read_examples(TAG, path)
    assert list(found) == [(["do", "n't", "stop"], ["AUX", "PART", "VERB"]), (["_"], ["SYM"])]
    assert found.where(0) == "line 3 of a.conllu"
    with pytest.raises(DataError, match=r"Line 3 of .*: the tag of the word 3 \('stop'\) is missing"):
        read_examples(TAG, path, columns={"tags": "xpos"})
    assert read_examples(TAG, path, columns={"tags": "xpos"}, on_bad="skip").answers == [["NFP"]]
    for wrong, reason in (
        ("1\tx", "has 2 columns, but CoNLL-U has 10"),
        (CONLLU.replace("\n3", "\nx"), "starts with 'x'"),
    ):
        with pytest.raises(DataError, match=reason):
            read_examples(TAG, write(tmp_path / "b.conllu", wrong))


@pytest.mark.parametrize(
    ("tags", "scheme", "expected"),
    [
        ([["B-A", "I-A", "B-A"]], "IOB2", [["B-A", "I-A", "B-A"]]),
        ([["I-A", "I-A", "B-A"], ["O", "I-B"]], "IOB1", [["B-A", "I-A", "B-A"], ["O", "B-B"]]),
        ([["B-A", "E-A", "S-B"]], "IOBES", [["B-A", "E-A", "S-B"]]),
        ([["B-A", "L-A", "U-B"]], "BILOU", [["B-A", "L-A", "U-B"]]),
        ([["B", "I", "O"]], "IOB2", [["B", "I", "O"]]),
        ([["NOUN", "X-Y"]], None, [["NOUN", "X-Y"]]),
        ([["E", "S", "NN"]], None, [["E", "S", "NN"]]),
    ],
)
def test_the_scheme_is_recognised(tags: list[list[str]], scheme: str | None, expected: list[list[str]]) -> None:
    found = read_examples(TAG, sentences(tags))
    assert found.answers == expected
    assert (f" tags in {scheme}: " if scheme else "not of entities") in found.notes[1]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["O", "I-A", "I-A"], ["O", "B-A", "I-A"]),
        (["B-A", "I-B"], ["B-A", "B-B"]),
        (["B-A", "O", "E-A", "S-B"], ["S-A", "O", "S-A", "S-B"]),
        (["B-A", "B-A", "L-A", "U-B"], ["U-A", "B-A", "L-A", "U-B"]),
    ],
)
def test_invalid_tags_are_refused_or_repaired(tags: list[str], expected: list[str]) -> None:
    rows = sentences([tags, ["B-A", *(["I-A"] if "I-A" in tags else []), "O"]] if expected[0][0] in "OB" else [tags])
    with pytest.raises(
        DataError, match="Index 0 of the list: .* cannot follow .* To repair such tags, type repair=True"
    ):
        read_examples(TAG, rows)
    found = read_examples(TAG, rows, repair=True)
    assert found.answers[0] == expected
    assert any("were repaired in 1 texts" in note for note in found.notes)


def test_a_scheme_can_be_chosen() -> None:
    rows = sentences([["I-A", "E-A", "O"]])
    assert read_examples(TAG, rows, scheme="IOE2").answers == [["B-A", "I-A", "O"]]
    assert read_examples(TAG, sentences([["O", "I-A"]]), scheme="none").answers == [["O", "I-A"]]
    with pytest.raises(DataError, match="cannot follow O in IOB2"):
        read_examples(TAG, sentences([["O", "I-A"]]), scheme="bio")
    with pytest.raises(BertkitError, match="scheme='IOB9' is invalid"):
        read_examples(TAG, rows, scheme="iob9")


def test_tags_of_json(tmp_path: Path) -> None:
    rows = [{"tokens": ["Anna", "sings"], "ner_tags": [1, 0]}, {"tokens": "Anna sings", "ner_tags": "1 0"}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    found = read_examples(TAG, path, label_names=["O", "B-PER", "I-PER"])
    assert list(found) == [(["Anna", "sings"], ["B-PER", "O"])] * 2 and found.labels == ["O", "B-PER", "I-PER"]
    for row, reason in [
        ({"tokens": ["a"], "tags": []}, "the list of tags is empty"),
        ({"tokens": ["a"], "tags": ["O", "O"]}, "there are 1 words, but 2 tags"),
        ({"tokens": ["a", 5], "tags": ["O", "O"]}, "the word 2 is 5"),
        ({"tokens": ["a"], "tags": 5}, "the tags are 5"),
        ({"tokens": None, "tags": ["O"]}, "the words are missing"),
    ]:
        with pytest.raises(DataError, match=reason):
            read_examples(TAG, [row])


@given(
    st.sampled_from(["IOB2", "IOBES", "BILOU"]),
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 4), st.integers(0, 2))),
)
def test_tags_of_entities_are_read_back(scheme: str, parts: list[tuple[str, int, int]]) -> None:
    """Also through repair, which leaves valid tags unchanged."""
    entities, at = [], 0
    for kind, length, after in parts:
        entities.append(Entity(kind, at, at + length))
        at += length + after
    tags = tags_of(entities, at + 1, scheme)
    assert entity_spans(tags, scheme) == entities
    assert read_examples(TAG, sentences([tags]), scheme=scheme, repair=True).answers == [tags]


@given(st.sampled_from(list(SCHEMES)), st.data())
def test_repaired_tags_are_valid(scheme: str, data: st.DataObject) -> None:
    letters = SCHEMES[scheme].letters
    labels = [letter if letter == "O" else f"{letter}-{kind}" for letter in letters for kind in "AB"]
    tags = data.draw(st.lists(st.sampled_from(labels), min_size=1, max_size=6))
    found = read_examples(TAG, sentences([tags]), scheme=scheme, repair=True).answers
    again = read_examples(TAG, sentences(found), scheme=scheme if scheme in ("IOBES", "BILOU") else "IOB2")
    assert again.answers == found and [tag == "O" for tag in found[0]] == [tag == "O" for tag in tags]


TEXT = "The dog saw a  dog. Then the\ndog slept."


def squad(*answers: dict[str, Any], **further: Any) -> dict[str, Any]:
    question = {"id": "q1", "question": "Who slept?", "answers": list(answers), **further}
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": TEXT, "qas": [question]}]}]}


def ask(tmp_path: Path, document: dict[str, Any], **options: Any) -> Examples:
    return read_examples(ASK, write(tmp_path / "a.json", json.dumps(document)), **options)


@pytest.mark.parametrize(
    ("start", "text", "expected"),
    [
        (29, "dog", {"answer_start": 29, "text": "dog"}),
        (12, "a dog", {"answer_start": 12, "text": "a  dog"}),
        (25, "the dog", {"answer_start": 25, "text": "the\ndog"}),
        (19, "Then", {"answer_start": 20, "text": "Then"}),
        (34, "slept", {"answer_start": 33, "text": "slept"}),
    ],
)
def test_the_place_of_an_answer(start: int, text: str, expected: dict[str, Any], tmp_path: Path) -> None:
    found = ask(tmp_path, squad({"answer_start": start, "text": text}, {"answer_start": 0, "text": "The dog"}))
    assert list(found) == [({"question": "Who slept?", "context": TEXT}, expected)]
    assert found.references == [[text, "The dog"]] and found.where(0) == "question q1 of a.json"
    moved = expected != {"answer_start": start, "text": text}
    assert any("not exactly at answer_start: 1." in note for note in found.notes) == moved


@pytest.mark.parametrize(
    ("start", "text", "reason"),
    [
        (0, "dog", "it occurs 3 times near it"),  # any of them could be meant
        (0, "cat", "where the text has 'The', and not near it"),
        (-1, "saw", "answer_start=-1, where the text has '', and not near it"),
        (500, "slept", "not near it"),
        ("x", "dog", "the place of an answer is 'x'"),
        (None, "dog", "the answer 'dog' occurs 3 times in the text: write its answer_start"),
    ],
)
def test_a_wrong_place_is_refused(start: Any, text: str, reason: str, tmp_path: Path) -> None:
    document = squad({"answer_start": start, "text": text})
    with pytest.raises(DataError, match=f"Question q1 of .*a.json: .*{reason}"):
        ask(tmp_path, document)


def test_questions_without_an_answer(tmp_path: Path) -> None:
    plausible = squad(is_impossible=True, plausible_answers=[{"text": "The", "answer_start": 0}])
    for document in (squad(is_impossible=True), plausible):
        found = ask(tmp_path, document, format="squad")
        assert found.answers == [None] and found.references == [[]]
        assert "1 of 1 questions have no answer in their text, as in SQuAD 2.0." in found.notes
    with pytest.raises(DataError, match="is_impossible is true, but there is the answer 'The'"):
        ask(tmp_path, squad({"answer_start": 0, "text": "The"}, is_impossible=True))


def test_questions_in_tables(tmp_path: Path) -> None:
    asked = {"question": "Who slept?", "context": TEXT}
    answer = {"answer_start": 29, "text": "dog"}
    for row in (
        {"answers": {"text": ["dog"], "answer_start": [29]}},
        {"answers": [answer]},
        {"answer": "dog", "answer_start": "29"},
        {"answer_text": "dog", "start": 29.0},
    ):
        found = read_examples(ASK, [{**asked, **row}])
        assert list(found) == [(asked, answer)] and found.references == [["dog"]]
    assert read_examples(ASK, [{**asked, "answers": {"text": [], "answer_start": []}}]).answers == [None]
    assert read_examples(ASK, [{**asked, "answer": "slept"}]).answers == [{"answer_start": 33, "text": "slept"}]
    for answers, reason in (
        ({"text": ["a", "b"], "answer_start": [1]}, "2 answers, but 1 places"),
        ([5], "an answer is 5"),
    ):
        with pytest.raises(DataError, match=reason):
            read_examples(ASK, [{**asked, "answers": answers}])


def test_a_damaged_part_of_squad(tmp_path: Path) -> None:
    document = squad({"answer_start": 0, "text": "The"})
    document["data"][0]["paragraphs"] += [5, {"context": TEXT, "qas": [7]}, {"qas": [{"id": "q2", "question": "Who?"}]}]
    found = ask(tmp_path, document, on_bad="skip")
    assert len(found) == 1 and found.skipped == 3
    for words in (
        r"data\[0\].paragraphs\[1\]",
        r"data\[0\].paragraphs\[2\].qas\[0\]",
        "Question q2 .* the context is missing",
    ):
        assert any(re.search(words, note) for note in found.notes)


def test_a_large_document_in_one_line(tmp_path: Path) -> None:
    """The training file of SQuAD is a line of 30 MB."""
    document = squad({"answer_start": 0, "text": "The"})
    document["data"][0]["paragraphs"][0]["context"] += "x" * 2**24
    assert ask(tmp_path, document).answers == [{"answer_start": 0, "text": "The"}]


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"prompt": "x", "choices": ["y", "z"], "label": 1}, 1),
        ({"question": "x", "choice0": "y", "choice1": "z", "label": "1"}, 1),
        ({"question": "x", "choice_b": "z", "choice_a": "y", "label": "B"}, 1),
        ({"question": "x", "options": ["y", "z"], "answer": "z"}, 1),
        ({"question": "x", "choices": {"text": ["y", "z"], "label": ["1", "2"]}, "answerKey": "2"}, 1),
        ({"question": "x", "choices": [{"text": "y", "label": "A"}, {"text": "z", "label": "B"}], "answerKey": "A"}, 0),
    ],
)
def test_choices(row: dict[str, Any], answer: int) -> None:
    found = read_examples(CHOOSE, [row])
    assert list(found) == [({"text": "x", "choices": ["y", "z"]}, answer)] and found.labels == []


def test_swag() -> None:
    endings = {f"ending{number}": f"ends {number}." for number in range(4)}
    found = read_examples(CHOOSE, [{"sent1": "He sits.", "sent2": "He", **endings, "label": 2}])
    choices = ["He ends 0.", "He ends 1.", "He ends 2.", "He ends 3."]
    assert list(found) == [({"text": "He sits.", "choices": choices}, 2)]
    rows = [{"text": "x", **{f"ending{number}": str(number) for number in range(12)}, "label": 11}]
    assert read_examples(CHOOSE, rows).inputs[0]["choices"] == [str(number) for number in range(12)]


@pytest.mark.parametrize(
    ("choices", "label", "reason"),
    [
        (["y", "z"], 2, "The labels are numbers from 1"),
        (["y", "z"], -1, "neither one of the choices nor a number from 0 to 1"),
        (["y", "z"], True, "neither one of the choices"),
        (["y", "y"], "y", "the text of several choices"),
        (["y", ""], 0, "the choice 1 is empty"),
        (["y", "z"], None, "the label is missing"),
        ([], 0, "the choices are"),
        ("yz", 0, "the choices are 'yz'"),
    ],
)
def test_bad_choices(choices: Any, label: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_examples(CHOOSE, [{"text": "x", "choices": choices, "label": label}])


def test_labels_of_choices_are_numbers_if_all_can_be() -> None:
    rows = [{"text": "x", "choices": ["1", "2"], "label": label} for label in ("0", "1")]
    assert read_examples(CHOOSE, rows).answers == [0, 1]
    rows[0]["label"] = "2"
    assert read_examples(CHOOSE, rows).answers == [1, 0]


NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("task", "row", "options", "expected"),
    [
        ("text-classification", {"text": "Anna sings", "label": 1}, {"label_names": NAMES}, 1),
        ("text-classification", {"text": "Anna sings", "labels": ["b", "c"]}, {"label_names": NAMES}, [0, 1, 1]),
        ("text-classification", {"sentence1": "Anna", "sentence2": "sings", "label": 2.5}, {}, 2.5),
        ("next-sentence-prediction", {"text": "Anna", "text_pair": "sings", "label": 1}, {}, 1),
        (TAG, {"words": ["Anna", "sings"], "tags": ["c", "a"]}, {"label_names": NAMES}, [-100, 2, 0, -100]),
        (CHOOSE, {"question": "Anna", "choice0": "sings", "choice1": "sat", "label": "1"}, {}, 1),
        (ASK, {"question": "Who?", "context": "Anna sings", "answers": [{"text": "sings", "answer_start": 5}]}, {}, 5),
    ],
)
def test_tasks_take_the_examples(task: str, row: dict[str, Any], options: dict[str, Any], expected: Any) -> None:
    found = read_examples(task, [row], **options)
    labels = dict(enumerate(found.labels or ["LABEL_0"]))
    config = BertConfig(vocab_size=9, id2label=labels, problem_type=found.problem_type)
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "sings", "sat", "who"])
    own = task_class(task)
    task_options = own.options({"is_split_into_words": True} if task == TAG else {})
    ((first, *_),) = own(tokenizer, config).targets(found.inputs, found.answers, task_options)
    target = first.targets["start_positions" if task == ASK else "labels"]
    assert np.asarray(target.values).tolist() == expected


def real(name: str) -> str:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} does not exist: set BERTKIT_DATA to the folder of the data")
    return str(DATA / name)


REAL: list[tuple[str, str, dict[str, Any], int, list[str] | int]] = [
    ("text-classification", "glue/CoLA/train.tsv", {"format": "cola"}, 8551, ["0", "1"]),
    ("text-classification", "glue/SST-2/train.tsv", {"format": "sst2"}, 67349, ["0", "1"]),
    ("text-classification", "glue/MRPC/train.tsv", {"format": "glue/mrpc"}, 3667, ["0", "1"]),
    ("text-classification", "glue/STS-B/dev.tsv", {"format": "stsb"}, 1500, []),
    ("text-classification", "trec/train.txt", {"format": "trec"}, 5452, 6),
    ("text-classification", "sick/train.tsv", {"columns": {"label": "entailment_judgment"}}, 4500, 3),
    ("text-classification", "nsmc/test.tsv", {}, 10_000, ["0", "1"]),
    ("text-classification", "korsts/sts-dev.tsv", {}, 1500, []),
    ("sentence-embedding", "jglue/jsts-valid.json", {}, 1457, []),
    ("sentence-embedding", "sick/dev.tsv", {}, 500, []),
    ("multiple-choice", "jglue/jcommonsenseqa-valid.json", {}, 1119, []),
    ("multiple-choice", "codah/train.tsv", {"format": "codah"}, 1665, []),
    (TAG, "wnut17/wnut17train.conll", {}, 3394, 13),
    (TAG, "ud_ewt/en_ewt-ud-dev.conllu", {}, 2001, 17),
    (TAG, "ud_ewt/en_ewt-ud-dev.conllu", {"columns": {"tags": "xpos"}}, 2001, 49),
    (ASK, "squad/dev-v1.1.json", {}, 1878, []),
    (ASK, "squad/train-v2.0.json", {}, 6665, []),
]


@pytest.mark.parametrize(("task", "name", "options", "count", "labels"), REAL)
def test_real_data(task: str, name: str, options: dict[str, Any], count: int, labels: list[str] | int) -> None:
    found = read_examples(task, real(name), **options)
    assert len(found) == len(found.answers) == len(found.references) == count and found.skipped == 0
    assert (len(found.labels) if isinstance(labels, int) else found.labels) == labels


def test_real_emotions() -> None:
    found = read_examples(
        "text-classification",
        real("goemotions/dev.tsv"),
        format="goemotions",
        label_names=real("goemotions/labels.txt"),
    )
    assert len(found) == 5426 and len(found.labels) == 28 and found.labels[-1] == "neutral"
    assert found.problem_type == "multi_label_classification" and max(map(len, found.answers)) > 1


KEYS = [
    "text",
    "label",
    "labels",
    "data",
    "paragraphs",
    "qas",
    "tags",
    "words",
    "choices",
    "context",
    "question",
    "answers",
    "answer_start",
    "score",
    "text_pair",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
CONTENT = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='ab"\t\n ,O#-BI1._{}[]:', max_size=200).map(str.encode),
    VALUES.map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=CONTENT,
    format=st.sampled_from(
        ["json", "jsonl", "csv", "tsv", "conll", "conllu", "squad", "trec", "mrpc", "cola", "codah"]
    ),
    task=st.sampled_from([TAG, ASK, CHOOSE, "text-classification", "next-sentence-prediction", "sentence-embedding"]),
    on_bad=st.sampled_from(["raise", "skip"]),
)
def test_arbitrary_files_give_examples_or_an_error(
    content: bytes, format: str, task: str, on_bad: Any, tmp_path: Path
) -> None:
    path = tmp_path / "any"
    path.write_bytes(content)
    with contextlib.suppress(BertkitError):
        found = read_examples(task, path, format=format, on_bad=on_bad)
        assert len(found) == len(found.answers) == len(found.references) == len(found.places) > 0
