"""What the three behaviours do with whole tokenizers, and what is left when basic tokenization is off."""

from __future__ import annotations

import pytest

from bertkit import BertTokenizer, BertTokenizerFast
from bertkit.text.blanks import Blanks

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
def test_an_added_token_stands_for_every_case_where_text_is_lower_cased(cls: type[BertTokenizer]) -> None:
    tokenizer = cls(TOKENS[:-1])
    tokenizer.add_tokens(["[ENT]", "<New>"])
    first, second = len(TOKENS) - 1, len(TOKENS)
    for text in ("a [ENT] <New>", "a [ent] <NEW>", "a[Ent]<new>"):
        assert tokenizer(text)["input_ids"] == [2, 5, first, second, 3], text
        assert tokenizer([text, "a"])["input_ids"][0] == [2, 5, first, second, 3], text
