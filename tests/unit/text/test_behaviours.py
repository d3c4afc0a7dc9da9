"""The three values of `compat` with whole tokenizers, and do_basic_tokenize=False."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertkit import AddedToken, BertTokenizer, BertTokenizerFast
from bertkit.errors import UsageError
from bertkit.text.wordpiece.blanks import Blanks

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "don't", "don", "'", "t", "Don't", "[ent]"]


@pytest.mark.parametrize(
    ("compat", "length", "known"),
    [("fast", 101, False), ("slow", 101, False), ("google", 200, True), ("google", 201, False)],
)
def test_the_longest_word(compat: str, length: int, known: bool) -> None:
    tokenizer = BertTokenizer(TOKENS, compat=compat)
    assert (tokenizer.unk_token_id not in tokenizer("a" * length)["input_ids"]) is known


def test_without_basic_tokenization() -> None:
    tokenizer = BertTokenizer(TOKENS, do_basic_tokenize=False)
    encoded = tokenizer("don't  Don't\tdon a!", return_offsets_mapping=True)
    assert encoded.tokens() == ["[CLS]", "don't", "Don't", "don", "[UNK]", "[SEP]"]
    assert encoded["offset_mapping"] == [(0, 0), (0, 5), (7, 12), (13, 16), (17, 19), (0, 0)]
    assert tokenizer(["don't", "Don't a"])["input_ids"] == [[2, 7, 3], [2, 11, 5, 3]]
    assert Blanks().joined(["a b", ""]) == [["a", "b"], []]


@pytest.mark.parametrize("cls", [BertTokenizer, BertTokenizerFast])
def test_an_added_token_matches_any_case_if_text_is_lower_cased(cls: type[BertTokenizer]) -> None:
    tokenizer = cls(TOKENS[:-1])
    tokenizer.add_tokens(["[ENT]", "<New>"])
    first, second = len(TOKENS) - 1, len(TOKENS)
    for text in ("a [ENT] <New>", "a [ent] <NEW>", "a[Ent]<new>"):
        assert tokenizer(text)["input_ids"] == [2, 5, first, second, 3], text
        assert tokenizer([text, "a"])["input_ids"][0] == [2, 5, first, second, 3], text


# The ids that transformers 4.57.6 returns for texts. "new" is 6 and "thing" 7.
IN_ANY_CASE = {
    "İSTANBUL a": [1, 5],  # İ is lowered to an i and a dot
    "ISTANBUL istanbul": [8, 8],
    "İzmir İZMİR izmir i̇zmir": [9, 1, 1, 9],
    "\u212aelvin KELVIN": [10, 10],  # the sign of the unit
    "ſa SA ſA sa": [11, 1, 11, 1],
    "[ent] [ENT] [ENT2] [ent2]": [1, 1, 1, 13, 12, 12],
    "Raw RAW raw RAW2 raw2": [1, 1, 1, 15, 15],
    "<X> <x>": [16, 16],
    "-alone alone! alone \nalone": [1, 1, 1, 1, 17, 1],  # single_word tokens need a space on both sides
}


@pytest.mark.parametrize("text", IN_ANY_CASE)
def test_which_spellings_of_a_token_the_slow_tokenizer_finds(text: str) -> None:
    tokenizer = BertTokenizer([*TOKENS[:6], "new", "thing"])
    tokenizer.add_tokens(
        ["istanbul", "İzmir", "kelvin", "ſa", "[ENT2]", AddedToken("[ENT]", special=True, normalized=True)]
    )
    tokenizer.add_tokens([AddedToken("Raw", normalized=False), AddedToken("raw2", normalized=False), "<x>"])
    tokenizer.add_tokens(AddedToken("alone", single_word=True))
    wanted = IN_ANY_CASE[text]
    assert tokenizer.encode(text, add_special_tokens=False) == wanted
    assert tokenizer([text, "a"], return_offsets_mapping=True)["input_ids"][0] == [2, *wanted, 3]
    assert tokenizer(text).word_ids()[-2] is not None


def test_a_token_of_a_file_keeps_its_capitals(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*TOKENS[:6], "new", "thing"]))
    (tmp_path / "added_tokens.json").write_text('{"NEW": 8}')
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer(["a new thing", "a NEW thing"])["input_ids"] == [[2, 5, 6, 7, 3], [2, 5, 8, 7, 3]]


def test_a_token_of_the_fast_tokenizer_is_read_by_the_slow_one(tmp_path: Path) -> None:
    fast = BertTokenizerFast([*TOKENS[:6], "new", "thing"])
    fast.add_tokens(["NEW"])
    fast.save_pretrained(tmp_path)
    assert fast("a new thing NEW")["input_ids"] == [2, 5, 8, 7, 8, 3]
    assert BertTokenizer.from_pretrained(tmp_path)("a new thing NEW")["input_ids"] == [2, 5, 6, 7, 8, 3]


def test_a_mark_belongs_to_a_word_of_the_fast_tokenizer() -> None:
    """As in transformers 4.57.6, although such marks are not word characters in Python."""
    tokenizer = BertTokenizerFast(TOKENS)
    tokenizer.add_tokens(AddedToken("aaa", single_word=True, normalized=False))
    assert tokenizer.tokenize("aaa aaa\u093e aaa!") == ["aaa", "[UNK]", "aaa", "[UNK]"]


def test_the_fast_tokenizer_knows_no_settings_of_the_slow_one() -> None:
    for settings in ({"never_split": ["don't"]}, {"do_basic_tokenize": False}):
        assert BertTokenizerFast(TOKENS, **settings).tokenize("a don't") == ["a", "don", "'", "t"]


def test_gaps_in_the_ids_of_a_file(tmp_path: Path) -> None:
    """The slow tokenizer uses the ids in the file, the fast one the next free ids. New ids start from the number of tokens."""
    (tmp_path / "vocab.txt").write_text("\n".join([*TOKENS[:6], "new", "thing"]))
    (tmp_path / "added_tokens.json").write_text('{"[X]": 20}')
    for cls, index in ((BertTokenizer, 20), (BertTokenizerFast, 8)):
        tokenizer = cls.from_pretrained(tmp_path)
        tokenizer.add_tokens(["q", "a", "w"])
        assert tokenizer.convert_tokens_to_ids(["[X]", "q", "a", "w"]) == [index, 9, 5, 10]
        assert len(tokenizer) == 11


# Intended differences from transformers 4.57.6, listed in docs/tokenizers.md.


@pytest.mark.parametrize("cls", [BertTokenizer, BertTokenizerFast])
def test_documented_differences_from_transformers(cls: type[BertTokenizer]) -> None:
    tokenizer = cls(TOKENS)
    assert tokenizer.add_tokens(["XYZZY", "a"]) == 1  # and not 2, as "a" is in the vocabulary
    assert tokenizer("a xyzzy").tokens()[2] == ("xyzzy" if cls is BertTokenizer else "XYZZY")
    assert tokenizer("a", "")["input_ids"] == tokenizer(["a"], [""])["input_ids"][0] == [2, 5, 3, 3]
    assert tokenizer.tokenize("a", add_special_tokens=True) == ["[CLS]", "a", "[SEP]"]
    assert tokenizer("[MASK] XYZZY", split_special_tokens=True)["input_ids"] == [2, 1, 1, 5, 1, 1, len(TOKENS), 3]
    assert tokenizer.truncate_sequences([5, 6], num_tokens_to_remove=2) == ([], None, [5, 6])
    with pytest.raises(UsageError, match="truncation=True"):
        tokenizer("a", "a a a", truncation="only_first", max_length=5)
