"""The order of training: which examples are in each step, and which of their rows are computed together.

Everything is a pure function of the seed, the epoch and the examples, so that a resumed run sees the same batches.

    unit     the rows of one example that stay together: the choices of a question, the windows of a text; often one row
    step     the units of one step of the optimizer
    batch    the units of a step that are computed at once, at most `batch_tokens` tokens
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bertkit.data.batches import Batch, Group, Limits, Row, by_length, pack

Unit = list[Row]
_MIXED = 50
"""Batches that are shuffled together before they are sorted by length."""


def units_of(rows: Sequence[Sequence[Row]], head: str) -> list[Unit]:
    """Return the units of examples. The windows of a question or of a tagged text are units of their own.

    >>> row = Row(np.array([2, 3]), np.zeros(2, int), group=Group(2))
    >>> len(units_of([[row, row]], "ForTokenClassification")), len(units_of([[row, row]], "ForSequenceClassification"))
    (2, 1)
    """
    whole = head in ("ForMultipleChoice", "ForSequenceClassification", "Model")
    units: list[Unit] = []
    for own in rows:
        units += [list(own)] if whole else [[replace(row, group=None)] for row in own]
    return units


def with_windows(unit: Unit, most: int, key: Sequence[int]) -> Unit:
    """Return a unit with at most `most` of its windows, drawn at random for (seed, epoch, example)."""
    if len(unit) <= most:
        return unit
    chosen = np.sort(np.random.default_rng(key).choice(len(unit), most, replace=False))
    group = Group(most)
    return [replace(unit[index], group=group) for index in chosen]


def steps_of(
    sizes: Sequence[int], batch_size: int, seed: int, epoch: int, group_by_length: bool = True
) -> list[list[int]]:
    """Return the numbers of the units of each step of an epoch, in random order.

    With `group_by_length`, units of similar size are in one step: 50 batches at a time are sorted by size and cut into steps,
    which are shuffled. The last step may be smaller.

    >>> steps_of([5, 9, 5, 9], 2, seed=0, epoch=0)
    [[2, 0], [1, 3]]
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(sizes)).tolist()
    if group_by_length:
        span = batch_size * _MIXED
        chunks = [order[at : at + span] for at in range(0, len(order), span)]
        order = [number for chunk in chunks for number in sorted(chunk, key=lambda number: -sizes[number])]
    steps = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    if group_by_length:
        steps = [steps[at] for at in rng.permutation(len(steps))]
    return steps


def batches_of(units: Sequence[Unit], batch_tokens: int, choices: bool = False) -> list[Batch]:
    """Pack the units of a step to batches of at most `batch_tokens` tokens, longest first.

    With `choices`, all groups of a batch have the same number of rows, as multiple choice needs.
    """
    kinds: dict[int, list[Row]] = {}
    for unit in units:
        kinds.setdefault(len(unit) if choices else 0, []).extend(unit)
    limits = Limits(tokens=batch_tokens)
    return [pack([rows[n] for n in numbers]) for rows in kinds.values() for numbers in by_length(rows, limits)]
