"""One setting of a model in a process of its own, so that its memory is its own: `python -m bertkit.measuring.contestant`.

Each line of its input is a request in JSON, and each line of its output the answer. The first request opens the pipeline.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from bertkit.data.json_line import line_of
from bertkit.errors import BertkitError
from bertkit.logging import disable_progress_bar, set_verbosity_error
from bertkit.measuring.agreement import Kind, mean_vectors
from bertkit.memory import resident_memory
from bertkit.pipelines import pipeline
from bertkit.pipelines.calls import options_of


class Contestant:
    """A pipeline in one setting, and the examples that it answers."""

    def __init__(self, examples: list[Any], options: dict[str, Any], **opening: Any) -> None:
        began = time.perf_counter()
        self.pipe = pipeline(**opening)
        self.examples, self.options = examples, options
        self.pipe.each(examples[:1], **options)
        self.opened = {"seconds": time.perf_counter() - began, "precision": self.pipe.precision}

    def all(self) -> dict[str, Any]:
        """Answer all examples in batches. Returns the number of tokens, and the time."""
        run = self.pipe.run(options_of(self.pipe.task, self.options))
        began = time.perf_counter()
        for _ in run.chunks(self.examples):
            pass
        return {"tokens": run.report.tokens, "seconds": time.perf_counter() - began, "peak": peak_memory()}

    def one_by_one(self, seconds: float) -> dict[str, Any]:
        """Answer examples by themselves, for some time. Returns the time of each."""
        times: list[float] = []
        total = 0.0
        while total < seconds or len(times) < min(len(self.examples), 10):
            example, began = self.examples[len(times) % len(self.examples)], time.perf_counter()
            self.pipe.each([example], **self.options)
            times.append(time.perf_counter() - began)
            total += times[-1]
        return {"times": times}

    def answers(self) -> dict[str, Any]:
        """The answers to all examples. Of vectors of tokens, their mean."""
        answers, kind = self.pipe.each(self.examples, **self.options), self._kind()
        return {"answers": mean_vectors(answers).tolist() if kind == "vectors" else answers, "kind": kind}

    def _kind(self) -> Kind:
        """What the answers are."""
        task = self.pipe.task_object
        if task.head == "Model":
            return "vectors" if task.name == "feature-extraction" else "numbers"
        regression = task.head == "ForSequenceClassification" and self.pipe.config.num_labels == 1
        return "numbers" if regression or task.name == "sentence-scoring" else "words"


def peak_memory() -> int:
    """The largest memory of this process so far, in bytes; 0 if the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux
        return resident_memory()


def serve(lines: Iterable[str], output: IO[bytes]) -> None:
    """Answer requests until the input ends. An error of bertkit is an answer, too."""
    contestant = None
    for line in lines:
        request = json.loads(line)
        name = request.pop("do")
        try:
            if name == "open":
                contestant = Contestant(**request)
                found: dict[str, Any] = contestant.opened
            else:
                found = getattr(contestant, name)(**request)
        except BertkitError as error:
            found = {"error": str(error)}
        output.write(line_of(found))
        output.flush()


if __name__ == "__main__":
    set_verbosity_error()
    disable_progress_bar()
    output, sys.stdout = sys.stdout.buffer, sys.stderr  # what a library prints is no answer
    serve(sys.stdin, output)
