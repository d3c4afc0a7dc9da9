"""Examples through a task and an engine: encoded, sorted by length, packed, run, decoded, and given back in their order.

Pipelines, evaluation and serving all do this. Some hundred examples are held at a time, however many there are.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack
from typing import Any, Protocol

from bertkit.data.batches import Array, Batch, Row, by_length, characters, look_ahead, pack, split
from bertkit.engines.base import Engine
from bertkit.errors import BertkitError
from bertkit.tasks.base import Encoded, Options, Task

LOOK_AHEAD = 512
"""Examples that are sorted by length at a time."""

_CHARACTERS = 2**17
"""No more examples are taken together where they have that many: vectors of all their tokens take thousands of times the room."""

_logger = logging.getLogger("bertkit")


class _Bar(Protocol):
    def update(self, n: int) -> object: ...
    def set_postfix_str(self, s: str) -> object: ...


class Run:
    """One call of a pipeline."""

    def __init__(self, task: Task[Any], engine: Engine, options: Options, batch_size: int | None, errors: str) -> None:
        self.task, self.engine, self.options = task, engine, options
        self.batch_size, self.returns_errors = batch_size, errors == "return"
        self.wanted = task.wanted(options)
        self.cut: Counter[str] = Counter()
        self.bar: _Bar | None = None
        self.done = 0  # examples
        self.began = time.monotonic()

    def answers(self, examples: Sequence[Any], progress: bool) -> list[Any]:
        """The answers to a list."""
        self.single = len(examples) == 1
        return list(
            self._answered(look_ahead(examples, LOOK_AHEAD, LOOK_AHEAD, characters, _CHARACTERS), progress, examples)
        )

    def stream(self, examples: Iterable[Any], progress: bool) -> Generator[Any, None, None]:
        """The answers to a stream, the first of them soon."""
        self.single = False
        return self._answered(look_ahead(examples, LOOK_AHEAD, 1, characters, _CHARACTERS), progress, examples)

    def _answered(self, chunks: Iterable[list[Any]], progress: bool, examples: object) -> Generator[Any, None, None]:
        with ExitStack() as stack:
            stack.callback(self._warn)
            if progress:
                from tqdm import tqdm

                total = len(examples) if isinstance(examples, Sized) else None
                self.bar = stack.enter_context(tqdm(total=total, unit=" examples"))
            for chunk in chunks:
                yield from self._chunk(chunk)

    def _chunk(self, examples: list[Any]) -> list[Any]:
        """The answers to some examples."""
        answers: list[Any] = [None] * len(examples)
        waiting: dict[int, Encoded] = {}
        for number, item in enumerate(self._encoded(examples)):
            if isinstance(item, Encoded):
                waiting[number] = item
                self.cut.update(texts=int(item.reading.truncated), tokens=item.reading.left_out)
            else:
                answers[number] = item
        told = {number: item.reading for number, item in waiting.items()}
        while waiting:
            again: dict[int, Encoded] = {}
            for number, outputs in self._outputs(waiting):
                answer = self.task.decode(waiting[number], outputs, self.options)
                if isinstance(answer, Encoded):
                    again[number] = answer
                else:
                    answers[number] = answer
                    self._advance()
            waiting = again
        self.done += len(examples)
        self.cut["all"] += len(examples)
        return [self._detailed(answer, told.get(number)) for number, answer in enumerate(answers)]

    def _encoded(self, examples: list[Any]) -> list[Encoded | BertkitError]:
        """All at once; where that fails one by one, to know which is wrong."""
        try:
            return list(self.task.encode(examples, self.options))
        except BertkitError:
            return [self._one_encoded(number, example) for number, example in enumerate(examples)]

    def _one_encoded(self, number: int, example: Any) -> Encoded | BertkitError:
        try:
            return self.task.encode([example], self.options)[0]
        except BertkitError as error:
            if self.returns_errors:
                self._advance()
                return error
            if not self.single:
                error.args = (f"Number {self.done + number} of the inputs: {error}",)
            raise

    def _outputs(self, waiting: Mapping[int, Encoded]) -> Iterator[tuple[int, list[dict[str, Array]]]]:
        """The outputs of each example, as soon as all of its rows are run."""
        owners = [(number, index) for number, item in waiting.items() for index in range(len(item.rows))]
        rows: list[Row] = [row for item in waiting.values() for row in item.rows]
        missing = {number: len(item.rows) for number, item in waiting.items()}
        found: dict[int, list[dict[str, Array]]] = {number: [{}] * count for number, count in missing.items()}
        for group in by_length([len(row) for row in rows], most=self.batch_size):
            batch = pack([rows[index] for index in group])
            outputs = self._run(batch, self.wanted)
            for index, output in zip(group, split(outputs, self.wanted, batch), strict=True):
                number, place = owners[index]
                found[number][place] = output
                missing[number] -= 1
                if missing[number] == 0:
                    yield number, found.pop(number)

    def _run(self, batch: Batch, want: Collection[str]) -> dict[str, Array]:
        self.cut["run"] += int(batch.lengths.sum())
        return self.engine.run(batch, want)

    def _detailed(self, answer: Any, told: Any) -> Any:
        """The answer, with what was done with its text where that was asked for."""
        if not self.options.details or told is None:
            return answer
        return {"result": answer, "truncated": told.truncated, "windows": told.windows, "n_tokens": told.n_tokens}

    def _advance(self) -> None:
        if self.bar is not None:
            self.bar.update(1)
            seconds = max(time.monotonic() - self.began, 1e-9)
            self.bar.set_postfix_str(f"{self.cut['run'] / seconds:,.0f} tokens/s")

    def _warn(self) -> None:
        if self.cut["texts"]:
            _logger.warning(
                "%d of %d texts are longer than a row takes, and %d of their tokens were left out: type %s to read all of them.",
                self.cut["texts"], self.cut["all"], self.cut["tokens"], self.task.reads_all,
            )  # fmt: skip
