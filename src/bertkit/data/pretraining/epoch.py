"""The examples of one epoch, in random order."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bertkit.data.batches import Row
from bertkit.errors import Setting, UsageError, received

PLAN, ORDER, DRAWS = 1, 2, 3
"""The last number of the keys of random generators, which differs for each purpose."""


def generator(seed: int, epoch: int, number: int, purpose: int) -> np.random.Generator:
    """Return a random generator that depends only on the arguments."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, number, purpose))))


class Draws(threading.local):
    """The random generator of each example of an epoch. A generator is valid until the thread gets the next one.

    A thread has one generator, which is moved to the numbers of an example: a new one takes a fifth of the time of an example.
    """

    def __init__(self, seed: int, epoch: int) -> None:
        self._bits = np.random.Philox(np.random.SeedSequence((seed, epoch, DRAWS)))
        self._rng = np.random.Generator(self._bits)
        self._state = self._bits.state

    def of(self, index: int) -> np.random.Generator:
        """Return the generator of an example."""
        self._state["state"]["counter"][2] = index  # an example has 2**128 blocks of numbers of its own
        self._bits.state = self._state
        return self._rng


class Epoch:
    """The examples of one epoch: a sequence of Rows. Each Row is made when it is read.

    Args:
        counts: the number of examples of each shard.
        make: returns an example by its shard, its number in that shard, and its random generator.
        seed: the seed of the order and of the examples.
        number: the number of the epoch.
    """

    def __init__(
        self, counts: Sequence[int], make: Callable[[int, int, np.random.Generator], Row], seed: int, number: int
    ) -> None:
        self._ends = np.cumsum([0, *counts]).tolist()
        self._make = make
        self._order = generator(seed, number, 0, ORDER).permutation(self._ends[-1])
        self._draws = Draws(seed, number)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Row:
        if not -len(self) <= index < len(self):
            raise IndexError(f"Example {index} of {len(self)}.")
        index %= len(self)
        place = int(self._order[index])
        shard = bisect_right(self._ends, place) - 1
        return self._make(shard, place - self._ends[shard], self._draws.of(index))

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
