"""Vocabularies, good ones and damaged ones, and added tokens."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers

from bertkit.errors import BertkitError, TokenizerError
from bertkit.text import vocabulary as module
from bertkit.text.vocabulary import AddedToken, Vocabulary, give_ids

GOOD = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "世", "##é"]
NAMES = ("bert-base-uncased", "bert-base-cased", "bert-base-multilingual-cased", "bert-base-chinese")


def file(folder: Path, content: str | bytes) -> Path:
    path = folder / "vocab.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes) -> list[str]:
    return Vocabulary.from_file(file(folder, content)).tokens


def test_round_trip(tmp_path: Path) -> None:
    vocabulary = Vocabulary(GOOD)
    vocabulary.write(tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_bytes() == "".join(f"{token}\n" for token in GOOD).encode()
    assert Vocabulary.from_file(tmp_path / "vocab.txt") == vocabulary
    assert list(tmp_path.iterdir()) == [tmp_path / "vocab.txt"]


def test_from_ids() -> None:
    assert Vocabulary.from_ids({"b": 1, "a": 0}) == Vocabulary(["a", "b"])
    gap = Vocabulary.from_ids({"b": 3, "a": 0})
    assert (gap.tokens, len(gap)) == (["a", "", "", "b"], 2)


def test_published_vocabularies() -> None:
    """Sizes and well-known ids. A token of Chinese BERT is a line separator, which must not be read as a line end."""
    folder = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[4] / "shared" / "data")) / "vocab"
    if not folder.is_dir():
        pytest.skip(f"The published vocabularies are not in {folder}.")
    found = {name: Vocabulary.from_file(folder / f"{name}.txt") for name in NAMES}
    assert [len(found[name]) for name in NAMES] == [30522, 28996, 119547, 21128]
    assert all(len(vocabulary) == len(vocabulary.tokens) for vocabulary in found.values())
    assert [found[name].ids["[MASK]"] for name in NAMES] == [103, 103, 103, 103]
    assert found["bert-base-chinese"].ids["\u2028"] == 343
    assert found["bert-base-uncased"].ids["hello"] == 7592


# Files that are repaired.

REPAIRED = {
    "byte-order mark": b"\xef\xbb\xbf" + "\n".join(GOOD).encode(),
    "CRLF": "\r\n".join(GOOD) + "\r\n",
    "CR": "\r".join(GOOD) + "\r",
    "mixed line ends": "\n".join(GOOD[:4]) + "\r\n" + "\r\n".join(GOOD[4:]),
    "no last line end": "\n".join(GOOD),
    "one empty last line": "\n".join(GOOD) + "\n\n",
    "many empty last lines": "\n".join(GOOD) + "\n\n \n\t\n\n",
    "whitespace after tokens": " \n".join(GOOD) + "\t \n",
}


@pytest.mark.parametrize("content", REPAIRED.values(), ids=REPAIRED.keys())
def test_repaired(tmp_path: Path, content: str | bytes) -> None:
    assert read(tmp_path, content) == GOOD


def test_an_empty_line_does_not_change_ids(tmp_path: Path) -> None:
    assert read(tmp_path, "[UNK]\n\na\n") == ["[UNK]", "", "a"]


def test_a_space_as_a_token(tmp_path: Path) -> None:
    assert read(tmp_path, "[UNK]\n \n\u2028\n\u3000\na\n") == ["[UNK]", " ", "\u2028", "\u3000", "a"]


def test_the_last_id_of_a_duplicate_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        vocabulary = Vocabulary.from_file(file(tmp_path, "[UNK]\na\nb\na\n"))
    assert (vocabulary.ids["a"], len(vocabulary), vocabulary.tokens) == (3, 3, ["[UNK]", "a", "b", "a"])
    assert "vocab.txt has tokens more than once, and their last id is used: 'a'." in caplog.text


def test_a_line_end_in_a_token_does_not_change_ids(tmp_path: Path) -> None:
    Vocabulary.from_ids({"[UNK]": 0, "a\nb": 1, "c": 2}).write(tmp_path / "vocab.txt")
    assert Vocabulary.from_file(tmp_path / "vocab.txt").tokens == ["[UNK]", "", "c"]


# Files that are refused.


def _sparse(folder: Path) -> Path:
    path = folder / "vocab.txt"
    with open(path, "wb") as stream:
        stream.truncate(2 * 2**30)
    return path


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "vocab.txt")
    return folder / "vocab.txt"


def _folder(folder: Path) -> Path:
    (folder / "vocab.txt").mkdir()
    return folder / "vocab.txt"


DAMAGED: dict[str, Callable[[Path], Path]] = {
    "empty": lambda folder: file(folder, ""),
    "only a byte-order mark": lambda folder: file(folder, b"\xef\xbb\xbf"),
    "only line ends": lambda folder: file(folder, "\n\n\r\n"),
    "absent": lambda folder: folder / "vocab.txt",
    "a folder": _folder,
    "a pipe": _pipe,
    "binary": lambda folder: file(folder, bytes(range(256))),
    "zeros": lambda folder: file(folder, bytes(100)),
    "a line of two gigabytes": _sparse,
    "a line of 1,001 characters": lambda folder: file(folder, "[UNK]\n" + "a" * 1001),
    "Latin-1": lambda folder: file(folder, "[UNK]\né\n".encode("latin-1")),
    "UTF-16": lambda folder: file(folder, "[UNK]\na\n".encode("utf-16")),
    "UTF-16 without a mark": lambda folder: file(folder, "[UNK]\na\n".encode("utf-16-le")),
    "a lone surrogate": lambda folder: file(folder, b"[UNK]\n\xed\xa0\x80\n"),
    "cut off in a character": lambda folder: file(folder, "[UNK]\n世".encode()[:-1]),
    "five million lines": lambda folder: file(folder, "a\n" * 5_000_000),
    "five million empty lines": lambda folder: file(folder, "\r\n" * 5_000_000),
    "a Git LFS pointer": lambda folder: file(
        folder, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    ),
    "a web page": lambda folder: file(folder, "<!DOCTYPE html>\n<html></html>\n"),
}


@pytest.mark.parametrize("build", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    with pytest.raises(TokenizerError, match=r"vocab\.txt"):
        Vocabulary.from_file(build(tmp_path))


@pytest.mark.parametrize(
    "ids", [{"a": -1}, {"a": 0, "b": 0}, {"a": True}, {"a": 1.5}, {"a": "0"}, {"a": None}, {"a": 2**31}, {}, {"a": [0]}]
)
def test_invalid_ids(ids: dict[str, int]) -> None:
    with pytest.raises(TokenizerError, match="tokenizer.json"):
        Vocabulary.from_ids(ids, "tokenizer.json")


def test_the_limits_for_lists_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TOKENS", 3)
    with pytest.raises(TokenizerError, match="has 4 tokens; up to 3 are accepted"):
        Vocabulary("abcd")


def test_the_error_is_a_value_error(tmp_path: Path) -> None:
    for kind in (BertkitError, ValueError):
        with pytest.raises(kind):
            Vocabulary.from_file(tmp_path / "vocab.txt")


# Added tokens.


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("normalized", [None, True, False])
def test_flags_are_those_of_the_tokenizers_library(special: bool, normalized: bool | None) -> None:
    given = {"special": special} | ({} if normalized is None else {"normalized": normalized})
    theirs = tokenizers.AddedToken("[X]", lstrip=True, **given)
    ours = AddedToken("[X]", lstrip=True, **given)
    assert AddedToken.of(theirs) == ours
    assert AddedToken.of(ours.to_dict()) == AddedToken.of(ours) == ours
    assert str(ours) == str(theirs)


def test_a_string_has_the_flags_of_the_caller() -> None:
    assert AddedToken.of("[X]", special=True) == AddedToken("[X]", special=True, normalized=False)


@pytest.mark.parametrize(
    "value", [None, 3, [], {}, {"content": 3}, {"content": "a", "lstrip": "yes"}, {"content": "a", "special": 1}]
)
def test_invalid_tokens(value: object) -> None:
    with pytest.raises(TokenizerError):
        AddedToken.of(value)


def test_ids_of_added_tokens() -> None:
    added = {7: AddedToken("x")}
    assert give_ids(map(AddedToken, ["b", "y", "x", "z", "y"]), Vocabulary("ab"), added) == [1, 3, 7, 4, 3]
    assert {index: token.content for index, token in added.items()} == {7: "x", 1: "b", 3: "y", 4: "z"}


def test_many_added_tokens_are_quick() -> None:
    added: dict[int, AddedToken] = {}
    assert give_ids((AddedToken(str(i)) for i in range(50_000)), Vocabulary("ab"), added)[-1] == 50_001
