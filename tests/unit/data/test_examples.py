"""Examples of all tasks from every kind of source, and the columns that are found or chosen."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from bertkit.data.examples import Examples, read_examples
from bertkit.errors import BertkitError, DataError, UsageError

CLASSIFY = "text-classification"
ROWS = [
    {"text": "A joy, a joy.", "label": "😀"},
    {"text": 'So "dull".', "label": "bad"},
    {"text": "Été", "label": "😀"},
]


def table(rows: list[dict[str, Any]], delimiter: str) -> bytes:
    text = io.StringIO()
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(
        text, list(rows[0]), delimiter=delimiter, quoting=quoting, quotechar=None if quoting else '"'
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "a.jsonl": lambda rows: "\n".join(map(json.dumps, rows)).encode(),
    "a.json": lambda rows: json.dumps(rows, indent=1).encode(),
    "lines.json": lambda rows: "\n".join(map(json.dumps, rows)).encode(),
    "a.csv": lambda rows: table(rows, ","),
    "a.tsv": lambda rows: table(rows, "\t"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_the_same_examples_from_every_format(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / (name + {gzip.compress: ".gz", lzma.compress: ".xz"}.get(compress, ""))
    path.write_bytes(compress(WRITERS[name](ROWS)))
    check(read_examples(CLASSIFY, path))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    found = read_examples(CLASSIFY, path)
    check(found)
    assert found.where(1) == "row 2 of a.parquet"


def check(found: Examples) -> None:
    assert found.inputs == [row["text"] for row in ROWS]
    assert found.answers == found.references == ["😀", "bad", "😀"] and found.labels == ["bad", "😀"]
    assert found.problem_type == "single_label_classification" and found.skipped == 0
    assert "Column 'text' is the text, 'label' the label." in found.notes


@pytest.mark.parametrize(
    ("name", "text", "places"),
    [
        ("a.csv", 'text,label\n"two\nlines",a\nc,b\n\nd,a\n', ["line 2", "line 4", "line 6"]),
        ("a.tsv", "text\tlabel\nx\ta\ny\tb\n", ["line 2", "line 3"]),
        ("a.jsonl", '{"text": "x", "label": 1}\n\n{"text": "y", "label": 2}\n', ["line 1", "line 3"]),
        ("a.json", '[{"text": "x", "label": 1},\n{"text": "y", "label": 2}]', ["item 1", "item 2"]),
    ],
)
def test_places(name: str, text: str, places: list[str], tmp_path: Path) -> None:
    found = read_examples(CLASSIFY, write(tmp_path / name, text))
    assert [found.where(index) for index in range(len(found))] == [f"{place} of {name}" for place in places]
    assert found[1:].where(0) == f"{places[1]} of {name}" and found.take([1, 0]).inputs == found.inputs[1::-1]


class Feature:
    """A feature of a data set, as in the package datasets."""

    def __init__(self, names: list[str] | None = None, feature: Feature | None = None) -> None:
        if names:
            self.names = names
        if feature:
            self.feature = feature


class DataSet:
    """What read_examples uses of a data set of the package datasets."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
        self.rows, self.features, self.column_names = rows, features, list(features)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


class Frame:
    """What read_examples uses of a pandas DataFrame."""

    columns = ("text", "label")

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return ROWS


def test_objects() -> None:
    for source in (ROWS, tuple(ROWS), iter(ROWS), Frame()):
        check(read_examples(CLASSIFY, source))
    assert read_examples(CLASSIFY, ROWS).where(1) == "index 1 of the list"
    data = DataSet(
        [{"text": "x", "label": 1}, {"text": "y", "label": 0}], {"text": Feature(), "label": Feature(["no", "yes"])}
    )
    found = read_examples(CLASSIFY, data)
    assert found.answers == ["yes", "no"] and found.labels == ["no", "yes"]
    data.rows.append({"text": "z", "label": -1})
    with pytest.raises(
        DataError, match="Index 2 of the data set: the label '-1' is neither a number from 0 to 1 nor one of 'no'"
    ):
        read_examples(CLASSIFY, data)
    words = {"tokens": ["Anna", "sings"], "ner_tags": [1, 0]}
    for feature in (Feature(feature=Feature(["O", "B-PER"])), [Feature(["O", "B-PER"])]):
        found = read_examples("token-classification", DataSet([words], {"tokens": Feature(), "ner_tags": feature}))
        assert found.answers == [["B-PER", "O"]] and found.labels == ["O", "B-PER"]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for place, text in {
        "pos/1.txt": "x\n",
        "pos/2.txt": "y",
        "neg/1.txt": "z\nz",
        "neg/notes.md": "-",
        "README.txt": "-",
    }.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text)
    found = read_examples(CLASSIFY, tmp_path)
    assert list(found) == [("z\nz", "neg"), ("x", "pos"), ("y", "pos")]
    assert found.where(2) == f"file pos/2.txt of {tmp_path.name}"
    assert set(read_examples(CLASSIFY, tmp_path, limit=2).answers) == {"neg", "pos"}
    (tmp_path / "pos" / "3.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="Line 1 of .*3.txt is not UTF-8"):
        read_examples(CLASSIFY, tmp_path)
    assert read_examples(CLASSIFY, tmp_path, encoding="latin-1").inputs[-1] == "café"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no folders with .txt files: make one for each class"):
        read_examples(CLASSIFY, tmp_path / "empty")


@pytest.mark.parametrize(
    ("labels", "problem", "answers", "names"),
    [
        ([0, 1, 10], "single_label_classification", ["0", "1", "10"], ["0", "1", "10"]),
        (["10", "9", "b"], "single_label_classification", ["10", "9", "b"], ["9", "10", "b"]),
        ([True, False, True], "single_label_classification", ["true", "false", "true"], ["false", "true"]),
        ([0.5, 3, 5.0], "regression", [0.5, 3.0, 5.0], []),
        (["5.000", "3.2", "1"], "regression", [5.0, 3.2, 1.0], []),
        ([["b", "a"], [], ["a"]], "multi_label_classification", [["b", "a"], [], ["a"]], ["a", "b"]),
    ],
)
def test_the_problem_type_is_inferred(labels: list[Any], problem: str, answers: list[Any], names: list[str]) -> None:
    found = read_examples(CLASSIFY, [{"text": "x", "label": label} for label in labels])
    assert (found.problem_type, found.answers, found.labels) == (problem, answers, names)
    assert any(f'problem_type="{problem}"' in note for note in found.notes)


def test_the_problem_type_can_be_chosen() -> None:
    rows = [{"text": "x", "label": label} for label in (3, 5, 1)]
    assert read_examples(CLASSIFY, rows, problem_type="regression").answers == [3.0, 5.0, 1.0]
    found = read_examples(CLASSIFY, rows, problem_type="multi_label_classification")
    assert found.answers == [["3"], ["5"], ["1"]] and found.labels == ["1", "3", "5"]
    rows = [{"text": "x", "label": label} for label in (0.5, 1.0)]
    assert read_examples(CLASSIFY, rows, problem_type="single_label_classification").answers == ["0.5", "1.0"]
    rows = [{"text": "x", "label": [0.5, 1]}]
    assert read_examples(CLASSIFY, rows, problem_type="regression").answers == [[0.5, 1.0]]


@pytest.mark.parametrize(
    ("text", "options", "answers"),
    [
        ("text\tlabels\nx\ta|b\ny\tb\nz\t\n", {}, [["a", "b"], ["b"], []]),
        ("text\tgold\nx\ta, b\ny\tb\n", {"columns": {"labels": "gold"}}, [["a", "b"], ["b"]]),
        ("text\tlabel\nx\ta/b\ny\tb\n", {"separator": "/"}, [["a", "b"], ["b"]]),
        ("text\tlabels\nx\tA, B\ny\tB\n", {"problem_type": "single_label_classification"}, ["A, B", "B"]),
        ("text\tlabels\nx\ta\ny\tb\n", {}, ["a", "b"]),
        ("text\ta\tb\nx\t1\t0\ny\t0\t0\n", {"columns": {"labels": ["a", "b"]}}, [["a"], []]),
        ("text\tlabel\nx\t1,0\ny\t2\n", {"separator": ",", "label_names": ["p", "q", "r"]}, [["q", "p"], ["r"]]),
    ],
)
def test_several_labels_in_a_cell(text: str, options: dict[str, Any], answers: list[Any], tmp_path: Path) -> None:
    assert read_examples(CLASSIFY, write(tmp_path / "a.tsv", text), **options).answers == answers


def test_names_of_labels_keep_their_order(tmp_path: Path) -> None:
    names = write(tmp_path / "labels.txt", "zero\none\nnever\n")
    rows = [{"text": "x", "label": label} for label in (1, "0", "one", 1.0)]
    found = read_examples(CLASSIFY, rows, label_names=names)
    assert found.answers == ["one", "zero", "one", "one"] and found.labels == ["zero", "one", "never"]


PAIR = {"text": "x", "text_pair": "y"}


@pytest.mark.parametrize(
    ("columns", "first", "second"),
    [
        ({}, "text", "text_pair"),
        ({}, "sentence1", "sentence2"),
        ({}, "Premise", "HYPOTHESIS"),
        ({}, "question", "sentence"),
        ({}, "sentence_A", "sentence_B"),
        ({"text": "a", "text_pair": "b"}, "a", "b"),
    ],
)
def test_pairs(columns: dict[str, str], first: str, second: str) -> None:
    rows = [{"id": 1, first: "x", second: "y", "gold_label": "p"}, {"id": 2, first: "x", second: "", "gold_label": "q"}]
    found = read_examples(CLASSIFY, rows, columns=columns)
    assert found.inputs == [PAIR, {"text": "x", "text_pair": ""}] and found.answers == ["p", "q"]
    (note,) = [note for note in found.notes if note.startswith("Column ")]
    assert "'gold_label'" in note and note.endswith("Not used: 'id'.")


def test_a_chosen_text_has_no_second_text_by_name() -> None:
    rows = [{"sentence1": "x", "sentence2": "y", "label": "p"}]
    assert read_examples(CLASSIFY, rows, columns={"text": "sentence2"}).inputs == ["y"]
    rows = [{"question": "q", "context": "c", "answer": "c", "answer_start": 0, "q2": "r"}]
    found = read_examples("question-answering", rows, columns={"question": "q2"})
    assert found.inputs == [{"question": "r", "context": "c"}] and found.answers == [{"text": "c", "answer_start": 0}]


def test_numbers_are_columns_of_a_file_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1,x,p\n2,y,q\n")
    for columns in ({"text": 1, "label": 2}, {"text": -2, "label": -1}):
        found = read_examples(CLASSIFY, path, columns=columns)
        assert list(found) == [("x", "p"), ("y", "q")] and found.where(0) == "line 1 of a.csv"
    with pytest.raises(DataError, match="no column 3 for the label: it has the columns 0 to 2"):
        read_examples(CLASSIFY, path, columns={"text": 1, "label": 3})
    assert list(read_examples(CLASSIFY, [["x", "p"]], columns={"text": 0, "label": 1})) == [("x", "p")]


def test_a_note_about_one_class_and_about_numbers() -> None:
    found = read_examples(CLASSIFY, [{"text": "x", "label": "p"}] * 2)
    assert "All 2 examples have the same label: a model learns nothing from one class." in found.notes
    found = read_examples(CLASSIFY, [{"text": "x", "label": number} for number in range(30)])
    assert any("to predict a number, type problem_type" in note for note in found.notes)
    found = read_examples(CLASSIFY, [{"text": "x", "label": f"text {number}"} for number in range(30)])
    assert any("30 different labels in 30 examples" in note for note in found.notes)


def test_limit() -> None:
    assert len(read_examples(CLASSIFY, iter(ROWS), limit=2)) == 2


BAD: dict[str, tuple[str, str, str]] = {
    "a missing label": ("a.jsonl", '{"text": "y"}', "Line 3 of {}: the label is missing."),
    "a null label": ("a.jsonl", '{"text": "y", "label": null}', "Line 3 of {}: the label is missing."),
    "a NaN": ("a.jsonl", '{"text": "y", "label": NaN}', "Line 3 of {}: the label is missing."),
    "a label that is an object": (
        "a.jsonl",
        '{"text": "y", "label": {}}',
        "Line 3 of {}: the label is {} (dict), not a name",
    ),
    "a huge number": ("a.jsonl", '{"text": "y", "label": 1e999}', "Line 3 of {}: the label is inf (float), not a name"),
    "an empty text": ("a.jsonl", '{"text": " ", "label": "p"}', "Line 3 of {}: the text is empty."),
    "a text that is a number": (
        "a.jsonl",
        '{"text": 4.4, "label": "p"}',
        "Line 3 of {}: the text is 4.4 (float), not a text.",
    ),
    "half a surrogate pair": ("a.jsonl", '{"text": "\\ud800", "label": "p"}', "the text has half of a surrogate pair"),
    "no object": ("a.jsonl", "5", "Line 3 of {}: 5 (int) is not an object"),
    "not JSON": ("a.jsonl", '{"text"', "Line 3 of {} is not JSON"),
    "a cell too few": ("a.tsv", "y", "Line 3 of {} has 1 cells, but the first row has 2."),
    "an empty label": ("a.tsv", "y\t", "Line 3 of {}: the label is empty."),
    "an open quote": ("a.csv", '"y,p', "Line 3 of {} has a quote that is not closed."),
}


@pytest.mark.parametrize("case", BAD)
def test_the_first_bad_row_is_named(case: str, tmp_path: Path) -> None:
    name, row, reason = BAD[case]
    rows = {
        "a.jsonl": ['{"text": "x", "label": "p"}', '{"text": "x", "label": "q"}', row, '{"text": "x", "label": "p"}'],
        "a.tsv": ["text\tlabel", "x\tp", row, "x\tq", "x\tp"],
        "a.csv": ["text,label", "x,p", row, "x,q", "x,p"],
    }[name]
    path = write(tmp_path / name, "\n".join(rows))
    with pytest.raises(DataError) as caught:
        read_examples(CLASSIFY, path)
    first = reason.replace("{}", path, 1)
    assert first in str(caught.value) and str(caught.value).endswith('To leave out bad rows, type on_bad="skip".')
    found = read_examples(CLASSIFY, path, on_bad="skip")
    assert found.answers == ["p", "q", "p"] and found.skipped == 1
    assert found.notes[-1].startswith("1 bad row was left out: ") and first in found.notes[-1]


def test_a_bad_number() -> None:
    rows = [{"text": "x", "label": label} for label in ("1.5", "2", "three", "0.5")]
    with pytest.raises(DataError, match="Index 2 of the list: the label is 'three'"):
        read_examples(CLASSIFY, rows)
    found = read_examples(CLASSIFY, rows, on_bad="skip")
    assert found.answers == [1.5, 2.0, 0.5] and [found.where(index) for index in (1, 2)] == [
        "index 1 of the list",
        "index 3 of the list",
    ]


@pytest.mark.parametrize(
    ("label", "options", "sentence"),
    [
        (
            ["a", "b"],
            {"problem_type": "single_label_classification"},
            'For several labels per text, type problem_type="multi',
        ),
        ([0.5], {}, 'numbers with a fraction: .* type problem_type="regression"'),
        ([0, 1, 0], {}, "the list of labels has '0' twice"),
        ("x" * 5000, {"label_names": ["a"]}, "is neither a number from 0 to 0 nor one of 'a'"),
        ("9" * 5000, {"label_names": ["a"]}, "is neither a number from 0 to 0 nor one of 'a'"),
        (10**400, {"problem_type": "regression"}, "not a number"),
    ],
)
def test_bad_labels(label: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_examples(CLASSIFY, [{"text": "x", "label": label}], **options)


@pytest.mark.parametrize(
    ("task", "source", "options", "sentence"),
    [
        (
            "classification",
            ROWS,
            {},
            "task 'classification' cannot be read: choose one of .* Did you mean 'text-classification'",
        ),
        (CLASSIFY, "none.tsv", {}, "There is no file none.tsv"),
        (CLASSIFY, "a.txt", {}, "format of .*a.txt is unknown: type one of jsonl, .* for example format="),
        (CLASSIFY, "empty.tsv", {}, "empty.tsv has no examples: it is empty."),
        (CLASSIFY, "header.csv", {}, "header.csv has no examples: it is empty."),
        (
            CLASSIFY,
            "a.csv",
            {"format": "cvs"},
            "Unknown format 'cvs': choose one of infer, jsonl, .* Did you mean 'csv'",
        ),
        (CLASSIFY, ROWS, {"format": "csv"}, "has no effect for a source that is not a file"),
        (
            CLASSIFY,
            ROWS,
            {"columns": {"txt": "text"}},
            "unknown field 'txt': choose one of text, text_pair, label. Did you mean",
        ),
        (
            CLASSIFY,
            ROWS,
            {"columns": {"text": "txt"}},
            "has no column 'txt'. It has 'text', 'label': type .* Did you mean 'text'",
        ),
        (CLASSIFY, ROWS, {"columns": {"label": "a", "labels": "b"}}, "has the field 'label' twice"),
        (CLASSIFY, ROWS, {"columns": {"text": ["a", "b"]}}, r"column of the field 'text' is \['a', 'b'\]"),
        (CLASSIFY, ROWS, {"columns": "text"}, "is not a dictionary: type for example columns="),
        (
            CLASSIFY,
            [{"a": "x", "label": "p"}],
            {},
            "no column with a usual name for the text. Its columns are 'a', 'label'",
        ),
        (CLASSIFY, [{"text": "x", "y": "p"}], {}, r"for the label. .*: type for example columns=\{'label': 'y'\}"),
        (CLASSIFY, {"train": ROWS}, {}, r"dictionary with 'train': pass one part of it, for example source\['train'\]"),
        (CLASSIFY, 5, {}, "The source is 5 .*: pass the name of a file"),
        (CLASSIFY, ROWS, {"on_bad": "ignore"}, "on_bad='ignore' is invalid: choose one of 'raise', 'skip'"),
        (CLASSIFY, ROWS, {"problem_type": "single"}, "problem_type='single' is invalid"),
        (CLASSIFY, ROWS, {"encoding": "utf-16"}, "encoding='utf-16' is invalid"),
        (CLASSIFY, ROWS, {"encoding": "what"}, "encoding='what' is invalid"),
        (CLASSIFY, ROWS, {"limit": 0}, "limit=0 is not an integer of at least 1"),
        (CLASSIFY, ROWS, {"separator": ""}, "separator='' is not a text"),
        (CLASSIFY, ROWS, {"label_names": ["a", "a"]}, "is not a list of different names"),
        (CLASSIFY, ROWS, {"scheme": "BIO"}, "scheme='BIO' has no effect for text-classification"),
        (
            CLASSIFY,
            [{"text": "x", "label": 0.5}],
            {"label_names": ["a"], "problem_type": "regression"},
            "no effect for regression",
        ),
        ("token-classification", ROWS, {"problem_type": "regression"}, "has no effect for token-classification"),
        (
            "question-answering",
            "tags.conll",
            {},
            "conll is a format for token-classification, not for question-answering",
        ),
        ("question-answering", "a.json", {"format": "squad"}, "is not SQuAD, which is"),
    ],
)
def test_errors_say_what_to_type(
    task: str, source: Any, options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    files = {"a.txt": "x", "empty.tsv": "", "header.csv": "text,label\n", "a.csv": "text,label\nx,p\n", "a.json": "[]"}
    for name, text in {**files, "tags.conll": "x O\n"}.items():
        write(tmp_path / name, text)
    with pytest.raises(BertkitError, match=sentence):
        read_examples(
            task, str(tmp_path / source) if isinstance(source, str) and source != "none.tsv" else source, **options
        )


def test_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,p\n".encode("latin-1"))
    with pytest.raises(DataError, match="Line 2 of .* is not UTF-8"):
        read_examples(CLASSIFY, path)
    assert read_examples(CLASSIFY, path, encoding="latin-1").inputs == ["café"]
    with pytest.raises(UsageError, match="has no effect for jsonl"):
        read_examples(CLASSIFY, write(tmp_path / "a.jsonl", ""), encoding="latin-1")


def test_trec(tmp_path: Path) -> None:
    path = tmp_path / "train.label"
    path.write_bytes("DESC:manner How is crème made ?\nNUM:dist How far is it ?\n".encode("latin-1"))
    found = read_examples(CLASSIFY, path, format="trec")
    assert list(found) == [("How is crème made ?", "DESC:manner"), ("How far is it ?", "NUM:dist")]
    assert any("is not UTF-8: it is read as Latin-1" in note for note in found.notes)
    path.write_text("0 x\n1 é\n2\n", encoding="utf-8")
    found = read_examples(CLASSIFY, path, format="trec", on_bad="skip")
    assert list(found) == [("x", "0"), ("é", "1")] and found.skipped == 1


GLUE: dict[str, tuple[str, list[Any], list[Any]]] = {
    "cola": ('gj04\t1\t\tThey sing.\ngj04\t0\t*\tSing they "do.\n', ["They sing.", 'Sing they "do.'], ["1", "0"]),
    "SST-2": ("sentence\tlabel\nx \t0\ny\t1\n", ["x ", "y"], ["0", "1"]),
    "glue/mrpc": ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tx\ty\n", [PAIR], ["1"]),
    "sts-b": ("index\tgenre\tsentence1\tsentence2\tscore\n0\tg\tx\ty\t5.000\n", [PAIR], [5.0]),
    "qqp": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tx\ty\t0\n", [PAIR], ["0"]),
    "mnli_matched": (
        "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tx\ty\tneutral\tneutral\n",
        [PAIR],
        ["neutral"],
    ),
    "qnli": ("index\tquestion\tsentence\tlabel\n0\tx\ty\tentailment\n", [PAIR], ["entailment"]),
    "rte": ("index\tsentence1\tsentence2\tlabel\n0\tx\ty\tnot_entailment\n", [PAIR], ["not_entailment"]),
    "glue/wnli": ("index\tsentence1\tsentence2\tlabel\n0\tx\ty\t1\n", [PAIR], ["1"]),
}


@pytest.mark.parametrize("task", GLUE)
def test_glue(task: str, tmp_path: Path) -> None:
    text, inputs, answers = GLUE[task]
    found = read_examples(CLASSIFY, write(tmp_path / "train.tsv", text), format=task)
    assert (found.inputs, found.answers) == (inputs, answers)
    assert found.problem_type == ("regression" if task == "sts-b" else "single_label_classification")


def test_a_test_set_of_glue_has_no_answers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'label'. It has 'index', 'sentence'"):
        read_examples(CLASSIFY, write(tmp_path / "test.tsv", "index\tsentence\n0\tx\n"), format="sst2")


def test_next_sentence() -> None:
    rows = [{**PAIR, "label": label} for label in ("isNext", 1, "0", "NotNext")]
    found = read_examples("next-sentence-prediction", rows)
    assert found.inputs == [PAIR] * 4 and found.answers == ["IsNext", "NotNext", "IsNext", "NotNext"]
    assert found.labels == ["IsNext", "NotNext"] and found.problem_type is None
    for wrong in (True, "yes", 2):
        with pytest.raises(DataError, match='Index 0 of the list: the label is .* but must be "IsNext"'):
            read_examples("next-sentence-prediction", [{**PAIR, "label": wrong}])


def test_sentence_embedding() -> None:
    task = "sentence-embedding"
    assert list(read_examples(task, [{"anchor": "x", "positive": "y"}])) == [(PAIR, None)]
    found = read_examples(task, [{"query": "x", "positive": "y", "negative": "z"}])
    assert (
        list(found) == [({**PAIR, "negative": "z"}, None)]
        and "The examples are triplets without a score." in found.notes
    )
    found = read_examples(task, [{"sentence1": "x", "sentence2": "y", "score": "4.5"}])
    assert list(found) == [(PAIR, 4.5)] and "The examples are pairs with a score from 4.5 to 4.5." in found.notes
    rows = [{"sentence1": "x", "sentence2": "y", "label": "neutral"}]
    with pytest.raises(DataError, match="the score is 'neutral'"):
        read_examples(task, rows)
    assert list(read_examples(task, rows, columns={"text": "sentence1", "text_pair": "sentence2"})) == [(PAIR, None)]
    with pytest.raises(UsageError, match="'negative' and 'score' are a negative and a score"):
        read_examples(task, [{"anchor": "x", "positive": "y", "negative": "z", "score": 1}])
