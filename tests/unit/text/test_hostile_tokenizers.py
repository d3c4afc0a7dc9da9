"""Small tokenizer files that would use all memory or panic raise an error quickly."""

from __future__ import annotations

import base64
import json
import struct
import time
from pathlib import Path
from typing import Any

import pipeline_models
import pytest

from bertkit import BertTokenizerFast, pipeline
from bertkit.cli import main
from bertkit.errors import BertkitError, TokenizerError
from bertkit.text.vocabulary import LONGEST_TOKEN, MOST_ADDED, MOST_ADDED_CHARACTERS, AddedToken

REGEX = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
PANIC = "b" + "a" * 40 + "b"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    for file in pipeline_models.folder("names").iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    return path


def changed(model: Path, **sections: Any) -> Path:
    """The model with other sections in its tokenizer.json."""
    path = model / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | sections))
    return model


def charsmap(trie: bytes, texts: bytes) -> dict[str, str]:
    content = struct.pack("<I", len(trie)) + trie + texts
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(content).decode()}


def replacing(pattern: Any, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*steps: Any) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


A100 = replacing({"String": "a"}, "a" * 100)


@pytest.mark.parametrize(
    "normalizer",
    [
        sequence(*4 * [A100]),
        sequence(sequence(A100, sequence(A100))),
        sequence(A100, {"type": "Lowercase"}, A100),
        sequence(replacing({"String": "x"}, "b" * 20), replacing({"String": "b"}, "c" * 20)),
        sequence(*40 * [replacing({"String": "a"}, "aa")]),
        sequence(*10 * [replacing({"Regex": "."}, "aa")]),
        sequence(*10 * [replacing({"Regex": "(?=.)"}, "aa")]),
        sequence(*10 * [replacing({"String": ""}, "aa")]),
        sequence(*20 * [replacing({"String": "ab"}, "abababab")]),
        replacing({"String": "a"}, "a" * 10_000_000),
        {"type": "Prepend", "prepend": "a" * 1_000_000},
        sequence({"type": "Prepend", "prepend": "a" * 200}, A100),
        sequence(*2 * [charsmap(b"\0\0\0\0", b"x" * 100 + b"\0")]),
        sequence(*100_000 * [{"type": "Lowercase"}]),
    ],
)
def test_a_normalizer_that_lengthens_texts_too_much_is_refused(normalizer: Any, model: Path) -> None:
    start = time.perf_counter()
    with pytest.raises(TokenizerError, match=r"tokenizer\.json has normalizers "):
        BertTokenizerFast.from_pretrained(changed(model, normalizer=normalizer))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "normalizer",
    [
        sequence(*[replacing({"String": chr(0x1F600 + n)}, f":the name of emoji {n}:") for n in range(300)]),
        sequence({"type": "Lowercase"}, *[replacing({"Regex": f" {{{n},}}"}, " ") for n in range(2, 40)]),
        sequence(
            {"type": "NFKD"},
            {"type": "StripAccents"},
            replacing({"String": "``"}, '"'),
            {"type": "Strip", "strip_left": True, "strip_right": True},
        ),
        sequence(*50 * [replacing({"String": "abc"}, "abc")]),
    ],
)
def test_a_usual_normalizer_is_accepted(normalizer: Any, model: Path) -> None:
    assert BertTokenizerFast.from_pretrained(changed(model, normalizer=normalizer))("anna")["input_ids"]


def test_a_decoder_that_lengthens_texts_too_much_is_refused(model: Path) -> None:
    decoder = {"type": "Sequence", "decoders": 4 * [A100]}
    with pytest.raises(TokenizerError, match=r"tokenizer\.json has decoders that replace one character by more than"):
        BertTokenizerFast.from_pretrained(changed(model, decoder=decoder))


def test_the_limits_of_added_tokens(model: Path) -> None:
    """In each of the files that have them, and in Python."""

    def token(content: str, index: int) -> dict[str, Any]:
        return AddedToken("").to_dict() | {"content": content, "id": index}

    path = model / "tokenizer.json"
    before = path.read_text()
    there = json.loads(before)["added_tokens"]
    long = "x" * (LONGEST_TOKEN + 1)
    nested = ["x" * (n % 900) + str(n) for n in range(10_000)]
    many = [str(n) for n in range(MOST_ADDED + 1)]
    assert sum(map(len, nested)) > MOST_ADDED_CHARACTERS
    start = time.perf_counter()
    for contents in ([long], nested, many):
        sentence = "has 1,001 characters" if contents == [long] else "has (50|10),00. added tokens with "
        tokens = [token(content, 90_000 + n) for n, content in enumerate(contents)]
        with pytest.raises(TokenizerError, match=sentence):
            BertTokenizerFast.from_pretrained(changed(model, added_tokens=[*there, *tokens]))
        path.write_text(before)
        given = {"added_tokens_decoder": {str(90_000 + n): token(content, 0) for n, content in enumerate(contents)}}
        (model / "tokenizer_config.json").write_text(json.dumps(given))
        with pytest.raises(TokenizerError, match=sentence):
            BertTokenizerFast.from_pretrained(model)
        (model / "tokenizer_config.json").write_text(json.dumps({"additional_special_tokens": contents}))
        with pytest.raises(TokenizerError, match=sentence):
            BertTokenizerFast.from_pretrained(model)
        (model / "tokenizer_config.json").unlink()
        tokenizer = BertTokenizerFast.from_pretrained(model)
        size = len(tokenizer)
        with pytest.raises(TokenizerError, match=sentence):
            tokenizer.add_tokens(contents)
        assert len(tokenizer) == size and tokenizer("anna")["input_ids"]
    assert time.perf_counter() - start < 15


# Panics of the tokenizers library.


@pytest.mark.parametrize("blob", ["AAAA/////w==", "", "AA", "////////////////"])
def test_a_panic_while_loading_is_an_error(blob: str, model: Path) -> None:
    changed(model, normalizer={"type": "Precompiled", "precompiled_charsmap": blob})
    with pytest.raises(TokenizerError, match="cannot be read by the tokenizers library"):
        BertTokenizerFast.from_pretrained(model)


def test_a_panic_on_a_text_is_an_error(model: Path) -> None:
    tokenizer = BertTokenizerFast.from_pretrained(changed(model, pre_tokenizer=REGEX))
    for call in (
        lambda: tokenizer(PANIC),
        lambda: tokenizer(["anna", PANIC]),
        lambda: tokenizer([["anna", PANIC]], is_split_into_words=True),
        lambda: tokenizer(PANIC, return_offsets_mapping=True),
        lambda: tokenizer.tokenize(PANIC),
        lambda: tokenizer.encode(PANIC),
    ):
        with pytest.raises(TokenizerError, match="failed on the text with this tokenizer.json: .*retry-limit"):
            call()
        assert tokenizer("anna")["input_ids"]


def test_a_panic_fails_only_its_row(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed(model, pre_tokenizer=REGEX)
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text(f"anna\n{PANIC}\nben\n")
    assert main(["ner", "--model", str(model), "--input", str(source), "--output", str(out)]) == 1
    assert "row 2: The tokenizers library failed on the text" in capsys.readouterr().err
    assert ["error" in line for line in out.read_text().splitlines()] == [False, True, False]
    answers = pipeline("ner", model, engine="numpy")(["anna", PANIC, "ben"], errors="return")
    assert [isinstance(answer, BertkitError) for answer in answers] == [False, True, False]


def test_ctrl_c_is_not_treated_as_a_panic() -> None:
    from bertkit.text.panics import as_errors

    with pytest.raises(KeyboardInterrupt), as_errors("It"):
        raise KeyboardInterrupt
    with pytest.raises(TypeError), as_errors("It"):
        raise TypeError


def test_chinese_texts_are_split_into_characters_and_long_texts_are_not_cached() -> None:
    """Time grows linearly with the length of a text, and the caches stay small."""
    tokenizer = pipeline_models.tokenizer()
    engine = tokenizer.engine
    text = "\u4e2d\u6587a\u0301b\u4e2d\u0301\U00020000x\uf900\u4e2d,\u6587"
    found = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    apart = tokenizer(
        " ".join(text).replace("a \u0301", "a\u0301").replace("\u0301 b", "\u0301b"), add_special_tokens=False
    )
    assert found["input_ids"] == apart["input_ids"]
    assert [text[start:end] for start, end in found["offset_mapping"]][:2] == ["\u4e2d", "\u6587"]
    before = len(engine._between_blanks), len(engine._ids_between_blanks)
    long = "\u0e01" * 5_000
    assert len(tokenizer(long, return_offsets_mapping=True)["input_ids"]) == len(tokenizer(long)["input_ids"])
    tokenizer(text * 2_000, return_offsets_mapping=True)
    assert len(engine._between_blanks) - before[0] < 20 and len(engine._ids_between_blanks) == before[1]
