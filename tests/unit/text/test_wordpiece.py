"""WordPiece equals the `tokenizers` library, and its cache."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.models import WordPiece as Theirs

from bertkit.errors import UsageError
from bertkit.text.wordpiece import wordpiece
from bertkit.text.wordpiece.wordpiece import WordPiece

TOKENS = [
    "[UNK]",
    "a",
    "b",
    "ab",
    "abc",
    "##a",
    "##b",
    "##bc",
    "##cab",
    "c",
    "##c",
    "é",
    "##é",
    "日",
    "un",
    "##aff",
    "##able",
    "##",
]
IDS = {token: id for id, token in enumerate(TOKENS)}


def theirs(word: str, longest_word: int = 100) -> tuple[list[int], list[tuple[int, int]]]:
    model = Theirs(IDS, unk_token="[UNK]", max_input_chars_per_word=longest_word)
    tokens = model.tokenize(word)
    return [token.id for token in tokens], [token.offsets for token in tokens]


@given(st.text(alphabet="abcé日x", min_size=1, max_size=20))
def test_equal_to_the_library(word: str) -> None:
    ids, ends = WordPiece(IDS).pieces(word)
    wanted, offsets = theirs(word)
    assert ids == wanted
    spans = [(len(word.encode()[:start].decode()), len(word.encode()[:end].decode())) for start, end in offsets]
    assert list(zip([0, *ends[:-1]], ends, strict=True)) == spans


@given(st.lists(st.text(alphabet="abcé日x", max_size=20)))
def test_the_trie_equals_the_search_word_by_word(words: list[str]) -> None:
    ours = WordPiece(IDS, longest_word=15)
    assert ours._trie is not None
    found = ours._trie.find(words)
    each = [ours.pieces(word) for word in words]
    assert found.ids.tolist() == [id for ids, _ in each for id in ids]
    assert found.ends.tolist() == [end for _, ends in each for end in ends]
    assert found.counts.tolist() == [len(ids) for ids, _ in each]


@pytest.mark.parametrize("ids", [{"[UNK]": 0}, {"[UNK]": 0, "##": 1}, {"[UNK]": 0, "a": 1}, {"[UNK]": 0, "##a": 1}])
def test_small_tries(ids: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "MANY_WORDS", 1)
    words = ["a", "aa", "[UNK]", "\0", "\U0010ffff", "\ud8001"]
    assert WordPiece(ids).split(words).ids.tolist() == [id for word in words for id in WordPiece(ids).pieces(word)[0]]


def test_a_vocabulary_too_large_for_a_trie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "MANY_WORDS", 1)
    monkeypatch.setattr(wordpiece, "_LARGEST_TRIE", 5)
    assert WordPiece(IDS).split(["unaffable", "x"]).ids.tolist() == [IDS["un"], IDS["##aff"], IDS["##able"], 0]


@pytest.mark.parametrize("length", [99, 100, 101, 10_000])
def test_a_long_word_is_unknown(length: int) -> None:
    assert WordPiece(IDS).pieces("a" * length)[0] == theirs("a" * length)[0]
    assert WordPiece(IDS, longest_word=200).pieces("a" * length)[0] == theirs("a" * length, 200)[0]


@pytest.mark.parametrize("many", [1, 10**9])
def test_a_batch_equals_single_words(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "MANY_WORDS", many)
    rng = random.Random(0)
    words = ["".join(rng.choices("abc", k=rng.randint(1, 8))) for _ in range(3_000)]
    ours = WordPiece(IDS)
    for some in (words[:1], words, words, []):
        split = ours.split(some)
        each = [ours.pieces(word) for word in some]
        assert split.ids.tolist() == [id for ids, _ in each for id in ids]
        assert split.counts.tolist() == [len(ids) for ids, _ in each]
        assert split.ends.tolist() == [end for _, ends in each for end in ends]
        assert split.starts.tolist() == [start for _, ends in each for start in [0, *ends[:-1]]]
        assert ours.ids_of(some) == split.ids.tolist()


def test_a_full_table_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "MOST_WORDS", 100)
    ours = WordPiece(IDS)
    for number in range(50):
        words = [f"a{'b' * (number % 30)}{'c' * place}" for place in range(20)]
        np.testing.assert_array_equal(ours.split(words).ids, WordPiece(IDS).split(words).ids)
        assert len(ours._table) <= 120


def test_threads_share_one_table() -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("abc", k=rng.randint(1, 9))) for _ in range(4_000)]
    wanted = WordPiece(IDS).split(words).ids
    ours = WordPiece(IDS)
    orders = [rng.sample(range(4), 4) for _ in range(8)]
    wrong: list[int] = []

    def work(order: list[int]) -> None:
        for part in order:
            some = slice(part * 1_000, part * 1_000 + 1_000)
            if ours.split(words[some]).ids.tolist() != WordPiece(IDS).split(words[some]).ids.tolist():
                wrong.append(part)

    threads = [threading.Thread(target=work, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    np.testing.assert_array_equal(ours.split(words).ids, wanted)


def test_a_table_works_after_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = WordPiece(IDS)
    ours.split(["a", "ab"])
    monkeypatch.setattr(ours._table, "_find", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ours.split(["abc", "b"])
    monkeypatch.undo()
    assert ours.split(["b", "un", "abc"]).ids.tolist() == [IDS["b"], IDS["un"], IDS["abc"]]


def test_a_vocabulary_needs_an_unknown_token() -> None:
    with pytest.raises(UsageError, match=r"no \[UNK\], the token for unknown words: add it"):
        WordPiece({"a": 0})
