"""What every command of a task does: examples in, answers out, whatever happens on the way.

Examples are answered in chunks, and where a chunk ends is told by the examples alone. The same rows so share a batch in every
run, and have the same bits, also in a run that was interrupted and goes on.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertkit.cli.examples import Columns
from bertkit.cli.partial import Partial
from bertkit.cli.results import Failed, line_of
from bertkit.cli.shared import Shared, peeked
from bertkit.data.batches import characters, look_ahead
from bertkit.data.records import count_records, read_records
from bertkit.errors import BertkitError, DataError, UsageError
from bertkit.tasks import task_class

if TYPE_CHECKING:
    from bertkit.pipelines import Pipeline

_CHUNK, _ROOM, _ROOM_FOR_TOKENS = 512, 2**17, 2**13
"""Examples of a chunk, and their characters: vectors of all tokens take thousands of times the room."""


class Each(NamedTuple):
    """What makes an example of a text of the input, where the command line has a part of it."""

    change: Callable[[Any], Any]
    field: str  # the column of the text
    beside: str  # the text that the command line has
    typed: str  # what is typed where there is no input


def answer(
    task: str,
    shared: Shared,
    options: Mapping[str, Any],
    given: Sequence[Any] = (),
    each: Each | None = None,
) -> int:
    """Answer the examples of a command. Returns the exit code.

    Args:
        task: its name.
        shared: the options that all tasks share.
        options: those of the task; None is left out.
        given: the examples of the command line; none: those of the input.
        each: what makes an example of a text of the input, where the command line has the rest of it.
    """
    task = shared.check(task)
    options = {name: value for name, value in options.items() if value is not None}
    task_class(task).options({**shared.told(), **options})  # refuses what cannot be before anything is read
    partial = None
    if shared.output is not None:
        about = _about(task, shared, options, [*given, each.beside] if each else given)
        partial = Partial(shared.output, about, resume=shared.resume, overwrite=shared.overwrite)
    examples = _examples(task, shared, given, each)
    first = list(islice(examples, 1 if _typed(shared) and not given else peeked()))
    if not first:
        how = f" Type {each.typed}, or pipe texts into it." if each else ""
        raise DataError(f"{_name(shared)} is empty: there is nothing to answer.{how}")
    with _listening(pools=options.get("pooling") == "pooler"):
        job = _Job(shared.open(task, first, options), shared, bool(given), task)
        return job.run(chain(first, examples), partial)


def _examples(task: str, shared: Shared, given: Sequence[Any], each: Each | None) -> Iterator[Any]:
    """Those of the command line, or those of the input."""
    if given:
        if shared.input is not None:
            raise UsageError("Texts came and --input too: leave one of them out.")
        return iter(given)
    if shared.input is None and (sys.stdin is None or sys.stdin.isatty()):
        what = each.typed if each else "a text"
        raise UsageError(f"{task} has nothing to read: type {what}, --input with a file, or pipe texts into it.")
    columns = Columns(task, shared.column, each and [each.field])
    found = map(columns.example, read_records(shared.input or "-", shared.format, columns.check))
    return map(each.change, found) if each else found


def _typed(shared: Shared) -> bool:
    """Whether somebody types the inputs, and waits for each answer."""
    return shared.input == "-" and sys.stdin is not None and sys.stdin.isatty()


def _name(shared: Shared) -> str:
    return "Standard input" if shared.input in (None, "-") else str(shared.input)


def _about(task: str, shared: Shared, options: Mapping[str, Any], texts: Sequence[Any]) -> dict[str, Any]:
    """What makes two runs the same."""
    from bertkit import __version__

    names = ("config", "tokenizer", "device", "engine", "precision", "revision", "subfolder", "column", "format")
    told = {name: getattr(shared, name) for name in (*names, "batch_size", "details")}
    file = shared.input if shared.input not in (None, "-") else None
    model = Path(str(shared.model))
    return {
        "bertkit": __version__,
        "task": task,
        "model": str(model.resolve()) if model.exists() else shared.model,
        "input": None if file is None else str(Path(file).resolve()),
        "bytes": Path(file).stat().st_size if file is not None and Path(file).exists() else None,
        "texts": list(texts),
        **told,
        "options": {**shared.told(), **options},
    }


class _Job:
    """A pipeline and what becomes of its answers."""

    def __init__(self, pipe: Pipeline, shared: Shared, direct: bool, task: str) -> None:
        self.pipe, self.shared, self.direct, self.task = pipe, shared, direct, task
        self.people = shared.output is None and not shared.json and sys.stdout.isatty()
        self.failed = Failed()
        self.rows = self.cut = self.tokens = 0

    def run(self, examples: Iterable[Any], partial: Partial | None) -> int:
        """Answer all."""
        try:
            if partial is not None:
                self._to_file(examples, partial)
            else:
                self._to_stdout(examples)
        except KeyboardInterrupt:
            say(self._stopped(partial))
            return 130
        except BrokenPipeError:
            raise
        except Exception:
            if partial is not None and partial.done:
                say(self._stopped(partial))
            raise
        return self._told()

    def _to_file(self, examples: Iterable[Any], partial: Partial) -> None:
        self.failed, before = partial.failed, partial.done
        with partial, self._bar(before) as bar:
            for chunk in self._chunks(examples, _CHUNK):
                known = max(min(before - self.rows, len(chunk)), 0)
                if known == len(chunk):
                    self.rows += known
                    continue
                answers = self._answers(chunk, known)
                partial.add([line_of(answer) for answer in answers[known:]])
                bar(len(chunk) - known, self.tokens)
            if before > self.rows:
                raise DataError(
                    f"{partial.path} has {before:,} results, and the input {self.rows:,} rows: it is of another one."
                )
            partial.finish()

    def _to_stdout(self, examples: Iterable[Any]) -> None:
        most = 1 if _typed(self.shared) else _CHUNK
        show = self._show if self.people else self._print
        with self._bar(0) as bar:
            for chunk in self._chunks(examples, most, 1):
                show(chunk, self._answers(chunk))
                bar(len(chunk), self.tokens)

    def _chunks(self, examples: Iterable[Any], most: int, first: int = _CHUNK) -> Iterator[list[Any]]:
        """Neighbouring examples; where the first are wanted soon, few at first."""
        if self.direct:
            most = first = _CHUNK
        room = _ROOM_FOR_TOKENS if self.task == "feature-extraction" and "pooling" not in self.pipe.defaults else _ROOM
        return look_ahead(examples, most, first, characters, room)

    def _answers(self, chunk: list[Any], known: int = 0) -> list[Any]:
        """The answers to a chunk. Its first `known` are only computed again, for the company they give to the others."""
        sound = [example for example in chunk if not isinstance(example, BertkitError)]
        found = iter(self.pipe.each(sound, errors="return", details=True))
        answers = [example if isinstance(example, BertkitError) else next(found) for example in chunk]
        for number, one in enumerate(answers):
            self.rows += 1
            if isinstance(one, BertkitError):
                if number >= known:
                    self.failed.add(self.rows, str(one))
                continue
            self.tokens += one["n_tokens"]
            self.cut += one["truncated"]
            answers[number] = one if self.shared.details else one["result"]
        if self.direct and self.failed.count == len(chunk):
            raise next(one for one in answers if isinstance(one, BertkitError))
        return answers

    def _print(self, chunk: Sequence[Any], answers: Sequence[Any]) -> None:
        sys.stdout.flush()
        sys.stdout.buffer.write(b"".join(map(line_of, answers)))
        sys.stdout.buffer.flush()

    def _show(self, chunk: Sequence[Any], answers: Sequence[Any]) -> None:
        from bertkit.cli.page import page_of_stdout
        from bertkit.cli.render import render

        page = page_of_stdout()
        for example, one in zip(chunk, answers, strict=True):
            if not isinstance(one, BertkitError):
                print("\n".join(render(self.task, example, one, page)), flush=True)

    def _bar(self, done: int) -> _Bar:
        return _Bar(self.shared, done, sys.stderr.isatty() and not self.direct and not self.people)

    def _stopped(self, partial: Partial | None) -> str:
        if partial is None:
            return f"stopped. {self.rows:,} inputs were answered."
        if not partial.done:
            return "stopped. Nothing was written."
        return f"stopped. {partial.done:,} results are in {partial.path}; type the same with --resume to go on."

    def _told(self) -> int:
        """Say what was left out and what failed."""
        if self.cut:
            how = task_class(self.task).reads_all.replace('on_long="window"', "--on-long window")
            say(
                f"{self.cut:,} of {self.rows:,} texts are longer than a row takes, and were cut: type {how} to read all of them."
            )
        for row, sentence in self.failed.first:
            say(f"row {row}: {sentence}")
        if count := self.failed.count:
            listed = len(self.failed.first)
            say(
                f"{count:,} of {self.rows:,} rows failed{f', of which the first {listed} are listed' * (count > listed)}."
            )
        return 1 if self.failed.count else 0


class _Bar:
    """Examples, tokens a second, time left: on stderr, where somebody sees it."""

    def __init__(self, shared: Shared, done: int, drawn: bool) -> None:
        self._shared, self._done, self._drawn, self._stack = shared, done, drawn, ExitStack()
        self._began = time.monotonic()

    def __enter__(self) -> Callable[[int, int], None]:
        if not self._drawn:
            return lambda rows, tokens: None
        from tqdm import tqdm

        total = count_records(self._shared.input or "-", self._shared.format)
        self._bar = self._stack.enter_context(tqdm(total=total, initial=self._done, unit=" examples"))
        return self._advance

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _advance(self, rows: int, tokens: int) -> None:
        self._bar.set_postfix_str(f"{tokens / max(time.monotonic() - self._began, 1e-9):,.0f} tokens/s", refresh=False)
        self._bar.update(rows)


def say(sentence: str) -> None:
    """Tell the person, not the program that reads our output."""
    print(f"bertkit: {sentence}", file=sys.stderr, flush=True)


class _Said(logging.Handler):
    """What the library warns of, once.

    Cut texts are counted over all chunks, and what is said of each is left out. So is a pooler that a file lacks
    where nothing reads it.
    """

    def __init__(self, pools: bool) -> None:
        super().__init__()
        self._before: set[str] = set()
        self._pools = pools

    def emit(self, record: logging.LogRecord) -> None:
        sentence = record.getMessage()
        idle = not self._pools and "has no bert.pooler: fresh in BertModel" in sentence
        if record.module != "running" and not idle and sentence not in self._before:
            self._before.add(sentence)
            say(sentence)


@contextmanager
def _listening(pools: bool) -> Iterator[None]:
    logger = logging.getLogger("bertkit")
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [_Said(pools)], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before
