"""Random numbers for masking, from the generator of a framework, whose seed is also the seed of the masks.

The numbers are drawn in the same order as in transformers, so that the same seed returns the same masks.
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
    """A source of random numbers."""

    def flags(self, chances: Chances) -> Flags:
        """Draw independent booleans that are True with the given probabilities."""

    def ids(self, size: int, where: Flags) -> Ints:
        """Draw an integer below `size` for each True in `where`."""


def draws_of(kind: str, seed: int | None) -> Draws:
    """Return the source of random numbers for a kind of tensor. Without a seed it uses the framework's global generator."""
    own = None if seed is None else seed + _worker()
    if kind == "np":
        return OfNumPy(own)
    return OfTorch(own) if kind == "pt" else OfTensorFlow(own)


def _worker() -> int:
    """Return the number of this worker of a data loader, as each worker needs a different seed."""
    if multiprocessing.current_process().name == "MainProcess":
        return 0
    torch = sys.modules.get("torch")
    worker = torch.utils.data.get_worker_info() if torch else None
    if worker is None:
        raise UsageError(
            "A seed in several processes needs the number of each process, which only PyTorch's DataLoader provides: use its "
            "num_workers, a single process, or no seed."
        )
    return int(worker.id)


class OfNumPy:
    """Random numbers from NumPy."""

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
    """Random numbers from PyTorch."""

    def __init__(self, seed: int | None) -> None:
        self._torch = framework_of("pt")
        self._generator = None if seed is None else self._torch.Generator().manual_seed(seed)

    def flags(self, chances: Chances) -> Flags:
        tensor = self._torch.from_numpy(chances.astype(np.float32))
        found: Flags = self._torch.bernoulli(tensor, generator=self._generator).bool().numpy()
        return found

    def ids(self, size: int, where: Flags) -> Ints:
        found: Ints = self._torch.randint(size, where.shape, generator=self._generator).numpy()[where]
        return found


class OfTensorFlow:
    """Random numbers from TensorFlow."""

    def __init__(self, seed: int | None) -> None:
        random = framework_of("tf").random
        self._uniform = random.uniform if seed is None else random.Generator.from_seed(seed).uniform

    def flags(self, chances: Chances) -> Flags:
        found: Flags = chances.astype(np.float32) - self._uniform(chances.shape, 0, 1).numpy() >= 0
        return found

    def ids(self, size: int, where: Flags) -> Ints:
        found: Ints = self._uniform(where.shape, maxval=size, dtype="int64").numpy()[where]
        return found
