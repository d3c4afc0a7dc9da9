"""Rows of ids -> packed batches: real tokens one after the other, rows of like length together, never more than a budget.

    rows       [CLS] a b [SEP]    [CLS] c [SEP]
    batch      input_ids  [CLS] a b [SEP] [CLS] c [SEP]      lengths  4 3

Shapes: T tokens of a batch, N rows, t tokens of a row, M places where logits are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Array = NDArray[Any]
Grain = Literal["row", "token", "place"]
"""What an output has one entry for: a row, a token, or a place where logits are wanted."""

BUDGET = 4096
"""Tokens of a batch: enough to keep a processor busy, and it bounds the memory of a forward."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Row:
    """One sequence for the model."""

    input_ids: Ints  # [t]
    token_type_ids: Ints  # [t]
    positions: Ints | None = None  # [m], where logits are wanted; None: everywhere
    labels: Array | None = None  # [t] or [m] or of the row, as the task says

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class Batch:
    """Several sequences, packed."""

    input_ids: Ints  # [T]
    token_type_ids: Ints  # [T]
    lengths: Ints  # [N]
    labels: Array | None = None
    positions: Ints | None = None  # [M], into the T tokens
    places: Ints | None = None  # [N], how many of the M belong to each row

    @property
    def starts(self) -> Ints:
        """Where each row begins [N]."""
        return np.cumsum(self.lengths) - self.lengths


def pack(rows: Sequence[Row]) -> Batch:
    """Rows -> one batch. Labels and positions are packed where the rows have them.

    >>> rows = [Row(np.array(ids), np.zeros_like(ids), np.array([1])) for ids in ([2, 7, 3], [2, 3])]
    >>> batch = pack(rows)
    >>> batch.input_ids, batch.lengths, batch.positions
    (array([2, 7, 3, 2, 3]), array([3, 2]), array([1, 4]))
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    starts = np.cumsum(lengths) - lengths
    positions = places = labels = None
    if rows and rows[0].positions is not None:
        own = [np.asarray(row.positions) for row in rows]
        places = np.array([len(some) for some in own], np.int64)
        positions = np.concatenate([some + start for some, start in zip(own, starts, strict=True)]).astype(np.int64)
    if rows and rows[0].labels is not None:
        own = [np.asarray(row.labels) for row in rows]
        labels = np.stack(own) if own[0].ndim == 0 else np.concatenate(own)
    return Batch(
        _joined([row.input_ids for row in rows]),
        _joined([row.token_type_ids for row in rows]),
        lengths,
        labels,
        positions,
        places,
    )


def _joined(columns: Sequence[Ints]) -> Ints:
    return np.concatenate(columns).astype(np.int64, copy=False) if columns else np.zeros(0, np.int64)


def by_length(lengths: Sequence[int], budget: int = BUDGET, most: int | None = None) -> list[list[int]]:
    """The numbers of rows in batches of at most `budget` tokens, the longest rows first, so that want of memory shows early.

    A row that is longer than the budget is a batch of its own. `most` bounds the rows of a batch too.

    >>> by_length([3, 8, 2, 9], budget=10)
    [[3], [1], [0, 2]]
    """
    batches: list[list[int]] = []
    used = budget + 1
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        used += lengths[number]
        if used > budget or len(batches[-1]) == most:
            batches.append([])
            used = lengths[number]
        batches[-1].append(number)
    return batches


def split(outputs: Mapping[str, Array], wanted: Mapping[str, Grain], batch: Batch) -> list[dict[str, Array]]:
    """What a forward put out, cut by the rows of the batch."""
    counts = {"token": batch.lengths, "place": batch.lengths if batch.places is None else batch.places}
    rows: list[dict[str, Array]] = [{} for _ in batch.lengths]
    for name, grain in wanted.items():
        output = outputs[name]
        parts = output if grain == "row" else np.split(output, np.cumsum(counts[grain])[:-1])
        for row, part in zip(rows, parts, strict=True):
            row[name] = part
    return rows


def look_ahead(
    items: Iterable[Item], most: int, first: int = 1, size: Callable[[Item], int] | None = None, room: int = 0
) -> Iterator[list[Item]]:
    """Neighbouring items in lists, the first of `first`, each later one up to twice as long, up to `most`.

    The first answer to an endless stream so comes at once, and the memory it takes has a bound. With `size`, a list ends too
    where its items together have reached the size `room`.

    >>> [len(some) for some in look_ahead(range(20), most=8)]
    [1, 2, 4, 8, 5]
    >>> list(look_ahead(["ab", "c", "def", "g"], most=8, first=8, size=len, room=3))
    [['ab', 'c'], ['def'], ['g']]
    """
    some: list[Item] = []
    wanted, filled = min(first, most), 0
    for item in items:
        some.append(item)
        filled += size(item) if size else 0
        if len(some) == wanted or (size and filled >= room):
            yield some
            some, wanted, filled = [], min(2 * wanted, most), 0
    if some:
        yield some


def characters(example: Any) -> int:
    """How many characters the texts of an example have.

    >>> characters({"text": "abc", "choices": ["de", "f"]})
    6
    """
    if isinstance(example, str):
        return len(example)
    parts = example.values() if isinstance(example, Mapping) else example if isinstance(example, (list, tuple)) else ()
    return sum(map(characters, parts))
