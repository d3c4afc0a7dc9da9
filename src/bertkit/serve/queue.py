"""The core of the server, without HTTP: a queue of encoded examples, which one thread runs in batches.

    queue = Queue()
    future = queue.submit(pipe, ["a text", "another text"])  # at once; raises FullError if the queue is full
    future.result().answers

One thread encodes, another runs the model. A batch starts when the model is free: it has the waiting examples of one task with
the same options, the earliest deadline first, up to a number of tokens. Several models take turns, so that each gets the same
number of tokens. A future that is cancelled takes its examples out of the queue.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bertkit.engines.base import Engine
from bertkit.errors import BertkitError, UsageError
from bertkit.memory import Heap
from bertkit.pipelines import Pipeline
from bertkit.pipelines.run import Answer
from bertkit.serve.precedence import yield_the_processor
from bertkit.serve.waiting import Item, Line, Outcome, Request
from bertkit.serve.writing import stop_when
from bertkit.tasks.base import Encoded, TaskOptions

_logger = logging.getLogger("bertkit.serve")

_MOST_WORK = 2**19
"""The most tokens in all rows of one example, such as a pair of long texts read in windows. A batch cannot be interrupted."""


class FullError(BertkitError):
    """The queue is full. The same request may succeed later."""


class ClosedError(BertkitError):
    """The queue takes no more requests, as the server stops."""


class TooLongError(UsageError):
    """An example with more tokens than the server accepts."""


@dataclass(frozen=True)
class Limits:
    """How much the queue takes."""

    batch_tokens: int = 16_384  # of a batch
    requests: int = 512  # that wait or run
    input_tokens: int = 8_192  # of one example


class Queue:
    """Runs requests of any number of pipelines in shared batches."""

    def __init__(
        self, limits: Limits = Limits(), on_batch: Callable[[int, int], None] = lambda examples, tokens: None
    ) -> None:
        """Start the two threads.

        Args:
            limits: how much the queue takes.
            on_batch: called with the numbers of examples and tokens of each batch before it runs.
        """
        self.limits, self._on_batch = limits, on_batch
        self._changed = threading.Condition()  # guards all of the following
        self._lines: dict[Engine, Line] = {}
        self._requests, self._open, self._encoded_all = 0, True, False
        self._encoder = ThreadPoolExecutor(1, "bertkit-encode")
        self._computer = threading.Thread(target=self._compute, name="bertkit-compute", daemon=True)
        self._computer.start()

    @property
    def waiting(self) -> int:
        """The number of examples that wait."""
        with self._changed:
            return sum(len(line.items) for line in self._lines.values())

    def submit(
        self, pipe: Pipeline, examples: Sequence[Any], options: TaskOptions | None = None, seconds: float = math.inf
    ) -> Future[Outcome]:
        """Add a request, and return its future. Raise FullError if too many requests wait or run, or ClosedError.

        Args:
            pipe: the pipeline of the task.
            examples: its examples.
            options: checked options of the task; None: those of the pipeline.
            seconds: the time in which the answers are needed. Requests that wait longer fail with a TimeoutError.
        """
        request = Request(pipe, pipe.options if options is None else options, examples, time.monotonic() + seconds)
        with self._changed:
            self.check()
            self._requests += 1
        request.future.add_done_callback(lambda _: self._leave(request))
        self._encoder.submit(self._encode, request)
        return request.future

    def check(self) -> None:
        """Raise FullError or ClosedError if the queue takes no request now."""
        if not self._open:
            raise ClosedError("The server is stopping: send the request to another one.")
        if self._requests >= self.limits.requests:
            raise FullError(f"The server has {self._requests} requests already: send the request again later.")

    @property
    def open(self) -> bool:
        """Whether the queue takes requests."""
        return self._open

    def beside(self, work: Callable[[], Any]) -> Future[Any]:
        """Run a function in the thread that encodes. Raise FullError or ClosedError as `submit` does."""
        with self._changed:
            self.check()
            self._requests += 1
        future = self._encoder.submit(work)
        future.add_done_callback(self._count_out)
        return future

    def _count_out(self, _: Future[Any]) -> None:
        with self._changed:
            self._requests -= 1

    def close(self) -> None:
        """Take no more requests, answer those that were submitted, and end the threads."""
        with self._changed:
            self._open = False
        self._encoder.shutdown()
        with self._changed:
            self._encoded_all = True
            self._changed.notify_all()
        self._computer.join()

    def _leave(self, request: Request) -> None:
        """Remove a request whose future is done, or was cancelled."""
        with self._changed:
            self._requests -= 1
            line = self._lines.get(request.pipe.engine)
            if line is not None and len(request.answers) < len(request.examples):
                for item in [item for item in line.items if item.request is request]:
                    del line.items[item]

    def _encode(self, request: Request) -> None:
        if request.future.done():
            return
        began = time.monotonic()
        try:
            found = request.pipe.run(request.options, errors="return").encode(request.examples)
        except Exception as error:
            request.fail(error)
            return
        request.encoded = time.monotonic()
        request.encoding = request.encoded - began
        items, invalid = [], {}
        for number, one in enumerate(map(self._checked, found)):
            if isinstance(one, Encoded):
                items.append(Item(request, number, one))
            else:
                invalid[number] = Answer(one)
        request.answer(invalid)
        with self._changed:
            if items and not request.future.done():
                self._line(request.pipe.engine).items.update(dict.fromkeys(items))
                self._changed.notify_all()

    def _checked(self, one: Encoded | BertkitError) -> Encoded | BertkitError:
        """An encoded example, or the error if it has too many tokens."""
        if not isinstance(one, Encoded):
            return one
        tokens, most = one.reading.n_tokens, self.limits.input_tokens
        if tokens > most:
            return TooLongError(
                f"The text has {tokens:,} tokens, and this server accepts {most:,}: send a shorter one."
            )
        if sum(map(len, one.rows)) > _MOST_WORK:
            return TooLongError(f"The text needs more than {_MOST_WORK:,} tokens in all its rows: send a shorter one.")
        return one

    def _line(self, engine: Engine) -> Line:
        """The line of a model. A model that had nothing to do does not save up turns."""
        line = self._lines.setdefault(engine, Line())
        if not line.items:
            line.computed = max(line.computed, min((other.computed for other in self._busy()), default=line.computed))
        return line

    def _busy(self) -> list[Line]:
        return [line for line in self._lines.values() if line.items]

    def _compute(self) -> None:
        """Run batches until the queue is closed and empty."""
        heap = Heap()
        yield_the_processor()
        while batch := self._next():
            late = [item for item in batch if item.request.deadline < time.monotonic()]
            for item in late:
                item.request.fail(TimeoutError("The request waited too long."))
            if ready := [item for item in batch if item not in late]:
                self._answer(ready)
            heap.check()

    def _next(self) -> list[Item]:
        """Wait for examples, and take a batch from the model with the fewest tokens so far. An empty list is the end."""
        with self._changed:
            while not (lines := self._busy()):
                if self._encoded_all:  # not before: a closed queue still encodes what was submitted
                    return []
                self._changed.wait()
            return min(lines, key=lambda line: line.computed).take(self.limits.batch_tokens)

    def _answer(self, batch: list[Item]) -> None:
        """Run a batch. After an unexpected error, run its examples one by one, so that the others are answered."""
        first, now = batch[0].request, time.monotonic()
        for item in batch:
            item.request.started = item.request.started or now
        self._on_batch(len(batch), sum(item.tokens for item in batch))
        stop_when(first.pipe, lambda: all(item.request.future.done() for item in batch))
        try:
            run = first.pipe.run(first.options, errors="return")
            answers = run.result(run.submit_encoded([item.encoded for item in batch]))
        except Exception as error:
            if len(batch) == 1:
                _logger.exception("The model failed at an example.")
                first.answer({batch[0].number: Answer(error)})
            else:
                for item in batch:
                    self._answer([item])
            return
        for item, answer in zip(batch, answers, strict=True):
            item.request.answer({item.number: answer})
