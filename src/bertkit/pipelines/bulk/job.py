"""The answers to a stream of examples become a file: the part that commands and `Pipeline.map` share."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from bertkit.checkpoint.identity import identity
from bertkit.data.json_line import line_of
from bertkit.errors import BertkitError, Setting, UsageError, worded
from bertkit.pipelines.bulk.partial import Partial
from bertkit.pipelines.bulk.results import OVERWRITE, RESUME, Layout
from bertkit.pipelines.bulk.vectors import pack
from bertkit.pipelines.run import LOOK_AHEAD, Answer, Elsewhere, Errors, Report, Run
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
    elsewhere: Elsewhere | None = None,
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
        elsewhere: answers chunks in other processes; None: in this one.
        most: the most examples of a chunk.
    """
    vectors = partial.layout.vectors is not None
    for chunk, answers in run.chunks(examples, most, most, partial.done, bar, ahead=True, elsewhere=elsewhere):
        check(answers)
        lines = []
        for row, answer in enumerate(answers, start=run.report.examples - len(chunk) + 1):
            if isinstance(answer.value, BertkitError):
                partial.failed.add(row, answer.value.worded(spell))
            elif vectors:
                answer = answer._replace(value=pack(answer.value))
            lines.append(line_of(value_of(answer, partial.layout.details, kept_of(row), spell)))
        partial.add(lines)
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
    """The file that a job writes."""

    output: str | os.PathLike[str]
    resume: bool = False
    overwrite: bool = False
    output_dtype: Precision = "float32"  # of vectors

    def layout(self, task: Task[Any], checked: TaskOptions) -> Layout:
        """What each line of the results has. Raises UsageError for options that have no effect."""
        if self.resume and self.overwrite:
            raise UsageError(RESUME, " keeps the results that ", OVERWRITE, " deletes: leave one of them out.")
        vectors = task.has_vectors(checked)
        if not vectors and self.output_dtype != "float32":
            raise UsageError(
                Setting("output_dtype", self.output_dtype), " needs one vector for each text: pass pooling, too."
            )
        return Layout((), checked.details, self.output_dtype if vectors else None)


def write_file(
    pipe: Pipeline,
    checked: TaskOptions,
    options: Mapping[str, Any],
    examples: Iterable[Any],
    file: File,
    batch_size: int | None,
    errors: Errors,
    elsewhere_of: Callable[[TaskOptions], Elsewhere | None],
    bar: tqdm[Any] | None,
) -> Report:
    """Answer examples into a file, for `Pipeline.map`, whose arguments these are. Returns counts of examples and tokens."""
    if "return_tensors" in options:
        raise UsageError("return_tensors has no effect on a file: leave it out.")
    place, layout = pipe.task_object.place, file.layout(pipe.task_object, checked)
    checked = checked if layout.vectors is None else with_arrays(checked)
    run = pipe.run(checked, batch_size, errors)
    elsewhere = elsewhere_of(checked)
    about = _about(pipe, options, batch_size)
    with Partial(os.fspath(file.output), "", about, layout, resume=file.resume, overwrite=file.overwrite) as partial:
        partial.start({} if place is None else identity(place))
        write_answers(run, partial.checked(examples), partial, bar=bar, elsewhere=elsewhere)
    if message := run.warning():
        _logger.warning(worded(message))
    return run.report


def with_arrays(options: TaskOptions) -> TaskOptions:
    """The options of feature extraction for answers that are arrays."""
    return cast(TaskOptions, replace(cast(Any, options), return_tensors="np"))


def _digest(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True, default=repr).encode(), digest_size=16).hexdigest()


def _about(pipe: Pipeline, options: Mapping[str, Any], batch_size: int | None) -> dict[str, Any]:
    """The settings that must be equal for one job to resume another."""
    place = pipe.task_object.place
    about = {
        "bertkit": import_module("bertkit").__version__,
        "task": pipe.task,
        "model": None if place is None else place.where,
        "engine": type(pipe.engine).__name__,
        "precision": pipe.precision,
        "device": str(pipe.device),
        "config": _digest(pipe.config.to_dict()),
        "tokenizer": _digest(pipe.tokenizer.get_vocab()),
        "batch_size": batch_size or pipe.batch_size,
        "options": dict(options),
    }
    found: dict[str, Any] = json.loads(json.dumps(about, default=repr))
    return found
