"""The examples of one epoch, in random order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bertkit.data.batches import Row
from bertkit.errors import Setting, UsageError, received

PLAN, ORDER, DRAWS = 1, 2, 3
"""The last number of the keys of random generators, which differs for each purpose."""


def generator(seed: int, epoch: int, number: int, purpose: int) -> np.random.Generator:
    """Return a random generator that depends only on the arguments."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, number, purpose))))


class Epoch:
    """The examples of one epoch: a sequence of Rows. Each Row is made when it is read.

    Args:
        counts: the number of examples of each shard.
        make: returns an example by its shard, its number in that shard, and its index in the epoch.
        rng: the generator of the order.
    """

    def __init__(self, counts: Sequence[int], make: Callable[[int, int, int], Row], rng: np.random.Generator) -> None:
        self._ends = np.cumsum([0, *counts])
        self._make = make
        self._order = rng.permutation(int(self._ends[-1]))

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Row:
        if not -len(self) <= index < len(self):
            raise IndexError(f"Example {index} of {len(self)}.")
        index %= len(self)
        place = int(self._order[index])
        shard = int(np.searchsorted(self._ends, place, "right")) - 1
        return self._make(shard, place - int(self._ends[shard]), index)

    def __iter__(self) -> Iterator[Row]:
        return (self[index] for index in range(len(self)))


def check_numbers(seed: int, max_length: int, least: int) -> None:
    """Raise UsageError for a negative seed, or a maximum length that has no room for text."""
    if seed < 0:
        raise UsageError(received("seed", seed), " is below 0: type for example ", Setting("seed", 0), ".")
    if max_length < least:
        raise UsageError(
            received("max_length", max_length), f" is below {least}, which special tokens and text need: type for example ",
            Setting("max_length", 128), ".",
        )  # fmt: skip
