"""The commands for one task each: the answers of the pipelines, and errors of one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_models
import pytest

from bertkit.cli import main
from bertkit.pipelines import pipeline

FIRST, SECOND = "Maria moved from Lima to Zurich.", "The soup was cold."
MASKED = "The [MASK] was cold."
Case = tuple[list[str], str, str, Any, dict[str, Any]]

CASES: dict[str, Case] = {
    "fill-mask": ([MASKED], "masked", "fill-mask", MASKED, {"top_k": 5}),
    "classify": ([FIRST], "two", "text-classification", {"text": FIRST}, {}),
    "classify --top-k 2": ([FIRST], "two", "text-classification", {"text": FIRST}, {"top_k": 2}),
    "classify --pair": ([SECOND, FIRST], "two", "text-classification", {"text": FIRST, "text_pair": SECOND}, {}),
    "ner": ([FIRST], "names", "ner", FIRST, {"aggregation_strategy": "simple", "word_from": "text"}),
    "qa --question": (
        ["Who moved?", "--context", FIRST],
        "answers",
        "question-answering",
        {"question": "Who moved?", "context": FIRST},
        {},
    ),
    "embed": ([FIRST], "plain", "feature-extraction", FIRST, {"pooling": "mean", "normalize": True}),
    "embed --pooling none --layers=-1,-2": (
        [FIRST],
        "plain",
        "feature-extraction",
        FIRST,
        {"normalize": True, "layers": [-1, -2]},
    ),
    "embed --pooling cls --no-normalize --prompt q:": (
        [FIRST],
        "plain",
        "feature-extraction",
        FIRST,
        {"pooling": "cls", "prompt": "q:"},
    ),
    "similarity --measure euclidean": (
        [FIRST, SECOND],
        "plain",
        "similarity",
        {"source_sentence": FIRST, "sentences": [SECOND]},
        {"pooling": "mean", "similarity_fn_name": "euclidean"},
    ),
    "similarity": (
        [FIRST, SECOND, "Fresh snow fell."],
        "plain",
        "similarity",
        {"source_sentence": FIRST, "sentences": [SECOND, "Fresh snow fell."]},
        {},
    ),
    "nsp": ([FIRST, SECOND], "order", "nsp", {"text": FIRST, "text_pair": SECOND}, {}),
    "choose": (
        [FIRST, SECOND, "Rain."],
        "choices",
        "multiple-choice",
        {"text": FIRST, "choices": [SECOND, "Rain."]},
        {},
    ),
    "zero-shot --labels travel,food": (
        [FIRST],
        "follows",
        "zero-shot-classification",
        FIRST,
        {"candidate_labels": ["travel", "food"]},
    ),
    "score": ([SECOND], "masked", "sentence-scoring", SECOND, {}),
    "score --tokens": ([SECOND], "masked", "sentence-scoring", SECOND, {"tokens": True}),
}


def numbers(answer: Any) -> list[float]:
    if isinstance(answer, dict):
        return [number for value in answer.values() for number in numbers(value)]
    if isinstance(answer, list):
        return [number for value in answer for number in numbers(value)]
    return [float(answer)] if isinstance(answer, (int, float)) else []


@pytest.mark.parametrize("command", CASES)
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_a_command_answers_as_its_pipeline(command: str, engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, model, task, example, options = CASES[command]
    folder = str(pipeline_models.folder(model))
    assert main([*command.split(), *words, "--model", folder, "--engine", engine]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert len(lines) == 1 and not output.err
    expected = next(pipeline(task, folder, engine="numpy", **options)(iter([example])))
    if engine == "auto":
        assert json.loads(lines[0]) == expected
    assert np.allclose(
        numbers(json.loads(lines[0])), numbers(expected), rtol=1e-5, atol=1e-5
    )  # rtol, as perplexities are above 100


@pytest.mark.parametrize("command", CASES)
def test_a_long_text_is_answered(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, model, _, _, _ = CASES[command]
    long = " ".join([FIRST] * 150)
    if command.startswith("score"):
        long = " ".join([FIRST] * 20)
    words = [word.replace(FIRST, long).replace("was cold", "was cold. " + long) for word in words]
    assert main([*command.split(), *words, "--model", str(pipeline_models.folder(model))]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)
    assert "Traceback" not in output.err


SHORT = ["fill-mask", "classify", "ner", "qa", "embed", "similarity", "nsp", "choose", "zero-shot", "score"]
NEEDED = {
    "fill-mask": "fill-mask needs a BertForMaskedLM",
    "classify": "text-classification needs a BertForSequenceClassification",
    "ner": "token-classification needs a BertForTokenClassification",
    "qa": "question-answering needs a BertForQuestionAnswering",
    "embed": "feature-extraction needs any BERT",
    "similarity": "sentence-similarity needs any BERT",
    "nsp": "next-sentence-prediction needs a BertForNextSentencePrediction",
    "choose": "multiple-choice needs a BertForMultipleChoice",
    "zero-shot": "zero-shot-classification needs a BertForSequenceClassification",
    "score": "sentence-scoring needs a BertForMaskedLM",
}
MODEL_OF = {
    "fill-mask": "masked",
    "classify": "two",
    "ner": "names",
    "qa": "answers",
    "embed": "plain",
    "similarity": "plain",
    "nsp": "order",
    "choose": "choices",
    "zero-shot": "follows",
    "score": "masked",
}
OTHER = {"zero-shot": ["--labels", "a,b"], "qa": ["--question", "Who?"]}


def refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence on stderr, nothing on stdout, exit code 2."""
    assert main(words) == 2
    output = capsys.readouterr()
    assert not output.out
    assert output.err.startswith("bertkit: ") and output.err.count("\n") == 1
    assert sentence in output.err


@pytest.mark.parametrize("command", SHORT)
def test_a_command_without_model_names_the_class_it_needs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bertkit.hub.place.ASSETS", tmp_path)  # without the built-in model
    refused([command], NEEDED[command] + ": type --model", capsys)


@pytest.mark.parametrize("command", SHORT)
def test_invalid_inputs_and_models_are_errors_of_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, *OTHER.get(command, [])]
    folder = pipeline_models.folder(MODEL_OF[command])
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0\1\2" * 100)
    texts = tmp_path / "texts.txt"
    texts.write_text("a\tb\n")
    model = ["--model", str(folder)]
    refused([*words, *model], "is empty", capsys)  # stdin of a test
    refused([*words, *model, "--input", str(tmp_path / "no file")], "There is no file", capsys)
    refused([*words, *model, "--input", str(tmp_path)], "is a folder", capsys)
    refused(
        [*words, *model, "--input", str(tmp_path / "empty.txt")],
        "empty.txt is empty, but at least one text is needed",
        capsys,
    )
    refused([*words, *model, "--input", str(tmp_path / "binary")], "zero byte", capsys)
    refused([*words, "--model", str(tmp_path / "none"), "--input", str(texts)], "none", capsys)
    other = pipeline_models.folder("order" if command != "nsp" else "masked")
    if command not in ("embed", "similarity"):
        refused([*words, "--model", str(other), "--input", str(texts)], "It can do", capsys)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((folder / name).read_bytes())
    refused([*words, "--model", str(bare), "--input", str(texts)], "tokenizer", capsys)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fill-mask", " "], "Text 1 of 1 is empty"),
        (["fill-mask", "no mask"], "The text has no [MASK]"),
        (
            ["fill-mask", "a [MASK]", "--top-k", "0"],
            "--top-k 0 is not an integer of at least 1: type for example --top-k 1.",
        ),
        (["fill-mask", "a [MASK]", "--input", "x"], "Both texts and --input were passed"),
        (["fill-mask", "a [MASK]", "--targets", ","], "targets is empty: type --targets good,bad, or leave it out."),
        (
            ["fill-mask", "a [MASK]", "--max-length", "2"],
            "--max-length 2 leaves no space for a mask: type --max-length 3,",
        ),
        (["score", "a", "--max-length", "1"], "as a row has 2 special tokens: type --max-length 3, or more."),
        (["fill-mask", "a [MASK]", "--resume"], "--resume is for a file: type --output FILE, too"),
        (
            ["fill-mask", "a [MASK]", "--engine", "numpy", "--device", "cuda"],
            "--engine numpy runs on the CPU, not on --device cuda: type --engine torch.",
        ),
        (["fill-mask", "a [MASK]", "--output", "/no such folder/x"], "There is no folder /no such folder for"),
        (["ner", "a"], "type bertkit run --task fill-mask, or train it"),
        (["score", "a", "--max-length", "x"], "invalid int value: 'x'"),
    ],
)
def test_invalid_options_are_errors_of_one_line(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([*words, "--model", str(pipeline_models.folder("masked"))], sentence, capsys)


@pytest.mark.parametrize(
    ("model", "words", "sentence"),
    [
        ("order", ["nsp", "one"], "nsp takes two texts, not 1"),
        ("choices", ["choose", "one"], "type the choices after it"),
        ("follows", ["zero-shot", "one"], "type --labels politics,sports"),
        ("follows", ["zero-shot", "one", "--labels", "a", "--template", "x"], "has no {}"),
        (
            "follows",
            ["zero-shot", "one", "--labels", "a", "--template", "x"],
            'type --template "This text is about {}."',
        ),
        ("answers", ["qa", "--context", "one"], "type --question"),
        (
            "answers",
            ["qa", "--question", "one"],
            "at least one text is needed. Type --context, or pipe texts into the command.",
        ),
        (
            "plain",
            ["similarity", "one"],
            "at least one text is needed. Type further texts, or pipe texts into the command.",
        ),
        (
            "two",
            ["classify", "a", "b", "--pair", "c"],
            "--pair needs one text, not 2: type one text and --pair with the second text.",
        ),
        (
            "plain",
            ["embed", "a", "--layers", "x"],
            "--layers 'x' is invalid: type numbers, as in --layers=-4,-3,-2,-1\n",
        ),
        ("answers", ["qa", "--question", "a", "--context", "b", "--max-length", "4"], "type --max-length 5, or more."),
        ("plain", ["embed", "a", "--layers", "9"], "layers has 9"),
    ],
)
def test_invalid_texts_are_errors_of_one_line(
    model: str, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([*words, "--model", str(pipeline_models.folder(model))], sentence, capsys)


def test_labels_separated_by_spaces_give_advice(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["zero-shot", FIRST, "--labels", "weather", "sport", "--model", str(pipeline_models.folder("follows"))]
    assert main(words) == 0
    output = capsys.readouterr()
    assert output.out.count("\n") == 2
    assert output.err == "bertkit: received 2 texts and one label. For several labels, type --labels weather,sport\n"


def test_several_texts_of_which_one_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill-mask", MASKED, "no mask", "--model", str(pipeline_models.folder("masked"))]) == 1
    output = capsys.readouterr()
    assert [line.startswith('{"error"') for line in output.out.splitlines()] == [False, True]
    assert "bertkit: row 2: The text has no [MASK]" in output.err
    assert "1 of 2 rows failed." in output.err


def test_texts_that_are_cut_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["classify", FIRST * 100, "short", "--model", str(pipeline_models.folder("two"))]
    assert main(words) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("bertkit: 1 of 2 texts are longer than a row takes, and ")
    assert said[0].endswith(" of their tokens were left out: type --on-long window to read all of them.")
    assert main([*words, "--on-long", "window", "--details"]) == 0
    output = capsys.readouterr()
    assert not output.err
    assert json.loads(output.out.splitlines()[0])["windows"] > 1


def test_a_missing_pooler_matters_only_with_pooling_pooler(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["embed", FIRST, "--model", str(pipeline_models.folder("masked"))]
    assert main(words) == 0
    assert not capsys.readouterr().err
    refused([*words, "--pooling", "pooler"], "this model has no pooler: type --pooling mean, or", capsys)


def test_questions_and_sentences_from_a_pipe(tmp_path: Path) -> None:
    def piped(words: list[str], text: str) -> list[Any]:
        command = [sys.executable, "-m", "bertkit.cli", *words]
        result = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in result.stdout.splitlines()]

    answers = ["--model", str(pipeline_models.folder("answers"))]
    asked = piped(["qa", *answers], f"Who moved?\t{FIRST}\nWhat was cold?\t{SECOND}\n")
    assert [one["answer"] in text for one, text in zip(asked, (FIRST, SECOND), strict=True)] == [True, True]
    assert piped(["qa", "--question", "Who moved?", *answers], FIRST) == asked[:1]
    plain = ["--model", str(pipeline_models.folder("plain"))]
    near = piped(["similarity", FIRST, *plain], f"{FIRST}\n{SECOND}\n")
    assert piped(["similarity", FIRST, *plain], f"{FIRST}\t \n") == near[:1]
    assert near[0][0] == pytest.approx(1, abs=1e-5) and near[1][0] < 1


def test_a_framework_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "bertkit.engines.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["classify", FIRST, "--model", str(pipeline_models.folder("five")), "--engine", "torch"]) == 2
    said = capsys.readouterr().err
    assert said == "bertkit: --engine torch needs torch, which is not installed. Type: pip install torch\n"


def test_a_few_short_texts_need_no_framework() -> None:
    script = (
        "import sys; from bertkit.cli import main; "
        f"main(['fill-mask', {MASKED!r}, '--model', {str(pipeline_models.folder('masked'))!r}]); "
        "assert not {'torch', 'huggingface_hub', 'tqdm', 'numpy.random', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
