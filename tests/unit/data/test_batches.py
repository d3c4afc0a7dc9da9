"""Packing rows, batches by length, and look-ahead in streams."""

from __future__ import annotations

import os
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.data.batches import Group, Limits, Row, Target, by_length, characters, look_ahead, pack, split
from bertkit.errors import UsageError
from bertkit.pipelines.run import _CHARACTERS, LOOK_AHEAD
from bertkit.text.tokenizer import BertTokenizerFast


def row(length: int, positions: list[int] | None = None, group: Group | None = None, **targets: Target) -> Row:
    ids = np.arange(length)
    return Row(ids, ids % 2, None if positions is None else np.array(positions, np.int64), targets, group)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(10, 100), st.sampled_from([None, 1, 3]))
def test_every_row_is_in_one_batch_within_the_budget(lengths: list[int], budget: int, most: int | None) -> None:
    batches = by_length([row(length) for length in lengths], Limits(budget, most))
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[number] for number in batch) <= budget
        assert most is None or len(batch) <= most
    flat = [lengths[number] for batch in batches for number in batch]
    assert flat == sorted(flat, reverse=True)


@given(st.lists(st.integers(1, 50), max_size=40), st.sampled_from([(), (16, 32, 64)]))
def test_padding_counts_as_tokens(lengths: list[int], buckets: tuple[int, ...]) -> None:
    batches = by_length([row(length) for length in lengths], Limits(100, rectangle=True, buckets=buckets))
    for batch in batches:
        longest = max(lengths[number] for number in batch)
        padded = next((bucket for bucket in buckets if bucket >= longest), longest)
        assert len(batch) == 1 or padded * len(batch) <= 100


DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[4] / "shared" / "data"))
REAL = {"reviews": ("glue/SST-2/train.tsv", 0), "captions": ("sick/train.tsv", 1), "questions": ("trec/train.txt", 0)}


@pytest.mark.parametrize("name", [*REAL, "mixed"])
@pytest.mark.parametrize("tokens", [1024, 4096])
def test_little_padding_of_real_texts(name: str, tokens: int) -> None:
    """Texts in the order of their file, batched as the loop of pipelines does it."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} does not exist: set BERTKIT_DATA to the folder of the data")
    texts = real_texts(name)
    tokenizer = BertTokenizerFast(str(DATA / "vocab/bert-base-uncased.txt"))
    limits, real, cells, batches = Limits(tokens, rectangle=True), 0, 0, 0
    for chunk in look_ahead(texts, LOOK_AHEAD, LOOK_AHEAD, characters, _CHARACTERS):
        sizes = [len(ids) for ids in tokenizer(chunk, truncation=True, max_length=512)["input_ids"]]
        for batch in by_length([row(size) for size in sizes], limits):
            own = [sizes[number] for number in batch]
            cells += limits.cells(len(own), sum(own), max(own))
            real, batches = real + sum(own), batches + 1
    assert cells - real < 0.05 * cells
    assert real / batches > 250  # batches are still large


def real_texts(name: str) -> list[str]:
    names = list(REAL) if name == "mixed" else [name]
    columns = []
    for file, column in (REAL[name] for name in names):
        lines = (DATA / file).read_text("utf-8", errors="replace").splitlines()[1:1025]
        columns.append([line.split("\t")[column] for line in lines])
    return [text for texts in zip(*columns, strict=True) for text in texts]


@given(st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=5), max_size=12), st.booleans())
def test_a_group_is_never_split(groups: list[list[int]], rectangle: bool) -> None:
    owners = [Group(len(lengths)) for lengths in groups]
    rows = [row(length, group=owner) for lengths, owner in zip(groups, owners, strict=True) for length in lengths]
    batches = by_length(rows, Limits(30, rectangle=rectangle))
    assert sorted(number for batch in batches for number in batch) == list(range(len(rows)))
    sizes = [
        pack([rows[number] for number in batch]).groups for batch in batches
    ]  # pack raises for an incomplete group
    assert sorted(np.concatenate([*sizes, []]).tolist()) == sorted(map(len, groups))
    pair = Group(2)
    with pytest.raises(UsageError, match="only 1 neighbouring rows of a group of 2"):
        pack([row(3, group=pair), row(3, group=Group(1)), row(3, group=pair)])


def test_pack_and_split() -> None:
    rows = [row(3, [1]), row(2, []), row(4, [0, 3])]
    batch = pack(rows)
    assert batch.input_ids.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]
    assert batch.starts.tolist() == [0, 3, 5]
    assert batch.positions is not None
    assert batch.positions.tolist() == [1, 5, 8]
    outputs = {"a": np.arange(9), "b": np.arange(3), "c": np.arange(6).reshape(3, 2)}
    parts = split(outputs, {"a": "token", "b": "place", "c": "row"}, batch)
    assert [part["a"].tolist() for part in parts] == [[0, 1, 2], [3, 4], [5, 6, 7, 8]]
    assert [part["b"].tolist() for part in parts] == [[0], [], [1, 2]]
    assert [part["c"].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]


def test_targets_are_packed_by_their_grain() -> None:
    of_rows = pack([row(2, labels=Target(label, "row")) for label in (1, 0)])
    assert of_rows.targets["labels"].values.tolist() == [1, 0]
    several = pack([row(2, labels=Target(np.array(flags, np.float32), "row")) for flags in ([1, 0, 1], [0, 0, 1])])
    assert several.labels("ForSequenceClassification")["labels"].tolist() == [[1, 0, 1], [0, 0, 1]]
    of_tokens = pack([row(2, labels=Target(np.array([label, -100]), "token")) for label in (1, 0)])
    assert of_tokens.labels("ForTokenClassification")["labels"].tolist() == [1, -100, 0, -100]
    spans = pack([row(2, start_positions=Target(1, "row"), end_positions=Target(n, "row")) for n in (1, 0)])
    found = spans.labels("ForQuestionAnswering")
    assert {name: values.tolist() for name, values in found.items()} == {
        "start_positions": [1, 1],
        "end_positions": [1, 0],
    }
    both = {"next_sentence_label": Target(1, "row")}
    joint = pack(
        [row(3, [1], labels=Target(np.array([7]), "place"), **both), row(2, [], labels=Target([], "place"), **both)]
    )
    found = joint.labels("ForPreTraining")
    assert found["labels"].tolist() == [-100, 7, -100, -100, -100] and found["next_sentence_label"].tolist() == [1, 1]


def test_a_target_of_a_group_counts_once() -> None:
    rows = []
    for right, choices in ((1, 3), (0, 3)):
        group = Group(choices)
        rows += [row(2, group=group, labels=Target(right, "group")) for _ in range(choices)]
    batch = pack(rows)
    assert batch.labels("ForMultipleChoice")["labels"].tolist() == [1, 0]
    assert batch.groups is not None and batch.groups.tolist() == [3, 3]


def test_look_ahead_reads_no_more_than_needed() -> None:
    numbers = count()
    chunks = look_ahead(numbers, most=8)
    assert next(chunks) == [0]
    assert list(islice(chunks, 4)) == [[1, 2], [3, 4, 5, 6], list(range(7, 15)), list(range(15, 23))]
    assert next(numbers) == 23
