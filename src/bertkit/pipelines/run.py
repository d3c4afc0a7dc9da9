"""The loop that pipelines and the command line share: encode examples, run batches, decode outputs to answers, in order.

    run = Run(task, engine, options)
    for examples, answers in run.chunks(stream):
        ...
    run.report        # counts of examples and tokens

Where a chunk ends depends only on the examples. The same rows are therefore in one batch in every run, and give the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bertkit.data.batches import Row, by_length, characters, look_ahead, pack, split
from bertkit.engines.base import Engine
from bertkit.errors import BertkitError, FileFormatError, OptionError
from bertkit.heads import counterparts
from bertkit.logging import is_progress_bar_enabled
from bertkit.read_ahead import read_ahead
from bertkit.tasks.base import Encoded, Reading, Task, TaskOptions
from bertkit.tensors import Array

if TYPE_CHECKING:
    from tqdm import tqdm

LOOK_AHEAD = 512
"""The most examples of a chunk, which is encoded and sorted by length at once."""

_CHARACTERS, _CHARACTERS_FOR_LARGE = 2**17, 2**13
"""The most characters of a chunk. The second number is for answers that take thousands of times more memory than texts."""

Errors = Literal["raise", "return"]


def progress_bar(total: int | None) -> tqdm[Any]:
    """A progress bar on stderr: examples, time left, tokens per second, the share of padding."""
    from tqdm import tqdm

    # smoothing=0: the time left is that at the mean speed so far, as the speed varies with the lengths of texts.
    return tqdm(total=total, unit=" examples", smoothing=0, disable=not is_progress_bar_enabled())


class Answer(NamedTuple):
    """The answer to an example, or the error of an invalid one, and how its text was read."""

    value: Any
    reading: Reading | None = None  # None: the example is invalid

    def shown(self, details: bool) -> Any:
        """The answer as a call returns it. With `details`, it also has how the text was read."""
        if self.reading is None or not details:
            return self.value
        reading = self.reading
        return {
            "result": self.value,
            "truncated": reading.truncated,
            "windows": reading.windows,
            "n_tokens": reading.n_tokens,
        }


@dataclass
class Report:
    """Counts of a run so far."""

    examples: int = 0
    cut: int = 0  # examples whose texts were cut
    left_out: int = 0  # tokens that were cut off
    tokens: int = 0  # tokens that the engine ran
    cells: int = 0  # the same with padding

    def add(self, other: Report) -> None:
        """Add the counts of another run."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def padding(self) -> float:
        """The share of what the engine ran that was padding."""
        return 1 - self.tokens / self.cells if self.cells else 0.0


class Part(NamedTuple):
    """A chunk, and how many of its first examples an earlier run has answered."""

    examples: list[Any]
    known: int


Workers = Callable[[Iterable[Part]], Iterator[tuple[Part, tuple[list[Answer], Report]]]]
"""A function that answers chunks in other processes. Yields each with its answers and their counts, in order."""


@dataclass(eq=False)
class Pending:
    """A submitted example: its rows, the outputs of the rows that ran, and its answer after all rows ran."""

    encoded: Encoded
    reading: Reading
    outputs: dict[int, dict[str, Array] | FileFormatError] = field(default_factory=dict)  # row number -> outputs
    answer: Answer | None = None

    def answered(self) -> Answer:
        """The answer. Raises RuntimeError for an example without rows, which is a bug in its task."""
        if self.answer is None:
            raise RuntimeError("The task encoded this example without rows, so that it has no answer.")
        return self.answer


class Run:
    """Runs examples through a task and an engine."""

    def __init__(
        self,
        task: Task[Any],
        engine: Engine,
        options: TaskOptions,
        batch_size: int | None = None,
        errors: Errors = "raise",
    ) -> None:
        self.task, self.engine, self.options, self.errors = task, engine, options, errors
        self.report = Report()
        self.bar: tqdm[Any] | None = None
        self._began, self._known = time.monotonic(), 0  # tokens that an earlier run has counted
        self._waiting: list[Pending] = []
        ask = task.wanted(options)
        self._grains = ask.grains(task.head)
        self._names = counterparts(task.head, engine.head, ask.outputs)
        self._ask = replace(ask, outputs=tuple(self._names.values()))
        rows = min(filter(None, (batch_size, engine.limits.rows)), default=None)
        self._limits = replace(engine.limits, rows=rows)
        self._characters = _CHARACTERS_FOR_LARGE if task.has_large_answers(options) else _CHARACTERS

    def chunks(
        self,
        examples: Iterable[Any],
        first: int = LOOK_AHEAD,
        most: int = LOOK_AHEAD,
        done: int = 0,
        bar: tqdm[Any] | None = None,
        ahead: bool = False,
        workers: Workers | None = None,
    ) -> Iterator[tuple[list[Any], list[Answer]]]:
        """Yield chunks of consecutive examples with their answers.

        One chunk is in memory, or two with `ahead`; with `workers` two for each process, and one more.

        Args:
            examples: a list or a stream. A BertkitError among them is an invalid example, such as an unreadable record.
            first: the most examples of the first chunk. A small one gives the first answers of a stream sooner.
            most: the most examples of a chunk.
            done: the number of examples that an earlier run has answered. They are not yielded.
            bar: the progress bar to advance.
            ahead: read and encode the next chunk in a thread, while the engine runs one.
            workers: answers chunks in other processes. The engine of this run is then not used.
        """
        self.bar, self._known = bar, self.report.tokens
        with nullcontext() if bar is None else bar:
            parts = self._unanswered(look_ahead(examples, most, first, characters, self._characters), done)
            found = self._answered(parts, ahead) if workers is None else self._received(workers(parts))
            for part, answers in found:
                yield part.examples[part.known :], answers[part.known :]

    def _answered(self, parts: Iterable[Part], ahead: bool) -> Iterator[tuple[Part, list[Answer]]]:
        encoded = ((part, self.encode(part.examples)) for part in parts)
        for part, found in read_ahead(encoded) if ahead else encoded:
            yield part, self.result(self.submit_encoded(found))

    def _received(
        self, answered: Iterable[tuple[Part, tuple[list[Answer], Report]]]
    ) -> Iterator[tuple[Part, list[Answer]]]:
        """Count the answers of other processes."""
        for part, (answers, report) in answered:
            if self.errors == "raise":
                self._raise_first_error([answer.value for answer in answers])
            self.report.add(report)
            self._advance(len(answers))
            yield part, answers

    def _unanswered(self, chunks: Iterable[list[Any]], done: int) -> Iterator[Part]:
        """The chunks from the first one that has unanswered examples."""
        seen = 0
        for chunk in chunks:
            known = min(max(done - seen, 0), len(chunk))
            seen += len(chunk)
            if known < len(chunk):
                yield Part(chunk, known)
                continue
            self.report.examples = seen
            if self.bar is not None:
                self.bar.n = self.bar.initial = seen

    def submit(self, examples: Sequence[Any]) -> list[Pending | Answer]:
        """Encode examples. They run in the next call of `result`."""
        return self.submit_encoded(self.encode(examples))

    def submit_encoded(self, found: Sequence[Encoded | BertkitError]) -> list[Pending | Answer]:
        """Take examples that `encode` of a run with the same options has returned. They run in the next call of `result`."""
        if self.errors == "raise":
            self._raise_first_error(found)
        submitted = [Pending(item, item.reading) if isinstance(item, Encoded) else Answer(item) for item in found]
        pending = [one for one in submitted if isinstance(one, Pending)]
        self._waiting += pending
        self.report.examples += len(found)
        self.report.cut += sum(one.reading.truncated for one in pending)
        self.report.left_out += sum(one.reading.left_out for one in pending)
        self._advance(len(found) - len(pending))
        return submitted

    def result(self, submitted: Sequence[Pending | Answer]) -> list[Answer]:
        """The answers to submitted examples. Runs all submitted examples that have not run, in shared batches."""
        while self._waiting:  # after an exception of the engine, they are still waiting
            for one in self._waiting:
                one.outputs.clear()
            waiting = [one for one in self._waiting if one.answer is None]
            self._waiting = [one for one in self._complete(waiting) if not self._decode(one)]
        return [one if isinstance(one, Answer) else one.answered() for one in submitted]

    def warning(self) -> tuple[object, ...]:
        """The parts of a message about texts that were cut; empty if none was cut."""
        report = self.report
        if not report.cut:
            return ()
        texts = f"{report.cut:,} of {report.examples:,} texts are longer than a row takes"
        lost = f"{report.left_out:,} of their tokens were left out"
        return (f"{texts}, and {lost}: type ", *self.task.reads_all, " to read all of them.")

    def encode(self, examples: Sequence[Any]) -> list[Encoded | BertkitError]:
        """Encode all examples at once, which is faster, or one by one after an error, to find the invalid ones."""
        sound = [example for example in examples if not isinstance(example, BertkitError)]
        try:
            found = iter(self.task.encode(sound, self.options))
        except OptionError:
            raise
        except BertkitError:
            return [self._one_encoded(example) for example in examples]
        return [example if isinstance(example, BertkitError) else next(found) for example in examples]

    def _one_encoded(self, example: Any) -> Encoded | BertkitError:
        if isinstance(example, BertkitError):
            return example
        try:
            return self.task.encode([example], self.options)[0]
        except OptionError:
            raise
        except BertkitError as error:
            return error

    def _raise_first_error(self, found: Sequence[Any]) -> None:
        """Raise the error of the first invalid example, with its number unless the run has only one example so far."""
        for number, item in enumerate(found, start=self.report.examples):
            if isinstance(item, BertkitError):
                if number or len(found) > 1:
                    item.parts = (f"Number {number} of the inputs: ", *item.parts)
                raise item

    def _complete(self, waiting: Sequence[Pending]) -> Iterator[Pending]:
        """Run the rows of examples in batches. Yields each example after the last of its rows ran."""
        owners = [(one, number) for one in waiting for number in range(len(one.encoded.rows))]
        rows = [one.encoded.rows[number] for one, number in owners]
        for indices in by_length(rows, self._limits):
            batch = pack([rows[index] for index in indices])
            try:
                found = self.engine.run(batch, self._ask)
            except FileFormatError as error:
                parts: Sequence[dict[str, Array] | FileFormatError]
                parts = self._one_by_one([rows[index] for index in indices], error)
            else:
                self.report.tokens += len(batch.input_ids)
                self.report.cells += self._limits.cells(len(indices), len(batch.input_ids), int(batch.lengths.max()))
                outputs = {name: found[self._names.get(name, name)] for name in self._grains}
                parts = split(outputs, self._grains, batch)
            for index, output in zip(indices, parts, strict=True):
                one, number = owners[index]
                one.outputs[number] = output
                if len(one.outputs) == len(one.encoded.rows):
                    yield one

    def _one_by_one(self, rows: Sequence[Row], error: FileFormatError) -> list[dict[str, Array] | FileFormatError]:
        """The outputs or the error of each row of a batch, after an exported model has failed with `error`."""
        if self.errors == "raise":
            raise error
        if len(rows) == 1:
            return [error]
        outputs: list[dict[str, Array] | FileFormatError] = []
        for row in rows:
            try:
                found = self.engine.run(pack([row]), self._ask)
            except FileFormatError as own:
                outputs.append(own)
            else:
                outputs += split(
                    {name: found[self._names.get(name, name)] for name in self._grains}, self._grains, pack([row])
                )
        return outputs

    def _decode(self, one: Pending) -> bool:
        """Decode the outputs of an example. Returns False if the task needs further rows for the answer."""
        found = [one.outputs.pop(number) for number in range(len(one.encoded.rows))]
        outputs = [output for output in found if not isinstance(output, FileFormatError)]
        if len(outputs) < len(found):
            one.answer = Answer(next(error for error in found if isinstance(error, FileFormatError)))
            self._advance(1)
            return True
        value = self.task.decode(one.encoded, outputs, self.options)
        if isinstance(value, Encoded):
            one.encoded = value
            return False
        one.answer = Answer(value, one.reading)
        self._advance(1)
        return True

    def _advance(self, examples: int) -> None:
        if self.bar is not None:
            seconds = max(time.monotonic() - self._began, 1e-9)
            speed = f"{(self.report.tokens - self._known) / seconds:,.0f} tokens/s"
            self.bar.set_postfix_str(f"{speed}, {self.report.padding:.1%} padding", refresh=False)
            self.bar.update(examples)
