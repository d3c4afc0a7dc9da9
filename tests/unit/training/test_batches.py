"""The order of training."""

from __future__ import annotations

import numpy as np
import training_cases
from hypothesis import given
from hypothesis import strategies as st

from bertkit.data.batches import Group, Row
from bertkit.training.batches import batches_of, steps_of, units_of, with_windows

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@given(sizes, st.integers(1, 9), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_each_unit_is_in_one_step_of_an_epoch(
    own: list[int], batch_size: int, seed: int, epoch: int, group_by_length: bool
) -> None:
    steps = steps_of(own, batch_size, seed, epoch, group_by_length)
    assert sorted(number for step in steps for number in step) == list(range(len(own)))
    assert len(steps) == -(-len(own) // batch_size)
    assert all(len(step) <= batch_size for step in steps)
    assert steps == steps_of(own, batch_size, seed, epoch, group_by_length)


def test_epochs_and_seeds_have_other_orders() -> None:
    own = list(range(1, 101))
    orders = [steps_of(own, 8, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(a != b for number, a in enumerate(orders) for b in orders[:number])


def test_steps_have_units_of_similar_length() -> None:
    own = np.random.default_rng(0).integers(1, 200, 3000).tolist()
    spread = [max(own[n] for n in step) - min(own[n] for n in step) for step in steps_of(own, 32, 0, 0)]
    mixed = [max(own[n] for n in step) - min(own[n] for n in step) for step in steps_of(own, 32, 0, 0, False)]
    assert np.mean(spread) < 10 < 150 < np.mean(mixed)


def test_batches_have_all_rows_within_the_limit() -> None:
    units = training_cases.units(30)
    batches = batches_of(units, 40)
    assert all(len(batch.input_ids) <= 40 for batch in batches)
    assert sum(len(batch.lengths) for batch in batches) == 30


def test_choices_of_a_batch_have_the_same_number() -> None:
    def unit(choices: int) -> list[Row]:
        group = Group(choices)
        return [Row(np.array([2, 7, 3]), np.zeros(3, int), group=group) for _ in range(choices)]

    units = units_of([unit(2), unit(4), unit(2)], "ForMultipleChoice")
    assert [batch.groups.tolist() for batch in batches_of(units, 4096, choices=True)] == [[2, 2], [4]]


def test_windows_are_drawn_for_an_epoch() -> None:
    (unit,) = training_cases.units(1, windows=9)
    chosen = with_windows(unit, 4, (0, 1, 2))
    assert len(chosen) == 4
    assert {row.group.rows for row in chosen if row.group} == {4}
    same = with_windows(unit, 4, (0, 1, 2))
    assert [row.input_ids.tolist() for row in chosen] == [row.input_ids.tolist() for row in same]
    drawn = {tuple(row.input_ids[2] for row in with_windows(unit, 4, (0, epoch, 2))) for epoch in range(8)}
    assert len(drawn) > 1
    assert with_windows(unit, 9, (0, 0, 0)) is unit
