"""Pack rows of ids to batches without padding, with rows of similar length together, within an engine's limits.

    rows       [CLS] a b [SEP]    [CLS] c [SEP]
    batch      input_ids  [CLS] a b [SEP] [CLS] c [SEP]      lengths  4 3

Shapes: T tokens of a batch, N rows, G groups of rows, t tokens of a row, M positions where words are predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.heads import HEADS, IGNORED, Grain
from bertkit.tensors import Array

Ints = NDArray[np.int64]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Target:
    """A label: one value for a row or a group, or an array with a value for each token or position."""

    values: Any
    grain: Grain


@dataclass(frozen=True, eq=False)
class Group:
    """Rows that belong together, such as the choices of one question. All rows of a group share one object of this class."""

    rows: int  # number of rows


@dataclass(frozen=True)
class Row:
    """One sequence for the model."""

    input_ids: Ints  # [t]
    token_type_ids: Ints  # [t]
    positions: Ints | None = None  # [m], where words are predicted; None: at all tokens
    targets: Mapping[str, Target] = field(default_factory=dict)  # by the name of the model's label argument
    group: Group | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class Batch:
    """Several packed sequences."""

    input_ids: Ints  # [T]
    token_type_ids: Ints  # [T]
    lengths: Ints  # [N]
    positions: Ints | None = None  # [M], indices into the T tokens
    places: Ints | None = None  # [N], number of positions of each row
    targets: Mapping[str, Target] = field(default_factory=dict)  # values [N, ...], [T, ...], [M, ...] or [G, ...]
    groups: Ints | None = None  # [G], number of rows of each group; None: no groups

    @property
    def starts(self) -> Ints:
        """The index of the first token of each row [N]."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def names_words(self) -> bool:
        """Whether the targets have the true words at the positions."""
        return self.positions is not None and "labels" in self.targets

    def labels(self, head: str) -> dict[str, Array]:
        """Return the label arguments for the forward of a class: [T], [N, ...] or [G].

        Targets at positions become labels of all tokens, with -100 elsewhere.

        >>> row = Row(np.array([2, 4, 3]), np.zeros(3, int), np.array([1]), {"labels": Target(np.array([7]), "place")})
        >>> pack([row]).labels("ForMaskedLM")["labels"]
        array([-100,    7, -100])
        """
        found = {}
        for name in HEADS[head].labels:
            if name in self.targets:
                target = self.targets[name]
                found[name] = self._of_tokens(target.values) if target.grain == "place" else target.values
        return found

    def _of_tokens(self, values: Array) -> Array:
        """Convert labels at positions [M] to labels of all tokens [T]."""
        assert self.positions is not None
        labels = np.full(len(self.input_ids), IGNORED, np.int64)
        labels[self.positions] = values
        return labels


def pack(rows: Sequence[Row]) -> Batch:
    """Pack rows to one batch, with their positions, targets and groups if the rows have them.

    >>> rows = [Row(np.array(ids), np.zeros_like(ids), np.array([1])) for ids in ([2, 7, 3], [2, 3])]
    >>> batch = pack(rows)
    >>> batch.input_ids, batch.lengths, batch.positions
    (array([2, 7, 3, 2, 3]), array([3, 2]), array([1, 4]))
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    positions = places = None
    if rows and rows[0].positions is not None:
        own = [np.asarray(row.positions) for row in rows]
        places = np.array([len(some) for some in own], np.int64)
        starts = np.cumsum(lengths) - lengths
        positions = np.concatenate([some + start for some, start in zip(own, starts, strict=True)]).astype(np.int64)
    grouped = rows and rows[0].group is not None
    return Batch(
        _joined([row.input_ids for row in rows]),
        _joined([row.token_type_ids for row in rows]),
        lengths,
        positions,
        places,
        {name: _stacked(name, rows) for name in (rows[0].targets if rows else ())},
        np.array([group.rows for group in _groups(rows) if group], np.int64) if grouped else None,
    )


def _joined(columns: Sequence[Ints]) -> Ints:
    return np.concatenate(columns).astype(np.int64, copy=False) if columns else np.zeros(0, np.int64)


def _stacked(name: str, rows: Sequence[Row]) -> Target:
    """Combine the targets of rows: stack targets of rows and groups, concatenate targets of tokens and positions."""
    grain = rows[0].targets[name].grain
    if grain == "group":
        rows = [
            row
            for before, row in zip([None, *rows], rows, strict=False)
            if before is None or before.group is not row.group
        ]
    own = [np.asarray(row.targets[name].values) for row in rows]
    return Target(np.stack(own) if grain in ("row", "group") else np.concatenate(own), grain)


def _groups(rows: Sequence[Row]) -> list[Group | None]:
    """Return the groups of rows in their order. Raise UsageError if a group is incomplete."""
    found: list[Group | None] = []
    counts: list[int] = []
    for row in rows:
        if row.group is None or not found or found[-1] is not row.group:
            found.append(row.group)
            counts.append(0)
        counts[-1] += 1
    for group, count in zip(found, counts, strict=True):
        if group is not None and group.rows != count:
            raise UsageError(
                f"A batch has only {count} neighbouring rows of a group of {group.rows}: keep all rows of a group together."
            )
    return found


_PADDING, _SMALL = 0.04, 128
"""The most padding of a rectangle, as a share of its cells, unless it has few cells: a few texts then take one run of the model,
whose time is that of reading its weights. Batches of 512 short texts still have hundreds of tokens."""


@dataclass(frozen=True)
class Limits:
    """The maximum size of an engine's batches.

    >>> Limits(tokens=12).fit(rows=2, tokens=10, longest=7), Limits(tokens=12, rectangle=True).fit(2, 10, 7)
    (True, False)
    >>> Limits(rectangle=True).fit(rows=2, tokens=390, longest=200), Limits(rectangle=True).fit(2, 300, 200)
    (True, False)
    """

    tokens: int = 4096  # of a batch: enough for full speed, with bounded memory
    rows: int | None = None
    rectangle: bool = False  # rows are padded to the longest row, and padding counts as tokens
    buckets: Sequence[int] = ()  # lengths to pad rows to, for compilers that need few shapes

    def cells(self, rows: int, tokens: int, longest: int) -> int:
        """Return how many tokens an engine computes for a batch, with padding.

        >>> Limits().cells(2, 10, 7), Limits(rectangle=True).cells(2, 10, 7), Limits(buckets=(8,)).cells(2, 10, 7)
        (10, 14, 16)
        """
        if not self.rectangle and not self.buckets:
            return tokens
        return rows * min((bucket for bucket in self.buckets if bucket >= longest), default=longest)

    def fit(self, rows: int, tokens: int, longest: int) -> bool:
        """Return whether this number of rows, with this total of tokens, fits into one batch."""
        cells = self.cells(rows, tokens, longest)
        dense = bool(self.buckets) or cells <= _SMALL or tokens >= (1 - _PADDING) * cells
        return dense and cells <= self.tokens and (self.rows is None or rows <= self.rows)


def by_length(rows: Sequence[Row], limits: Limits = Limits()) -> list[list[int]]:
    """Group the indices of rows to batches within the limits, the longest rows first, so that a lack of memory shows early.

    Rows of a group stay together. A row or a group that is larger than the limits is a separate batch.

    >>> rows = [Row(np.zeros(length, int), np.zeros(length, int)) for length in (3, 8, 2, 9)]
    >>> by_length(rows, Limits(tokens=10))
    [[3], [1], [0, 2]]
    """
    units: list[list[int]] = []
    for number, row in enumerate(rows):
        if units and row.group is not None and rows[units[-1][0]].group is row.group:
            units[-1].append(number)
        else:
            units.append([number])
    sizes = [[len(rows[number]) for number in unit] for unit in units]
    batches: list[list[int]] = []
    count = total = longest = 0
    for index in sorted(range(len(units)), key=lambda index: -max(sizes[index])):
        count, total = count + len(units[index]), total + sum(sizes[index])
        if not batches or not limits.fit(count, total, longest):
            batches.append([])
            count, total, longest = len(units[index]), sum(sizes[index]), max(sizes[index])
        batches[-1] += units[index]
    return batches


def split(outputs: Mapping[str, Array], grains: Mapping[str, Grain], batch: Batch) -> list[dict[str, Array]]:
    """Split the outputs of a forward by the rows of the batch."""
    counts = {"token": batch.lengths, "place": batch.lengths if batch.places is None else batch.places}
    rows: list[dict[str, Array]] = [{} for _ in batch.lengths]
    for name, grain in grains.items():
        output = outputs[name]
        parts = output if grain == "row" else np.split(output, np.cumsum(counts[grain])[:-1])
        for row, part in zip(rows, parts, strict=True):
            row[name] = part
    return rows


def look_ahead(
    items: Iterable[Item], most: int, first: int = 1, size: Callable[[Item], int] | None = None, room: int = 0
) -> Iterator[list[Item]]:
    """Yield lists of neighbouring items. The first list has `first` items, and each later list twice as many, up to `most`.

    This way an endless stream gets its first answers early, with bounded memory. With `size`, a list also ends as soon as the
    sizes of its items add up to `room`.

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
    """Return the number of characters in all texts of an example.

    >>> characters({"text": "abc", "choices": ["de", "f"]})
    6
    """
    if isinstance(example, str):
        return len(example)
    parts = example.values() if isinstance(example, Mapping) else example if isinstance(example, (list, tuple)) else ()
    return sum(map(characters, parts))
