"""A pipeline: a task with a tokenizer and an engine, called with examples.

A list gives a list. A stream (a generator, a file, a dataset) gives a generator, which holds at most 512 examples in memory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from bertkit.config import BertConfig
from bertkit.engines.base import Engine
from bertkit.errors import ConfigError, UsageError, described, one_of, worded
from bertkit.pipelines.calls import Calls, calls_of
from bertkit.pipelines.run import LOOK_AHEAD, Errors, Run, Workers, progress_bar
from bertkit.tasks.base import Task, TaskOptions, check_integer
from bertkit.tasks.embedding import write_recipe

if TYPE_CHECKING:
    from tqdm import tqdm

    from bertkit.pipelines.open import Weights
    from bertkit.tasks.base import Tokenizer
    from bertkit.tasks.embedding.quantization import Precision

_logger = logging.getLogger("bertkit")

_STAGES = ("preprocess", "_forward", "forward", "postprocess", "_sanitize_parameters")
"""Methods that subclasses of transformers' pipelines override."""


class Pipeline:
    """A task with a tokenizer and an engine. The function `pipeline` creates one."""

    of_task: ClassVar[str | None] = None  # the only task of the class; None: any task
    classes: ClassVar[dict[str, type[Pipeline]]] = {}  # task -> the class for it

    def __init_subclass__(cls) -> None:
        for name in _STAGES:
            if name in vars(cls):
                raise UsageError(
                    f"{cls.__name__} overrides {name}, which pipelines of bertkit never call: change the examples before "
                    "the call and the answers after it."
                )
        if "of_task" in vars(cls) and cls.of_task is not None:
            Pipeline.classes[cls.of_task] = cls

    def __init__(
        self,
        task: Task[Any],
        engine: Engine,
        batch_size: int | None = None,
        options: Mapping[str, Any] | None = None,
        weights: Weights | None = None,
    ) -> None:
        self._task, self.engine, self._weights = task, engine, weights
        self._reopen: Callable[[Any], Pipeline] | None = None  # opens it by its name in another process, on a device
        self._device: Any = None  # the device that was requested
        self.batch_size = batch_size
        self.defaults = MappingProxyType(dict(options or {}))  # read-only, as they are checked only here
        check_integer("batch_size", batch_size, least=1, none=True)
        if self.defaults:
            self._calls.check(self.defaults)

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._task.name

    @property
    def task_object(self) -> Task[Any]:
        """The task, which encodes examples and decodes the outputs of the model."""
        return self._task

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the task."""
        return self._task.tokenizer

    @property
    def config(self) -> BertConfig:
        """The configuration of the model."""
        return self.engine.config

    @property
    def device(self) -> Any:
        """The device of the engine."""
        return self.engine.device

    @property
    def gpus(self) -> int:
        """The number of GPUs that processes of this pipeline can share; 0 if the engine is on another device."""
        found: int = getattr(self.engine, "gpus", 0)
        return found

    @property
    def precision(self) -> str:
        """The type of the engine's numbers: "fp32", "bf16" and so on."""
        return self.engine.precision

    @cached_property
    def model(self) -> Any:
        """The PyTorch model: that of the engine, or else a new one with the same weights."""
        model = getattr(self.engine, "model", None)
        if model is None and self._weights is None:
            is_object = self._task.place is None
            what = "An engine that is passed as an object" if is_object else "An exported model"
            origin = "pass the name of a model" if is_object else "open the model that it was exported from"
            raise UsageError(f"{what} has no PyTorch model: {origin}.")
        return model if self._weights is None or model is not None else self._weights.model()

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the model and the tokenizer to a folder, which `pipeline` and `from_pretrained` can open.

        If the model has sentence-transformers files, these are written, too.

        Args:
            save_directory: the folder, which is created if necessary.
        """
        self.model.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)
        try:
            if self._task.place is not None:
                write_recipe(self._task.place, Path(save_directory))
        except ConfigError as error:
            _logger.warning("%s has only the BERT model, without its pooling: %s", save_directory, error)

    def __call__(
        self,
        *inputs: Any,
        batch_size: int | None = None,
        errors: Errors = "raise",
        progress: bool = False,
        num_workers: int | None = None,
        **options: Any,
    ) -> Any:
        """Return the answer to one example, a list of answers to a list, or a generator of answers to a stream.

        Args:
            inputs: the example or examples, in the form that the task takes.
            batch_size: the maximum number of rows in a batch.
            errors: "return" returns the error of an invalid example in place of its answer, "raise" raises it.
            progress: draw a progress bar with examples, tokens per second and time left.
            num_workers: no effect; accepted as in transformers.
            options: options of the task.
        """
        merged = {**self.defaults, **options}
        given, one = self._calls.read(inputs, merged)
        run = self._run(merged, batch_size, errors)
        if not one and not isinstance(given, (list, tuple)):
            return _answers(run, _items(given), partial(_bar, given, progress), first=1)
        listed = [given] if one else given
        answers = list(_answers(run, listed, partial(_bar, listed, progress)))
        found = answers[0] if one else answers
        return found if run.options.details else self._calls.finish(given, found, options)

    def each(self, examples: Sequence[Any], errors: Errors = "raise", **options: Any) -> list[Any]:
        """Return a list with one answer for each example.

        A call of the pipeline instead may take a list for one example, or return one answer for a list of one.

        Args:
            examples: examples of the task.
            errors: as in a call.
            options: options of the task.
        """
        return list(_answers(self._run({**self.defaults, **options}, None, errors), examples))

    def map(
        self,
        examples: Iterable[Any],
        output: str | os.PathLike[str] | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
        output_dtype: Precision = "float32",
        processes: int | None = None,
        batch_size: int | None = None,
        errors: Errors = "raise",
        progress: bool = False,
        **options: Any,
    ) -> Any:
        """Answer any number of examples, of which at most 1,024 are in memory, or with N processes 512 * (2 * N + 1).

        Without `output`, returns a generator of answers in order, the first ones at once. A thread reads and encodes the next
        examples. With `output`, writes the file as the commands do, and returns the counts of examples and tokens. `resume`
        continues a job that was interrupted, even by kill -9; the file is then equal to that of an uninterrupted one.

        Args:
            examples: a list, a generator, an open file of lines, a dataset.
            output: a file for the answers: .jsonl, .json, .csv, .tsv, .parquet, or .npy for vectors; None: yield them.
            resume: continue the interrupted job with this output. The answered examples, compared by their `repr`, must be the
                same again. Others may follow them; the last chunk then runs again, and its texts are counted twice.
            overwrite: replace the output and the results of an interrupted job.
            output_dtype: the type of the numbers of vectors in the file.
            processes: the number of processes with one thread each, which open the model by its name; None: this process. A
                script that starts processes needs `if __name__ == "__main__":`.
            batch_size: the maximum number of rows in a batch.
            errors: "return" returns or writes the error of an invalid example in place of its answer, "raise" raises it.
            progress: draw a progress bar.
            options: options of the task.
        """
        if isinstance(examples, (str, Mapping)):
            raise UsageError(
                f"{described(examples)} is one example: pass a list or a stream of examples, or call the pipeline."
            )
        from bertkit.pipelines.bulk.job import File, write_file

        items, checked = _items(examples), self._checked({**self.defaults, **options})
        file = File(output, resume, overwrite, output_dtype)
        layout, bar = file.layout(type(self._task), checked, checked.details), partial(_bar, examples, progress)
        if layout is None:
            run, workers = self.run(checked, batch_size, errors), self.workers(processes, batch_size, checked)
            return _answers(run, items, bar, first=1, ahead=True, workers=workers)
        if resume and self._reopen is None:
            raise UsageError(
                "Only a pipeline that was opened by the name of a model can resume a job: leave resume out."
            )
        return write_file(self, checked, items, file.opened(layout), batch_size, processes, errors, bar)

    def workers(self, processes: int | None, batch_size: int | None, options: TaskOptions) -> Workers | None:
        """A function that answers chunks in other processes; None without `processes`.

        Args:
            processes: their number.
            batch_size: the maximum number of rows in a batch.
            options: the options of the task.
        """
        if processes is None:
            return None
        if self._reopen is None:
            raise UsageError(
                "Only a model that is passed by name can be opened in other processes: leave processes out."
            )
        from bertkit.pipelines.bulk.answering import devices_of, in_processes

        devices = devices_of(processes, self._device, self.gpus)
        return in_processes(self._reopen, devices, options, batch_size or self.batch_size)

    def run(self, options: TaskOptions, batch_size: int | None = None, errors: Errors = "raise") -> Run:
        """A `Run` with checked options, for programs that need chunks, counts and errors.

        Args:
            options: the options of the task.
            batch_size: the maximum number of rows in a batch.
            errors: as in a call.
        """
        if errors != "raise":
            one_of("errors", errors, ("raise", "return"))
        check_integer("batch_size", batch_size, least=1, none=True)
        return Run(self._task, self.engine, options, batch_size or self.batch_size, errors)

    def _run(self, options: Mapping[str, Any], batch_size: int | None, errors: Errors) -> Run:
        return self.run(self._checked(options), batch_size, errors)

    def _checked(self, options: Mapping[str, Any]) -> TaskOptions:
        return self.options if options == self.defaults else self._calls.options(options)

    @cached_property
    def _calls(self) -> Calls:
        """The calling convention of the task."""
        return calls_of(type(self._task))

    @cached_property
    def options(self) -> TaskOptions:
        """The options of a call without options, checked once."""
        return self._calls.options(self.defaults)


def _answers(
    run: Run,
    examples: Iterable[Any],
    bar: Callable[[], tqdm[Any] | None] = lambda: None,
    first: int = LOOK_AHEAD,
    ahead: bool = False,
    workers: Workers | None = None,
) -> Generator[Any, None, None]:
    """Yield the answers to examples. At the end, log a warning if texts were cut."""
    try:
        for _, answers in run.chunks(examples, first, bar=bar(), ahead=ahead, workers=workers):
            yield from (answer.shown(run.options.details) for answer in answers)
    finally:
        if message := run.warning():
            _logger.warning(worded(message))


def _bar(examples: Any, progress: bool) -> tqdm[Any] | None:
    return progress_bar(len(examples) if isinstance(examples, Sized) else None) if progress else None


def _items(given: Any) -> Iterable[Any]:
    """A stream of examples."""
    if hasattr(given, "readline"):
        return _lines(given)
    if not hasattr(given, "__iter__") and hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        return (given[index] for index in range(len(given)))
    if isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray)):
        return given
    raise UsageError(f"{described(given)} is invalid: pass an example, or a list or stream of examples.")


def _lines(file: Iterable[Any]) -> Iterator[str]:
    for line in file:
        if not isinstance(line, str):
            raise UsageError('The file is open in binary mode, but text is needed: type open(path, encoding="utf-8").')
        yield line.rstrip("\r\n")
