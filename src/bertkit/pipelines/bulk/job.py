"""The answers to a stream of examples become a file: the part that commands and `Pipeline.map` share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast, get_args

from bertkit.data.json_line import line_of
from bertkit.errors import BertkitError, Setting, UsageError, one_of, worded
from bertkit.pipelines.bulk.about import about
from bertkit.pipelines.bulk.advice import OR_START_AGAIN, OVERWRITE, RESUME
from bertkit.pipelines.bulk.partial import Partial
from bertkit.pipelines.bulk.results import Layout
from bertkit.pipelines.bulk.vectors import pack
from bertkit.pipelines.run import LOOK_AHEAD, Answer, Errors, Report, Run, Workers
from bertkit.tasks.base import Task, TaskOptions
from bertkit.tasks.embedding.quantization import Precision

if TYPE_CHECKING:
    from tqdm import tqdm

    from bertkit.pipelines.base import Pipeline

Columns = dict[str, Any]

_logger = logging.getLogger("bertkit")


def write_answers(
    run: Run,
    examples: Iterable[Any],
    partial: Partial,
    kept_of: Callable[[int], Columns] = lambda row: {},
    spell: Callable[[Setting], str] = str,
    bar: tqdm[Any] | None = None,
    check: Callable[[Sequence[Answer]], object] = lambda answers: None,
    workers: Workers | None = None,
    most: int = LOOK_AHEAD,
) -> None:
    """Answer examples, and write the answers after those of an earlier run to its file, which becomes the output.

    Args:
        run: answers the examples, with `errors="return"` if the errors of invalid ones are results.
        examples: all examples of the job, also those that the earlier run has answered.
        partial: the started file.
        kept_of: returns the kept columns of a row. The first row is number 1. It is called once for each row that is written.
        spell: formats the settings in errors.
        bar: the progress bar to advance.
        check: called with the answers of each chunk before they are written.
        workers: answers chunks in other processes; None: in this one.
        most: the most examples of a chunk.
    """
    vectors = partial.layout.vectors is not None
    run.report.add(partial.report)
    for chunk, answers in run.chunks(examples, most, most, partial.done, bar, ahead=True, workers=workers):
        check(answers)
        lines = []
        for row, answer in enumerate(answers, start=run.report.examples - len(chunk) + 1):
            if isinstance(answer.value, BertkitError):
                partial.failed.add(row, answer.value.worded(spell))
            elif vectors:
                answer = answer._replace(value=pack(answer.value))
            lines.append(line_of(value_of(answer, partial.layout.details, kept_of(row), spell)))
        partial.add(lines, run.report)
    partial.finish()


def value_of(
    answer: Answer, details: bool = False, kept: Columns | None = None, spell: Callable[[Setting], str] = str
) -> Any:
    """The answer to a row, or its error, as results have it, with the kept columns of the input."""
    if isinstance(answer.value, BertkitError):
        return {"error": answer.value.worded(spell), **(kept or {})}
    shown = answer.shown(details)
    if not kept:
        return shown
    return {**kept, **(shown if details else {"result": shown})}


@dataclass(frozen=True)
class File:
    """The file that a job writes, and the options of files."""

    output: str | os.PathLike[str] | None  # None: the results do not become a file
    resume: bool = False
    overwrite: bool = False
    output_dtype: Precision = "float32"  # of vectors

    def layout(
        self, task: type[Task[Any]], options: TaskOptions, details: bool = False, kept: Sequence[str] = ()
    ) -> Layout | None:
        """What each line of the file has; None without a file. Raises UsageError for options that have no effect."""
        one_of("output_dtype", self.output_dtype, get_args(Precision))
        given = {"resume": self.resume, "overwrite": self.overwrite, "output_dtype": self.output_dtype}
        typed = [Setting(name, value) for name, value in given.items() if value not in (False, "float32")]
        if self.output is None:
            if typed:
                raise UsageError(typed[0], " is for a file: type ", Setting("output", "FILE"), ", too.")
            return None
        if self.resume and self.overwrite:
            raise UsageError(RESUME, " keeps the results that ", OVERWRITE, " deletes: leave one of them out.")
        vectors = task.has_vectors(options)
        if self.output_dtype != "float32" and not vectors:
            advice = Setting("pooling", "mean")
            raise UsageError(typed[-1], " needs one vector for each text, as ", advice, " computes them.")
        if getattr(options, "return_tensors", False):
            raise UsageError("return_tensors has no effect on a file: leave it out.")
        return Layout(kept, details, self.output_dtype if vectors else None)

    def opened(self, layout: Layout, source: str = "") -> Partial:
        """The file, to be used in `with`. `source` is the file of the examples, or - for stdin."""
        assert self.output is not None
        return Partial(os.fspath(self.output), source, layout, resume=self.resume, overwrite=self.overwrite)


def write_file(
    pipe: Pipeline,
    options: TaskOptions,
    examples: Iterable[Any],
    partial: Partial,
    batch_size: int | None,
    processes: int | None,
    errors: Errors,
    bar: Callable[[], tqdm[Any] | None],
) -> Report:
    """Answer examples into a file, for `Pipeline.map`, whose arguments these are. Returns counts of examples and tokens."""
    options = options if partial.layout.vectors is None else with_arrays(options)
    run = pipe.run(options, batch_size, errors)
    workers = pipe.workers(processes, batch_size, options)
    with partial:
        partial.start(about(pipe, options, batch_size, processes))
        if errors == "raise" and partial.failed.count:
            raise UsageError(
                f"{partial.path} has the errors of {partial.failed.count:,} invalid examples, which ",
                Setting("errors", "raise"), " would raise: type ", Setting("errors", "return"), *OR_START_AGAIN,
            )  # fmt: skip
        write_answers(run, partial.checked(examples), partial, bar=bar(), workers=workers)
    if message := run.warning():
        _logger.warning(worded(message))
    return run.report


def with_arrays(options: TaskOptions) -> TaskOptions:
    """The options of feature extraction for answers that are arrays."""
    return cast(TaskOptions, replace(cast(Any, options), return_tensors="np"))
