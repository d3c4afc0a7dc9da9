"""`bertkit tokenize`: straight columns on a terminal, JSON lines for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertTokenizerFast

import bertkit.cli.tokenize as command
from bertkit.cli import main
from bertkit.cli.tokenize import TokenRow, render, rows, table
from bertkit.terminal import width

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, "un", "##aff", "##able", "hello", "日", "本", "한국", "##어", "!"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return BertTokenizerFast.from_pretrained(str(path.parent), strip_accents=False)


def found(tokenizer: Any, text: str, pair: str | None = None) -> list[TokenRow]:
    return rows(tokenizer(text, pair, return_offsets_mapping=True))


def test_rows(tokenizer: Any) -> None:
    assert found(tokenizer, "Unaffable", "hello!") == [
        TokenRow("[CLS]", 2, 0, 0, 0, None),
        TokenRow("un", 5, 0, 0, 2, 0),
        TokenRow("##aff", 6, 0, 2, 5, 0),
        TokenRow("##able", 7, 0, 5, 9, 0),
        TokenRow("[SEP]", 3, 0, 0, 0, None),
        TokenRow("hello", 8, 1, 0, 5, 1),
        TokenRow("!", 13, 1, 5, 6, 1),
        TokenRow("[SEP]", 3, 1, 0, 0, None),
    ]


def test_the_table(tokenizer: Any) -> None:
    page = render(found(tokenizer, "Hello 日本", "한국어"), ["Hello 日本", "한국어"], "table")
    assert page == (
        "token  id  type  offsets  text\n"
        "[CLS]   2     0\n"
        "hello   8     0  0-5      Hello\n"
        "日      9     0  6-7      日\n"
        "本     10     0  7-8      本\n"
        "[SEP]   3     0\n"
        "한국   11     1  0-2      한국\n"
        "##어   12     1  2-3      어\n"
        "[SEP]   3     1"
    )


def test_the_tokenizer_of_the_built_in_model_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenize", "Plants", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == ["[CLS]", "plants", "[SEP]"]


def test_a_text_that_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Python decodes its invalid bytes as lone surrogates. The error's advice is for the command line, not for Python."""
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    assert main(["tokenize", "caf\udce9", "--model", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "bertkit: The text 'caf\\udce9' is not UTF-8 at '\\udce9': type it in UTF-8.\n"


def test_json_lines(tokenizer: Any) -> None:
    texts = ["Unaffable", "日"]
    line = render(found(tokenizer, *texts), texts, "json")
    assert "\n" not in line
    page = json.loads(line)
    assert page["text"] == "Unaffable"
    assert page["pair"] == "日"
    assert page["tokens"] == ["[CLS]", "un", "##aff", "##able", "[SEP]", "日", "[SEP]"]
    assert page["ids"] == tokenizer(*texts)["input_ids"]
    assert page["types"] == [0, 0, 0, 0, 0, 1, 1]
    assert [texts[0][start:end] for start, end in page["offsets"][1:4]] == ["Un", "aff", "able"]
    assert "pair" not in json.loads(render(found(tokenizer, "hello"), ["hello"], "json"))


def test_ids(tokenizer: Any) -> None:
    assert render(found(tokenizer, "unaffable"), ["unaffable"], "ids") == "2 5 6 7 3"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 1),
        ("e\u0301", 1),  # two code points
        ("日本", 4),
        ("한국", 4),
        ("\u1112\u1161\u11ab", 2),  # a syllable in its three parts
        ("ガ", 2),
        ("ｶﾞ", 2),  # half wide
        ("！", 2),
        ("नि", 2),  # the vowel takes a separate column
        ("ไทย", 3),
        ("שָׁ", 1),
        ("👩", 2),
        ("👍🏽", 2),  # with a colour of skin
        ("👩\u200d👧\u200d👦", 2),  # a family
        ("🏃\u200d♂\ufe0f", 2),
        ("❤\ufe0f", 2),  # the sign in emoji style
        ("❤", 1),
        ("🇰🇷", 2),  # two letters that are a flag
        ("…", 1),
    ],
)
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns


def test_invisible_characters_are_escaped() -> None:
    page = table([TokenRow("a\u202eb", 1, 0, 0, 2, 0)], ["\x1b\ud800"])
    assert page.splitlines()[1].split() == ["a\\u202eb", "1", "0", "0-2", "\\x1b\\ud800"]


def test_the_table_is_straight_in_every_script() -> None:
    texts = ["日本語", "한국어", "e\u0301te\u0301", "👩\u200d👧", "हिन्दी", "שָׁלוֹם", "plain"]
    page = table([TokenRow(text, 7, 0, 0, len(text), 0) for text in texts], ["x" * 9]).splitlines()
    assert {width(line[: line.index("  0-")]) for line in page[1:]} == {width(page[0][: page[0].index("  offsets")])}


def test_one_line_of_output_for_each_line_of_input(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("hello\n\n日本\n", encoding="utf-8")
    lines = command.read_lines
    monkeypatch.setattr(command, "read_lines", lambda name: lines(str(path)))
    monkeypatch.setattr(command, "_load", lambda model, revision: tokenizer)
    command.tokenize("-", model="m", format="ids")
    assert capsys.readouterr().out == "2 8 3\n2 3\n2 9 10 3\n"
    command.tokenize("-", model="m")
    assert capsys.readouterr().out.count("token ") == 3
    command.tokenize("hello", model="m", pair="hello", format="json")
    assert json.loads(capsys.readouterr().out)["pair"] == "hello"
