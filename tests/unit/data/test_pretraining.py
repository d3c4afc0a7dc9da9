"""Examples for pretraining: their structure, their statistics, and that each is a function of (seed, epoch, index)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import corpora
import numpy as np
import pytest

from bertkit.data.batches import Row, pack
from bertkit.data.pretraining import FullSentences, Masking, SentencePairs
from bertkit.data.pretraining.pairs import truncate_pair
from bertkit.data.shards import Shards
from bertkit.data.shards.split import split
from bertkit.errors import UsageError

MASK, SEP = 4, 3
ORIGINAL = Masking(share=0.0001, mask_replace_prob=0, random_replace_prob=0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return corpora.shards(tmp_path_factory.mktemp("corpus"), corpora.documents(200), shard_tokens=9_000)


def original(row: Row) -> np.ndarray:
    """The tokens of a row before masking."""
    ids = row.input_ids.copy()
    ids[row.positions] = row.targets["labels"].values
    return ids


def texts(row: Row) -> list[list[int]]:
    """The texts of a row, without [CLS] and [SEP]."""
    ids = original(row)
    ends = np.flatnonzero(ids == SEP)
    return [part.tolist() for part in np.split(ids, ends + 1)[:-1]]


def same(a: Row, b: Row) -> bool:
    return (
        np.array_equal(a.input_ids, b.input_ids)
        and np.array_equal(a.token_type_ids, b.token_type_ids)
        and np.array_equal(a.positions, b.positions)
        and all(np.array_equal(a.targets[name].values, b.targets[name].values) for name in a.targets)
    )


def contains(document: list[int], text: list[int]) -> bool:
    return f" {' '.join(map(str, text))} " in f" {' '.join(map(str, document))} "


@pytest.fixture(scope="module")
def whole(shards: Shards) -> list[list[int]]:
    """The tokens of each document."""
    return [np.concatenate(shards[number]).tolist() for number in range(len(shards))]


def test_pairs_have_the_form_of_the_paper(shards: Shards, whole: list[list[int]]) -> None:
    epoch = SentencePairs(shards, max_length=64, seed=1).epoch(0)
    for row in [epoch[index] for index in range(300)]:
        a, b = (text[:-1] for text in texts(row))
        assert a[0] == 2 and len(row) <= 64
        a = a[1:]
        assert row.token_type_ids.tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1)
        assert a and b
        owners = [number for number, document in enumerate(whole) if contains(document, a)]
        assert owners
        if row.targets["next_sentence_label"].values == 0:
            assert any(contains(whole[owner], a + b) for owner in owners) or len(row) == 64
        elif len(a) > 8 and len(b) > 8:
            assert len(owners) == 1 and not contains(whole[owners[0]], b)


def test_half_of_the_pairs_are_next_and_a_tenth_is_short(shards: Shards) -> None:
    rows = [row for number in range(3) for row in SentencePairs(shards, max_length=64, seed=2).epoch(number)]
    following = np.array([row.targets["next_sentence_label"].values for row in rows])
    assert abs(following.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(rows))
    plain = SentencePairs(shards, max_length=64, seed=2, short_seq_prob=0)
    always = SentencePairs(shards, max_length=64, seed=2, short_seq_prob=1)
    lengths = [
        np.mean([len(row) for row in pairs.epoch(0)]) for pairs in (always, replace(plain, short_seq_prob=0.1), plain)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


def test_targets_are_short_in_a_tenth_of_the_examples(shards: Shards) -> None:
    from bertkit.data.pretraining.plan import plan_pairs

    file = shards.files[0]
    plans = [plan_pairs(file, np.random.default_rng(seed), 61, 0.1) for seed in range(20)]
    targets = np.concatenate([plan.targets for plan in plans])
    assert abs((targets < 61).mean() - 0.1 * 59 / 60) < 4 * 0.3 / np.sqrt(len(targets))
    assert targets.min() >= 2 and targets.max() == 61
    for plan in plans:  # each sentence is in an example of its document
        covered = np.zeros(file.entry.sentences, bool)
        for start, cut, end, is_next in zip(plan.starts, plan.cuts, plan.ends, plan.is_next, strict=True):
            covered[start : end if is_next else cut] = True
        assert covered.all()
        assert (plan.starts < plan.cuts).all() and (plan.cuts[plan.is_next] < plan.ends[plan.is_next]).all()


def test_truncation_has_the_distribution_of_the_loop_in_the_paper() -> None:
    def loop(a: int, b: int, most: int, rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]]:
        spans = [[0, a], [0, b]]
        while sum(end - start for start, end in spans) > most:
            longer = spans[0] if spans[0][1] - spans[0][0] > spans[1][1] - spans[1][0] else spans[1]
            if rng.random() < 0.5:
                longer[0] += 1
            else:
                longer[1] -= 1
        return (spans[0][0], spans[0][1]), (spans[1][0], spans[1][1])

    rng = np.random.default_rng(0)
    for a in range(1, 14):
        for b in range(1, 14):
            for most in (2, 5, 8, 13):
                ours, theirs = truncate_pair((0, a), (0, b), most, rng), loop(a, b, most, rng)
                assert [end - start for start, end in ours] == [end - start for start, end in theirs]

    def ours_of(a: int, b: int, most: int, rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]]:
        return truncate_pair((0, a), (0, b), most, rng)

    fronts = [Counter(function(12, 4, 8, rng)[0][0] for _ in range(4000)) for function in (loop, ours_of)]
    for front in range(9):
        assert abs(fronts[0][front] - fronts[1][front]) < 160


@pytest.mark.parametrize("unit", ["words", "tokens", "spans"])
def test_masks(shards: Shards, unit: str) -> None:
    pairs = SentencePairs(shards, max_length=128, seed=3, masking=Masking(unit))  # type: ignore[arg-type]
    rows = [row for number in range(3) for row in pairs.epoch(number)]
    tokens = sum(len(row) - 3 for row in rows)
    chosen = sum(len(row.positions) for row in rows)
    assert abs(chosen / tokens - 0.15) < 0.01
    states = Counter()
    for row in rows:
        now, before = row.input_ids[row.positions], row.targets["labels"].values
        assert not np.isin(before, [2, 3, 4]).any() and not np.isin(now, [2, 3]).any()
        states.update(np.where(now == MASK, "mask", np.where(now == before, "kept", "other")).tolist())
    draws = chosen / 4 if unit == "spans" else chosen  # one draw for a span of several tokens
    for name, share in {"mask": 0.8, "kept": 0.1, "other": 0.1}.items():
        assert abs(states[name] / chosen - share) < 4 * np.sqrt(share * (1 - share) / draws), (name, states)


def test_words_are_masked_as_a_whole(shards: Shards) -> None:
    tokenizer = corpora.tokenizer()
    y, z = tokenizer.vocab["##y"], tokenizer.vocab["##z"]
    split = 0
    for unit in ("words", "spans", "tokens"):
        rows = SentencePairs(shards, seed=4, max_length=512, masking=Masking(unit)).epoch(0)  # type: ignore[arg-type]
        for row in (rows[index] for index in range(60)):
            ids, chosen = original(row), np.zeros(len(row), bool)
            chosen[row.positions] = True
            inside = np.flatnonzero((ids == y) | (ids == z))
            inside = inside[~np.isin(ids[inside - 1], [2, 3])]  # a truncated text may start within a word
            broken = int((chosen[inside] != chosen[inside - 1]).sum())
            assert unit == "tokens" or not broken
            split += broken
    assert split > 20


def test_spans_are_longer_than_words(shards: Shards) -> None:
    def mean_run(unit: str) -> float:
        rows = SentencePairs(shards, seed=5, max_length=512, masking=Masking(unit)).epoch(0)  # type: ignore[arg-type]
        runs = [1 + int((np.diff(rows[i].positions) != 1).sum()) for i in range(60)]
        return sum(len(rows[i].positions) for i in range(60)) / sum(runs)

    assert mean_run("spans") > 2.5 > 1.8 > mean_run("tokens")


def test_an_example_is_a_function_of_seed_epoch_and_index(shards: Shards) -> None:
    for examples in (SentencePairs(shards, seed=6), FullSentences(shards, seed=6)):
        first, again = examples.epoch(3), replace(examples, shards=Shards(shards.folder)).epoch(3)
        assert len(first) == len(again) > 50
        for index in (len(first) - 1, 7, 0, 7):
            assert same(first[index], again[index])
        assert not any(same(first[index], examples.epoch(4)[index]) for index in range(20))
        assert not any(same(first[index], replace(examples, seed=7).epoch(3)[index]) for index in range(20))
        assert same(first[-1], first[len(first) - 1])
        with pytest.raises(IndexError):
            first[len(first)]


def test_threads_make_the_same_examples(shards: Shards) -> None:
    epoch = SentencePairs(shards, max_length=64, seed=9).epoch(0)
    alone = [epoch[index] for index in range(200)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(epoch.__getitem__, range(200)))
    assert all(map(same, alone, together))


def test_full_sentences_cover_the_corpus_once(shards: Shards, whole: list[list[int]]) -> None:
    examples = FullSentences(shards, max_length=80, seed=8, masking=ORIGINAL)
    epoch = examples.epoch(0)
    rows = list(epoch)
    assert max(map(len, rows)) <= 80
    assert np.mean([len(row) for row in rows]) > 66
    counts = Counter(token for row in rows for token in original(row).tolist() if token not in (2, 3))
    assert counts == Counter(token for document in whole for token in document)
    order = np.argsort(epoch._order)
    joined = [token for index in order for token in original(epoch[int(index)]).tolist() if token not in (2, 3)]
    assert joined == [token for document in whole for token in document]
    starts = {tuple(sentence.tolist()) for number in range(len(shards)) for sentence in shards[number]}
    ends = {tuple(document[-1:]) for document in whole}
    for row in rows:
        assert not row.token_type_ids.any() and "next_sentence_label" not in row.targets
        assert any(tuple(texts(row)[0][1 : 1 + size]) in starts for size in range(3, 40))
        assert tuple(texts(row)[-1][-2:-1]) in ends  # each sentence ends with a dot
    assert any(len(texts(row)) > 1 for row in rows)


def test_a_sentence_longer_than_an_example_is_cut(tmp_path: Path) -> None:
    shards = corpora.shards(tmp_path, [[" ".join(corpora.WORDS)], ["wak wal", "wam"]])
    rows = FullSentences(shards, max_length=16, masking=ORIGINAL).epoch(0)
    assert sum(len([token for token in original(row) if token not in (2, 3)]) for row in rows) == 103
    assert max(map(len, rows)) <= 16
    assert all(5 < len(row) <= 16 for row in SentencePairs(shards, max_length=16).epoch(0) if len(row) > 8)


def test_documents_of_one_sentence_get_a_random_second(tmp_path: Path) -> None:
    shards = corpora.shards(tmp_path, [["wak wal"], ["wam wan"], ["wao"]])
    rows = list(SentencePairs(shards).epoch(0))
    assert len(rows) == 3 and all(row.targets["next_sentence_label"].values == 1 for row in rows)
    assert all(texts(row)[0][1:-1] != texts(row)[1][:-1] for row in rows)


def test_rows_pack(shards: Shards) -> None:
    epoch = SentencePairs(shards, max_length=32).epoch(0)
    batch = pack([epoch[index] for index in range(8)])
    labels = batch.labels("ForPreTraining")
    assert labels["next_sentence_label"].shape == (8,)
    assert (labels["labels"] != -100).sum() == len(batch.positions)


def test_invalid_arguments(shards: Shards, tmp_path: Path) -> None:
    for wrong in ({"max_length": 4}, {"seed": -1}, {"short_seq_prob": 2.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            SentencePairs(shards, **wrong)  # type: ignore[arg-type]
    for options in ({"unit": "letters"}, {"share": 2}, {"max_predictions": 0}, {"mask_replace_prob": 0.95}):
        with pytest.raises(UsageError, match=next(iter(options))):
            Masking(**options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one document"):
        SentencePairs(corpora.shards(tmp_path, [["wak wal", "wam"]]))


def test_documents_are_held_out(shards: Shards) -> None:
    """Each document is in one of the two parts, and the held-out ones are from all places of the shards."""
    kept, held = split(shards, 0.1)

    def documents(own: Shards) -> list[list[list[int]]]:
        return [[sentence.tolist() for sentence in own[number]] for number in range(len(own))]

    every, ours, theirs = documents(shards), documents(kept), documents(held)
    assert sorted(ours + theirs) == sorted(every)
    assert len(theirs) == pytest.approx(20, abs=len(shards.files))
    gaps = np.diff([every.index(document) for document in theirs])
    assert (gaps > 0).all() and gaps.max() < 40
    assert kept.tokens + held.tokens == shards.tokens and kept.sentences + held.sentences == shards.sentences
    held.verify()


def test_examples_of_held_out_documents(shards: Shards) -> None:
    """Both texts of a pair are from the part, also the random ones."""
    kept, held = split(shards, 0.1)
    for own in (kept, held):
        documents = [np.concatenate(own[number]).tolist() for number in range(len(own))]
        pairs = SentencePairs(own, max_length=48, masking=ORIGINAL).epoch(0)
        for number in range(min(len(pairs), 60)):
            a, b = texts(pairs[number])
            assert all(any(contains(document, text) for document in documents) for text in (a[1:-1], b[:-1]))
        sequences = FullSentences(own, max_length=48).epoch(0)
        assert sum(len(sequences[number]) for number in range(len(sequences))) >= own.tokens


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_too_few_documents(share: float, shards: Shards) -> None:
    with pytest.raises(UsageError, match=r"leaves fewer than 2 for training or for evaluation: type another share"):
        split(shards, share)


def test_a_share_of_small_shards_is_held_out(tmp_path: Path) -> None:
    """A share that is rounded for each shard on its own would hold out no document."""
    corpus = [[f"{word} ." for word in corpora.WORDS] * 3] * 40
    shards = corpora.shards(tmp_path, corpus, shard_tokens=1_000)
    assert 8 < len(shards.files) <= 20
    kept, held = split(shards, 0.1)
    assert (len(kept), len(held)) == (36, 4)
    for share in (0.3, 0.5, 0.77):
        kept, held = split(shards, share)
        assert len(kept) + len(held) == 40 and len(held) == round(40 * share)
