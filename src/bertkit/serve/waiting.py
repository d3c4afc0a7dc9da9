"""The examples that wait for a model, and the requests that they belong to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bertkit.pipelines import Pipeline
from bertkit.pipelines.run import Answer
from bertkit.serve.writing import work_of
from bertkit.tasks.base import Encoded, TaskOptions


class Outcome(NamedTuple):
    """The answers to the examples of a request, and how long each step took, in seconds."""

    answers: list[Answer]  # the value of an invalid example is an exception
    encoding: float
    waiting: float
    computing: float

    @property
    def tokens(self) -> int:
        """The number of tokens in all texts of the request."""
        return sum(answer.reading.n_tokens for answer in self.answers if answer.reading)


@dataclass(eq=False)
class Request:
    """The examples of a submitted request, and their answers so far."""

    pipe: Pipeline
    options: TaskOptions
    examples: Sequence[Any]
    deadline: float
    future: Future[Outcome] = field(default_factory=Future)
    answers: dict[int, Answer] = field(default_factory=dict)  # number of the example -> answer
    encoding: float = 0.0
    encoded: float = 0.0  # time at which it was encoded
    started: float | None = None  # time at which its first batch started
    written: int = field(init=False)  # words that may be written for each row

    def __post_init__(self) -> None:
        self.written = work_of(self.pipe, self.options)

    @property
    def group(self) -> tuple[str, str]:
        """Examples of the same group can be in one batch."""
        return self.pipe.task, repr(self.options)

    def answer(self, answers: dict[int, Answer]) -> None:
        """Add answers, by the numbers of their examples. The last one completes the future."""
        self.answers.update(answers)
        if len(self.answers) == len(self.examples):
            now = time.monotonic()
            started = now if self.started is None else self.started
            ordered = [self.answers[number] for number in range(len(self.examples))]
            with contextlib.suppress(InvalidStateError):  # cancelled
                self.future.set_result(Outcome(ordered, self.encoding, started - self.encoded, now - started))

    def fail(self, error: BaseException) -> None:
        """Complete the future with an error."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)


@dataclass(eq=False)
class Item:
    """An encoded example that waits."""

    request: Request
    number: int  # of the example in its request
    encoded: Encoded

    @property
    def tokens(self) -> int:
        """The most tokens that the model computes for it."""
        return sum(len(row) + self.request.written for row in self.encoded.rows)


class Line:
    """The waiting examples of one model, in the order of their arrival."""

    def __init__(self) -> None:
        self.items: dict[Item, None] = {}
        self.computed = 0  # tokens, since the server started

    @property
    def first(self) -> Item:
        """The example that is needed first."""
        return min(self.items, key=lambda item: item.request.deadline)

    def take(self, most: int) -> list[Item]:
        """Remove and return the examples of the next batch. The first one may have more tokens than `most`."""
        first = self.first
        group = first.request.group
        others = (item for item in self.items if item is not first and item.request.group == group)
        taken, tokens = [first], first.tokens
        for item in sorted(others, key=lambda item: item.request.deadline):
            if tokens + item.tokens <= most:
                taken.append(item)
                tokens += item.tokens
        for item in taken:
            del self.items[item]
        self.computed += tokens
        return taken
