"""The work of each task's command: read examples, run them, write answers, also when rows fail or Ctrl-C interrupts."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bertkit.cli.examples import AbsentColumnError, Columns
from bertkit.cli.kept import Kept
from bertkit.cli.shared import PEEKED, Shared, device_of
from bertkit.data.json_line import line_of
from bertkit.data.records import count_records, read_records
from bertkit.errors import BertkitError, DataError, UsageError, worded
from bertkit.pipelines.bulk.about import about
from bertkit.pipelines.bulk.job import File, value_of, with_arrays, write_answers
from bertkit.pipelines.bulk.partial import Partial
from bertkit.pipelines.bulk.results import Failed
from bertkit.tasks import task_class

if TYPE_CHECKING:
    from bertkit.pipelines import Pipeline
    from bertkit.pipelines.run import Answer, Run, Workers
    from bertkit.tasks.base import TaskOptions
    from bertkit.tasks.embedding.quantization import Precision


Origin = Literal["given", "typed", "read"]
"""The source of examples: the command line, a user who types at a terminal and waits for each answer, or a file or pipe."""


class Combination(NamedTuple):
    """How each text of the input and one text on the command line make an example."""

    combine: Callable[[Any], Any]
    field: str  # of the input's text
    fixed: str  # the text on the command line
    advice: str  # what to type if there is no input


def answer(
    task: str,
    shared: Shared,
    options: Mapping[str, Any],
    given: Sequence[Any] = (),
    combination: Combination | None = None,
    output_dtype: Precision = "float32",
) -> int:
    """Answer the examples of a command. Returns the exit code.

    Args:
        task: name of the task.
        shared: the options that all tasks share.
        options: the options of the task. None means the default.
        given: the examples on the command line. If it is empty, the input is read.
        combination: how to combine texts of the input with a text on the command line.
        output_dtype: the type of the numbers of vectors in the output.
    """
    task = shared.check(task)
    is_default = shared.model is None
    if is_default:
        shared = shared.with_default(task)
    options = shared.task_options() | {name: value for name, value in options.items() if value is not None}
    checked = task_class(task).options(options)
    kept, partial = Kept(shared.keep), None
    file = File(shared.output, shared.resume, shared.overwrite, output_dtype)
    layout = file.layout(task_class(task), checked, shared.details, kept.names)
    if given and kept.names:
        raise UsageError("--keep copies columns of --input, but the texts are on the command line: leave --keep out.")
    if layout is not None:
        partial = file.opened(layout, "" if given else shared.input or "-")
        checked = with_arrays(checked) if layout.vectors else checked
    with logged_warnings(), partial or nullcontext():
        origin, examples = _examples(task, shared, given, combination, kept)
        first = list(islice(examples, 1 if origin == "typed" else PEEKED))
        _check_first(first, shared, combination)
        pipe = shared.open(task, first)
        run = pipe.run(checked, errors="return")
        if is_default and sys.stderr.isatty():
            print_message(f"the built-in model ({shared.model}) answers; for another one, type --model")
        examples = chain(first, examples)
        if partial:
            source = _source(shared, [*given, combination.fixed] if combination else given)
            partial.start(about(pipe, checked, None, shared.processes, source))
            done = partial.done
            examples = partial.checked(examples, lambda row: kept.of(row) if row <= done else kept.at(row))
        return _Job(run, shared, origin, partial, kept, _workers(pipe, shared, first, checked)).work(examples)


def _examples(
    task: str, shared: Shared, given: Sequence[Any], combination: Combination | None, kept: Kept
) -> tuple[Origin, Iterator[Any]]:
    """The examples on the command line, or else those of the input, and their source."""
    if given:
        if shared.input is not None:
            raise UsageError("Both texts and --input were passed: leave one of them out.")
        return "given", iter(given)
    if shared.input is None and (sys.stdin is None or sys.stdin.isatty()):
        what = combination.advice if combination else "a text"
        raise UsageError(f"{task} has no input: type {what}, or --input with a file, or pipe texts into the command.")
    columns = Columns(task, shared.column, combination and [combination.field])

    def check(names: Sequence[str]) -> None:
        columns.check(names)
        kept.check(names)

    records = read_records(shared.input or "-", shared.format, check, print_message)
    found = map(columns.example, kept.stored(records))
    typed = shared.input == "-" and sys.stdin is not None and sys.stdin.isatty()
    return "typed" if typed else "read", map(combination.combine, found) if combination else found


def _check_first(first: Sequence[Any], shared: Shared, combination: Combination | None) -> None:
    """Raises an error if there is no example, or if none of the first examples has the columns."""
    if not first:
        source = "Standard input" if shared.input in (None, "-") else shared.input
        advice = f"Type {combination.advice}, or pipe" if combination else "Type --input with a file, or pipe"
        raise DataError(f"{source} is empty, but at least one text is needed. {advice} texts into the command.")
    if all(isinstance(one, AbsentColumnError) for one in first):
        raise first[0]


def _source(shared: Shared, texts: Sequence[Any]) -> dict[str, Any]:
    """Where the examples of a run are from, and the columns of its results: they must be equal for another run to resume it."""
    file = shared.input if shared.input not in (None, "-") else None
    return {
        "input": None if file is None else str(Path(file).resolve()),
        "bytes": Path(file).stat().st_size if file is not None and Path(file).exists() else None,
        "texts": list(texts),
        **{name: getattr(shared, name) for name in ("column", "keep", "format", "details")},
    }


def _workers(pipe: Pipeline, shared: Shared, first: Sequence[Any], checked: TaskOptions) -> Workers | None:
    """A function that answers chunks in other processes; None without --processes."""
    if shared.processes is None:
        return None
    from bertkit.pipelines.bulk.answering import devices_of, in_processes

    devices = devices_of(shared.processes, device_of(shared.device), pipe.gpus)
    return in_processes(functools.partial(replace(shared, spell=str).open, pipe.task, first), devices, checked)


class _Job:
    """A run, and the destination of its answers: a file, JSON lines on stdout, or tables on a terminal."""

    def __init__(
        self,
        run: Run,
        shared: Shared,
        origin: Origin,
        partial: Partial | None,
        kept: Kept,
        workers: Workers | None,
    ) -> None:
        self.workers = workers
        self.run, self.shared, self.origin, self.partial, self.kept = run, shared, origin, partial, kept
        self.tables = partial is None and not shared.json and not kept.names and sys.stdout.isatty()
        self.failed = partial.failed if partial else Failed()
        self.printed = 0  # rows written to stdout

    def work(self, examples: Iterable[Any]) -> int:
        """Answer all examples. Returns the exit code."""
        try:
            self._answer(examples)
        except KeyboardInterrupt:
            print_message(self._stopped())
            return 130
        except Exception:
            if self.partial and self.partial.done:
                print_message(self._stopped())
            raise
        return self._end()

    def _answer(self, examples: Iterable[Any]) -> None:
        from bertkit.pipelines.run import LOOK_AHEAD, progress_bar

        bar = None
        if sys.stderr.isatty() and self.origin != "given" and not self.tables:
            bar = progress_bar(count_records(self.shared.input or "-", self.shared.format))
        most = 1 if self.origin == "typed" else LOOK_AHEAD
        if self.partial:
            own = self.kept.of, self.shared.spell, bar, self._check_given, self.workers, most
            write_answers(self.run, examples, self.partial, *own)
            return
        first = LOOK_AHEAD if self.origin == "given" else 1
        for chunk, answers in self.run.chunks(examples, first, most, bar=bar):
            self._check_given(answers)
            self._count_failed(answers)
            if self.tables:
                self._show(chunk, answers)
            else:
                self._print(answers)
            self.printed += len(chunk)

    def _check_given(self, answers: Sequence[Answer]) -> None:
        """Raise the error if all texts on the command line are invalid."""
        first = self.run.report.examples == len(answers)
        if self.origin == "given" and first and all(isinstance(answer.value, BertkitError) for answer in answers):
            raise answers[0].value

    def _count_failed(self, answers: Sequence[Answer]) -> None:
        for row, answer in enumerate(answers, start=self.printed + 1):
            if isinstance(answer.value, BertkitError):
                self.failed.add(row, answer.value.worded(self.shared.spell))

    def _print(self, answers: Sequence[Answer]) -> None:
        details, spell = self.shared.details, self.shared.spell
        rows = enumerate(answers, start=self.printed + 1)
        lines = [line_of(value_of(answer, details, self.kept.of(row), spell)) for row, answer in rows]
        sys.stdout.flush()
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()

    def _show(self, chunk: Sequence[Any], answers: Sequence[Answer]) -> None:
        from bertkit.cli.render import render
        from bertkit.terminal import page_of_stdout

        page = page_of_stdout()
        for example, one in zip(chunk, answers, strict=True):
            if not isinstance(one.value, BertkitError):
                shown = one.shown(self.shared.details)
                print("\n".join(render(self.run.task.name, example, shown, page)), flush=True)

    def _stopped(self) -> str:
        if self.partial is None:
            return f"stopped. {self.printed:,} inputs were answered."
        if not self.partial.done:
            return "stopped. Nothing was written."
        count, path = self.partial.done, self.partial.path
        return f"stopped. {count:,} results are in {path}: run the same command with --resume to continue."

    def _end(self) -> int:
        """Print which texts were cut, which rows failed and what was written. Returns the exit code."""
        rows, count, listed = self.run.report.examples, self.failed.count, len(self.failed.first)
        if message := self.run.warning():
            print_message(worded(message, self.shared.spell))
        for row, sentence in self.failed.first:
            print_message(f"row {row}: {sentence}")
        if count:
            only = f", of which the first {listed} are listed" * (count > listed)
            print_message(f"{count:,} of {rows:,} rows failed{only}.")
        if self.partial:
            print_message(f"{rows:,} row{'s' * (rows != 1)} written to {self.partial.output}.")
        return 1 if count else 0


def print_message(sentence: str) -> None:
    """Print a message to stderr, as stdout is for results."""
    print(f"bertkit: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def logged_warnings() -> Iterator[None]:
    """Print the library's warnings to stderr, each once, in the form of the command's messages."""
    before: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        known = record.getMessage() in before
        before.add(record.getMessage())
        return not known

    logger, handler = logging.getLogger("bertkit"), logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("bertkit: %(message)s"))
    handler.addFilter(is_new)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
