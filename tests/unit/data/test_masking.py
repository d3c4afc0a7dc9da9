"""Masking: the number and the choice of tokens, their replacements, and that the result depends only on the key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.data.masking import Masked, mask_words

CLS, SEP, UNK, MASK, VOCABULARY = 2, 3, 1, 4, 1000
SPECIAL = {0, UNK, CLS, SEP, MASK}


def row(length: int, seed: int = 0) -> np.ndarray:
    """[CLS] words [SEP]."""
    return np.array([CLS, *np.random.default_rng(seed).integers(5, VOCABULARY, length), SEP])


def masked(ids: np.ndarray, key: tuple[int, int, int] = (0, 0, 0), **options: Any) -> Masked:
    return mask_words(ids, SPECIAL, np.random.default_rng(key), mask_id=MASK, vocab_size=VOCABULARY, **options)


@given(st.integers(0, 60), st.integers(0, 5), st.sampled_from([None, 1, 4]))
def test_the_chosen_tokens(length: int, seed: int, most: int | None) -> None:
    ids = row(length, seed)
    found = masked(ids, (seed, 0, 0), max_predictions=most)
    count = min(max(1, round(0.15 * length)), length if most is None else most)
    assert len(found.positions) == len(set(found.positions.tolist())) == min(count, length)
    assert found.positions.tolist() == sorted(found.positions.tolist())
    assert found.labels.tolist() == ids[found.positions].tolist()
    others = np.setdiff1d(np.arange(len(ids)), found.positions)
    assert found.input_ids[others].tolist() == ids[others].tolist()
    assert 0 not in found.positions and len(ids) - 1 not in found.positions


def test_shares() -> None:
    """80% masks, 10% random tokens, 10% unchanged, with equal probabilities for all tokens."""
    ids, kinds, chosen, others = row(100), np.zeros(3), np.zeros(102), []
    for example in range(2000):
        found = masked(ids, (7, 0, example))
        now = found.input_ids[found.positions]
        kinds += [(now == MASK).sum(), ((now != MASK) & (now != found.labels)).sum(), (now == found.labels).sum()]
        chosen[found.positions] += 1
        others += now[(now != MASK) & (now != found.labels)].tolist()
    assert kinds.sum() == 2000 * 15
    assert np.allclose(kinds / kinds.sum(), [0.8, 0.1, 0.1], atol=0.01)
    assert np.allclose(chosen[1:-1] / 2000, 0.15, atol=0.04)
    assert not SPECIAL & set(others) and min(others) < 20 and max(others) > VOCABULARY - 15
    assert np.mean(others) == pytest.approx((5 + VOCABULARY - 1) / 2, rel=0.05)


def test_the_result_depends_on_the_generator() -> None:
    rows = [row(50, seed) for seed in range(20)]
    first = [masked(ids, (1, 2, number)) for number, ids in enumerate(rows)]
    again = {number: masked(rows[number], (1, 2, number)) for number in reversed(range(20))}
    for number, found in enumerate(first):
        for one, other in zip(found, again[number], strict=True):
            assert one.tolist() == other.tolist()
    same = rows[0]
    keys = [(1, 2, 0), (0, 2, 0), (1, 0, 0), (1, 2, 1), (2, 1, 0), (0, 1, 2)]
    assert len({tuple(masked(same, key).positions.tolist()) for key in keys}) == len(keys)
    before = same.copy()
    masked(same)
    assert same.tolist() == before.tolist()


def test_special_tokens_are_never_chosen() -> None:
    ids = np.array([CLS, UNK, 7, SEP, 8, UNK, MASK, SEP])
    for example in range(50):
        assert set(masked(ids, (0, 0, example), share=1.0).positions.tolist()) == {2, 4}
    assert masked(np.array([CLS, UNK, SEP])).positions.tolist() == []
    assert masked(np.array([], np.int64)).input_ids.tolist() == []


def words_of(lengths: list[int]) -> np.ndarray:
    """Return the word numbers of [CLS] words [SEP], which are -1 for these two."""
    return np.array([-1, *(number for number, length in enumerate(lengths) for _ in range(length)), -1])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=20), st.integers(0, 10), st.sampled_from([None, 3, 6]))
def test_whole_words(lengths: list[int], example: int, most: int | None) -> None:
    words, ids = words_of(lengths), row(sum(lengths))
    found = masked(ids, (0, 0, example), words=words, max_predictions=most)
    chosen = {words[place] for place in found.positions.tolist()}
    assert found.positions.tolist() == [place for place, word in enumerate(words) if word in chosen and word >= 0]
    assert most is None or len(found.positions) <= most
    if most is None or min(lengths) <= most:
        assert len(chosen) >= 1
    if len(chosen) > 1:
        assert len(found.positions) <= max(1, round(0.15 * sum(lengths)))


def test_words_of_two_texts_may_have_the_same_numbers() -> None:
    ids = np.array([CLS, 10, 11, SEP, 12, 13, SEP])
    words = np.array([-1, 0, 0, -1, 0, 0, -1])
    found = {tuple(masked(ids, (0, 0, example), words=words).positions.tolist()) for example in range(20)}
    assert found == {(1, 2), (4, 5)}


def test_every_word_can_be_chosen() -> None:
    lengths = [1, 2, 3, 1, 2, 1, 4, 1, 1, 2, 3, 1, 1, 2, 1]
    words, ids, counts = words_of(lengths), row(sum(lengths)), np.zeros(len(lengths))
    for example in range(1000):
        found = masked(ids, (3, 0, example), words=words)
        counts[list({words[place] for place in found.positions.tolist()})] += 1
    assert (counts > 20).all()
