"""Measure a model in each setting: an engine and a precision.

Each setting takes turns with the reference, which is float32, so that a machine that becomes slower does so for both.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from bertkit.config import BertConfig
from bertkit.engines.base import ENGINES, PRECISIONS
from bertkit.errors import UsageError, did_you_mean, received
from bertkit.hub import locate
from bertkit.measuring.agreement import Agreement, agreement
from bertkit.measuring.process import Process, RefusedError
from bertkit.pipelines.open import exported_for, main_task
from bertkit.tasks import task_class
from bertkit.tasks.embedding import weights_place

_PRECISIONS = PRECISIONS[1:]  # without "auto"
LEAST_AGREEMENT = 0.995
"""The share of equal answers below which a setting is not recommended."""

_MOST_SECONDS = 3600

_ROUNDS = 3
"""The least number of turns of a setting, and of the reference beside it."""


class Candidate(NamedTuple):
    """An engine and a precision."""

    engine: str
    precision: str

    @classmethod
    def read(cls, text: str) -> Candidate:
        """Return the candidate of a text such as "torch:bf16". Raises UsageError for an unknown one.

        >>> Candidate.read("torch:bf16")
        Candidate(engine='torch', precision='bf16')
        """
        engine, _, precision = text.partition(":")
        if engine in ENGINES and precision in _PRECISIONS:
            return cls(engine, precision)
        near = "" if engine in ENGINES else did_you_mean(engine, ENGINES)
        raise UsageError(
            f"Unknown setting {text!r}: type an engine ({', '.join(ENGINES)}), a colon and a precision "
            f"({', '.join(_PRECISIONS)}), such as torch:bf16.{near}"
        )

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


CANDIDATES = tuple(Candidate(*pair) for pair in product(ENGINES, _PRECISIONS))


@dataclass(frozen=True)
class Figures:
    """What was measured of a candidate."""

    setting: Candidate
    tokens_per_second: float  # in batches, tokenization included
    faster: float  # than the reference, in the same turns
    p50: float  # seconds of an example by itself
    p95: float
    peak_bytes: int  # of the process
    opened_in: float  # seconds until the first answer
    agreement: Agreement


@dataclass
class Bench:
    """The figures of all candidates, the reference first, and why others were not measured."""

    task: str
    examples: int
    figures: list[Figures] = field(default_factory=list)
    refused: dict[Candidate, str] = field(default_factory=dict)

    def best(self, cost: Callable[[Figures], float]) -> Figures:
        """Return the candidate with the lowest cost among those whose answers are those of the reference."""
        return min((one for one in self.figures if one.agreement.same >= LEAST_AGREEMENT), key=cost)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON can have them."""
        rows = [{**one.setting._asdict(), **asdict(one), "setting": str(one.setting)} for one in self.figures]
        refused = {str(candidate): reason for candidate, reason in self.refused.items()}
        best = {"many": str(self.fastest.setting), "one": str(self.quickest.setting)}
        return {"task": self.task, "examples": self.examples, "figures": rows, "refused": refused, "best": best}

    @property
    def fastest(self) -> Figures:
        """The best candidate for many texts."""
        return self.best(lambda one: -one.faster)

    @property
    def quickest(self) -> Figures:
        """The best candidate for one text at a time."""
        return self.best(lambda one: one.p50)


def reference(model: str | os.PathLike[str]) -> Candidate:
    """Return the candidate with which others are compared: float32, or the only one of an exported model."""
    exported = exported_for(weights_place(locate(model)), "auto")
    return Candidate(exported, "auto") if exported else Candidate("torch" if find_spec("torch") else "numpy", "fp32")


def bench(
    model: str | os.PathLike[str],
    examples: Iterable[Any],
    *,
    task: str | None = None,
    settings: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    device: str | int | None = None,
    batch_size: int | None = None,
    seconds: float = 3.0,
    note: Callable[[str], object] | None = None,
) -> Bench:
    """Measure a model in each engine and precision that is installed, on your own examples and machine.

    Each setting runs in a process of its own.

    ```python
    found = bertkit.bench("my-model", texts)
    print(found.fastest.setting)
    ```

    Args:
        model: directory or Hub id of the model. An exported one is measured as it is, and compared with nothing.
        examples: examples of the task, each a string, a list or a dictionary.
        task: the name of the task; None: the main task of the model.
        settings: the settings to measure, such as "torch:bf16"; None: all that the model may have.
        options: options of the task.
        tokenizer: directory or Hub id of the tokenizer; None: that of the model.
        device: "cpu", "cuda", 0, -1; None: a GPU if possible.
        batch_size: the maximum number of rows in a batch; None: a few thousand tokens.
        seconds: the least time for each setting in batches, and again for single examples.
        note: called with the name of each setting before it is measured.
    """
    for name, given in (("examples", examples), ("settings", settings)):
        if isinstance(given, str):
            raise UsageError(received(name, given), " is a text, and must be a list of texts: write it in brackets.")
    examples = list(examples)
    if not examples:
        raise UsageError("bench received no examples: pass at least one.")
    if not 0 < seconds <= _MOST_SECONDS:
        raise UsageError(received("seconds", seconds), f" must be above 0, and at most {_MOST_SECONDS:,}.")
    first = reference(model)
    model = os.fspath(model)
    every = CANDIDATES if first.precision != "auto" else ()
    wanted = every if settings is None else [Candidate.read(text) for text in settings]
    task = task_class(task or main_task(BertConfig.from_pretrained(model), model)).name
    tokenizer = None if tokenizer is None else os.fspath(tokenizer)
    opening = {"model": model, "task": task, "tokenizer": tokenizer, "device": device, "batch_size": batch_size}
    request = {"examples": examples, "options": dict(options or {}), **opening}
    found = Bench(task, len(examples))
    note = note or (lambda setting: None)
    note(str(first))
    with _opened(request, first) as (base, opened):
        first, answers = first._replace(precision=opened["precision"]), base.ask("answers")
        found.figures.append(_figures(first, base, base, opened, answers, answers, seconds))
        if found.figures[0].agreement.same < 1:
            raise UsageError(f"{first} gives answers that are not finite numbers: check the weights of {model}.")
        for candidate in wanted:
            if candidate == first:
                continue
            note(str(candidate))
            try:
                with _opened(request, candidate) as (process, opened):
                    own = process.ask("answers")
                    found.figures.append(_figures(candidate, process, base, opened, own, answers, seconds))
            except RefusedError as error:
                if base.ended:
                    raise
                found.refused[candidate] = str(error)
    return found


@contextmanager
def _opened(request: dict[str, Any], candidate: Candidate) -> Iterator[tuple[Process, dict[str, Any]]]:
    """A process that has opened the model."""
    process = Process()
    try:
        yield process, process.ask("open", **request, **candidate._asdict())
    finally:
        process.close()


def _figures(
    candidate: Candidate,
    process: Process,
    base: Process,
    opened: dict[str, Any],
    own: dict[str, Any],
    theirs: dict[str, Any],
    seconds: float,
) -> Figures:
    """Measure an opened candidate in turns with the reference, which may be itself."""
    turns: list[dict[str, Any]] = []
    ratios: list[float] = []
    while len(turns) < _ROUNDS or sum(turn["seconds"] for turn in turns) < seconds:
        turns.append(process.ask("all"))
        ratios.append(1.0 if base is process else base.ask("all")["seconds"] / turns[-1]["seconds"])
    times = process.ask("one_by_one", seconds=seconds)["times"]
    return Figures(
        candidate,
        tokens_per_second=statistics.median(turn["tokens"] / turn["seconds"] for turn in turns),
        faster=statistics.median(ratios),
        p50=float(np.percentile(times, 50)),
        p95=float(np.percentile(times, 95)),
        peak_bytes=turns[-1]["peak"],
        opened_in=opened["seconds"],
        agreement=agreement(theirs["answers"], own["answers"], theirs["kind"]),
    )
