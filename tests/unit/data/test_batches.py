"""Packing, batching and looking ahead."""

from __future__ import annotations

from itertools import count, islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertkit.data.batches import Row, by_length, look_ahead, pack, split


def row(length: int, positions: list[int] | None = None) -> Row:
    ids = np.arange(length)
    return Row(ids, ids % 2, None if positions is None else np.array(positions, np.int64))


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(10, 100), st.sampled_from([None, 1, 3]))
def test_every_row_is_in_one_batch_within_the_budget(lengths: list[int], budget: int, most: int | None) -> None:
    batches = by_length(lengths, budget, most)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[number] for number in batch) <= budget
        assert most is None or len(batch) <= most
    flat = [lengths[number] for batch in batches for number in batch]
    assert flat == sorted(flat, reverse=True)


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


def test_labels_of_rows_and_of_tokens() -> None:
    of_rows = pack([Row(np.arange(2), np.zeros(2, int), labels=np.array(label)) for label in (1, 0)])
    assert of_rows.labels is not None and of_rows.labels.tolist() == [1, 0]
    of_tokens = pack([Row(np.arange(2), np.zeros(2, int), labels=np.array([label, -100])) for label in (1, 0)])
    assert of_tokens.labels is not None and of_tokens.labels.tolist() == [1, -100, 0, -100]


def test_an_endless_stream_is_read_as_little_as_needed() -> None:
    numbers = count()
    chunks = look_ahead(numbers, most=8)
    assert next(chunks) == [0]
    assert list(islice(chunks, 4)) == [[1, 2], [3, 4, 5, 6], list(range(7, 15)), list(range(15, 23))]
    assert next(numbers) == 23
