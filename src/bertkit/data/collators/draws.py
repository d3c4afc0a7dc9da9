"""Random numbers for masking, drawn by the generator of a framework: its seed is the seed of the masks.

The numbers and their order are those that transformers draws, so that a seed gives the same masks.
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.tensors import framework_of

Chances = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Draws(Protocol):
    """What a generator draws."""

    def flags(self, chances: Chances) -> Flags:
        """True with the given chances, each by itself."""

    def ids(self, size: int, where: Flags) -> Ints:
        """Numbers below `size`, one for each True."""


def draws_of(kind: str, seed: int | None) -> Draws:
    """The draws for a kind of tensor; without a seed by the framework's global generator."""
    own = None if seed is None else seed + _worker()
    if kind == "np":
        return OfNumPy(own)
    return OfTorch(own) if kind == "pt" else OfTensorFlow(own)


def _worker() -> int:
    """The number of this process among the workers of a data loader, of which each has a seed of its own."""
    if multiprocessing.current_process().name == "MainProcess":
        return 0
    torch = sys.modules.get("torch")
    worker = torch.utils.data.get_worker_info() if torch else None
    if worker is None:
        raise UsageError(
            "A seed in several processes needs the number of each, which PyTorch's DataLoader gives: use num_workers of a "
            "DataLoader, one process, or no seed."
        )
    return int(worker.id)


class OfNumPy:
    """By NumPy."""

    def __init__(self, seed: int | None) -> None:
        self._generator: Any = np.random if seed is None else np.random.default_rng(seed)
        self._integers = np.random.randint if seed is None else self._generator.integers

    def flags(self, chances: Chances) -> Flags:
        found: Flags = self._generator.binomial(1, chances, size=chances.shape).astype(bool)
        return found

    def ids(self, size: int, where: Flags) -> Ints:
        found: Ints = self._integers(0, size, size=np.count_nonzero(where), dtype=np.int64)
        return found


class OfTorch:
    """By PyTorch."""

    def __init__(self, seed: int | None) -> None:
        self._torch = framework_of("pt")
        self._generator = None if seed is None else self._torch.Generator().manual_seed(seed)

    def flags(self, chances: Chances) -> Flags:
        chances_there = self._torch.from_numpy(chances.astype(np.float32))
        found: Flags = self._torch.bernoulli(chances_there, generator=self._generator).bool().numpy()
        return found

    def ids(self, size: int, where: Flags) -> Ints:
        found: Ints = self._torch.randint(size, where.shape, generator=self._generator).numpy()[where]
        return found


class OfTensorFlow:
    """By TensorFlow."""

    def __init__(self, seed: int | None) -> None:
        random = framework_of("tf").random
        self._uniform = random.uniform if seed is None else random.Generator.from_seed(seed).uniform

    def flags(self, chances: Chances) -> Flags:
        found: Flags = chances.astype(np.float32) - self._uniform(chances.shape, 0, 1).numpy() >= 0
        return found

    def ids(self, size: int, where: Flags) -> Ints:
        found: Ints = self._uniform(where.shape, maxval=size, dtype="int64").numpy()[where]
        return found
