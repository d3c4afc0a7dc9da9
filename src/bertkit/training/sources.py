"""Where the batches of a run come from: a pure function of the position, so that a resumed run sees the same batches."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertkit.data.batches import Batch
from bertkit.errors import UsageError
from bertkit.training.batches import Unit, batches_of, steps_of, with_windows
from bertkit.training.options import Settings, SharedSettings


@dataclass(frozen=True)
class Position:
    """The position in the examples: all that the order of batches depends on."""

    step: int = 0
    epoch: int = 0
    at: int = 0  # steps of this epoch so far
    part: int = 0  # of the run, if its parts have other examples


class Source(ABC):
    """The examples of a run, in the order in which it reads them.

    `numbers` names the examples of a step, and `batches` packs some of them: those of one process. The loop calls `after` when a
    step is done.
    """

    total_steps: int | None  # None: as many as the time allows

    def __init__(self, settings: SharedSettings) -> None:
        self.per_step = settings.batch_size * settings.accumulate

    @abstractmethod
    def steps_per_epoch(self, part: int = 0) -> int:
        """Return the number of steps of each epoch in a part of the run."""

    @abstractmethod
    def numbers(self, position: Position) -> list[int]:
        """Return the numbers of the examples of the next step."""

    @abstractmethod
    def batches(self, position: Position, numbers: Sequence[int]) -> list[Batch]:
        """Return packed batches of some examples of the next step."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of the examples, and of the options on which their order depends."""

    def after(self, position: Position, progress: float) -> Position:
        """Return the position after a step. `progress` is the share of the run that is done."""
        epoch, at = position.epoch, position.at + 1
        if at == self.steps_per_epoch(position.part):
            epoch, at = epoch + 1, 0
        return Position(position.step + 1, epoch, at, position.part)

    def check(self, position: Position) -> None:
        """Raise ValueError for a position that this run does not have."""
        numbers = (position.step, position.epoch, position.at, position.part)
        most = math.inf if self.total_steps is None else self.total_steps
        if any(type(number) is not int for number in numbers) or not 0 <= position.step <= most:
            raise ValueError(f"its step is not from 0 to {most:,}")
        if (position.epoch, position.at) != divmod(position.step, self.steps_per_epoch()) or position.part:
            raise ValueError("its epoch does not fit its step")


class UnitSource(Source):
    """Rows in memory, from `units_of`.

    Args:
        units: the rows of each example.
        head: the class suffix of the model.
        settings: the options of the run.
    """

    total_steps: int

    def __init__(self, units: Sequence[Unit], head: str, settings: Settings) -> None:
        if not units:
            raise UsageError("There are no examples to train on.")
        super().__init__(settings)
        self.units, self.head, self.settings = units, head, settings
        self._sizes = [sum(map(len, unit)) for unit in units]
        self.total_steps = settings.max_steps or max(1, math.ceil(self.steps_per_epoch() * settings.epochs))
        self._order: tuple[int, list[list[int]]] = (-1, [])

    def steps_per_epoch(self, part: int = 0) -> int:
        """Return the number of steps of each epoch."""
        return math.ceil(len(self.units) / self.per_step)

    def numbers(self, position: Position) -> list[int]:
        """Return the numbers of the units of the next step."""
        if self._order[0] != position.epoch:
            grouped = self.settings.group_by_length is not False
            steps = steps_of(self._sizes, self.per_step, self.settings.seed, position.epoch, grouped)
            self._order = (position.epoch, steps)
        return self._order[1][position.at]

    def batches(self, position: Position, numbers: Sequence[int]) -> list[Batch]:
        """Return packed batches of some units of the next step."""
        seed, epoch = self.settings.seed, position.epoch
        units = [with_windows(self.units[number], self._most_windows, (seed, epoch, number)) for number in numbers]
        return batches_of(units, self.settings.batch_tokens, choices=self.head == "ForMultipleChoice")

    @property
    def _most_windows(self) -> int:
        return 2**31 if self.head in ("ForMultipleChoice", "Model") else self.settings.max_windows

    def fingerprint(self) -> str:
        """Return a hash of the units, and of the options on which their order depends."""
        found = 0
        for unit in self.units:
            for row in unit:
                found = zlib.crc32(row.input_ids.tobytes(), found)
                for name in sorted(row.targets):
                    if not name.startswith("teacher."):
                        found = zlib.crc32(np.asarray(row.targets[name].values).tobytes(), found)
        options = self.settings
        values = (options.seed, options.batch_size, options.accumulate, options.group_by_length, self.total_steps)
        return f"{found:08x}-{len(self.units)}-{values}"
