"""Answers in several processes, each with its own engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bertkit.pipelines.run import Answer, Part, Report, Run, Workers
from bertkit.tasks.base import TaskOptions, check_integer
from bertkit.workers import number_of_process, ordered

if TYPE_CHECKING:
    from bertkit.pipelines.base import Pipeline


def in_processes(
    opened: Callable[[Any], Pipeline], devices: Sequence[Any], options: TaskOptions, batch_size: int | None = None
) -> Workers:
    """A function that answers chunks in processes with one thread each, for `Run.chunks`.

    The answers do not depend on the number of processes, as a chunk is answered by one of them.

    Args:
        opened: a picklable function that opens the pipeline on a device.
        devices: the device of each process.
        options: the options of the task.
        batch_size: the maximum number of rows in a batch.
    """
    work = Answering(opened, devices, options, batch_size)
    return lambda parts: ordered(parts, work, _examples, len(devices))


def devices_of(processes: int, device: Any, gpus: int) -> list[Any]:
    """The device of each process: with "cuda", or None on a machine with GPUs, one GPU after the other.

    >>> devices_of(3, "cuda", gpus=2)
    ['cuda:0', 'cuda:1', 'cuda:0']
    >>> devices_of(2, "cuda:1", gpus=2), devices_of(2, None, gpus=0)
    (['cuda:1', 'cuda:1'], [None, None])

    Args:
        processes: their number.
        device: the device that was requested.
        gpus: the number of GPUs that the engine may use; 0 if it runs on something else.
    """
    check_integer("processes", processes, least=1)
    several = gpus > 0 and str(device) in ("None", "cuda")
    return [f"cuda:{number % gpus}" if several else device for number in range(processes)]


def _examples(part: Part) -> list[Any]:
    return part.examples


@dataclass
class Answering:
    """The work of a process: opens a pipeline at its first chunk, and answers chunks."""

    opened: Callable[[Any], Pipeline]
    devices: Sequence[Any]
    options: TaskOptions
    batch_size: int | None

    def __call__(self, examples: Sequence[Any]) -> tuple[list[Answer], Report]:
        """Return the answers, and their counts."""
        self._run.report = Report()
        return self._run.result(self._run.submit(examples)), self._run.report

    @cached_property
    def _run(self) -> Run:
        logging.getLogger("bertkit").setLevel(logging.ERROR)  # the main process has logged the warnings
        pipe = self.opened(self.devices[number_of_process()])
        return pipe.run(self.options, self.batch_size, errors="return")
