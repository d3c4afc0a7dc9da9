"""Answers in several processes, each with its own engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bertkit.pipelines.run import Answer, Part, Report, Run, Workers
from bertkit.tasks.base import TaskOptions, check_integer
from bertkit.workers import ordered

if TYPE_CHECKING:
    from bertkit.pipelines.base import Pipeline


def in_processes(
    processes: int, opened: Callable[[], Pipeline], options: TaskOptions, batch_size: int | None = None
) -> Workers:
    """A function that answers chunks in processes with one thread each, for `Run.chunks`.

    The answers do not depend on the number of processes, as a chunk is answered by one of them.

    Args:
        processes: their number.
        opened: a picklable function that opens the pipeline.
        options: the options of the task.
        batch_size: the maximum number of rows in a batch.
    """
    check_integer("processes", processes, least=1)
    work = _Answering(opened, options, batch_size)
    return lambda parts: ordered(parts, work, _examples, processes)


def _examples(part: Part) -> list[Any]:
    return part.examples


@dataclass
class _Answering:
    """The work of a process: opens a pipeline at its first chunk, and answers chunks."""

    opened: Callable[[], Pipeline]
    options: TaskOptions
    batch_size: int | None

    def __call__(self, examples: Sequence[Any]) -> tuple[list[Answer], Report]:
        self._run.report = Report()
        return self._run.result(self._run.submit(examples)), self._run.report

    @cached_property
    def _run(self) -> Run:
        logging.getLogger("bertkit").setLevel(logging.ERROR)  # the main process has logged the warnings
        return self.opened().run(self.options, self.batch_size, errors="return")
