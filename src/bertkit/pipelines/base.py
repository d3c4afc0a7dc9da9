"""A pipeline: a task with a tokenizer and an engine, called with examples.

A list gives a list. A stream (a generator, a file, a dataset) gives a generator that holds at most some hundred examples.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Sized
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from bertkit.config import BertConfig
from bertkit.engines.base import Engine
from bertkit.errors import ConfigError, UsageError, described, one_of, worded
from bertkit.pipelines.calls import Calls, calls_of
from bertkit.pipelines.run import LOOK_AHEAD, Errors, Run, progress_bar
from bertkit.tasks.base import Task, TaskOptions, whole
from bertkit.tasks.embedding import write_recipe

if TYPE_CHECKING:
    from bertkit.pipelines.open import Weights
    from bertkit.tasks.base import Tokenizer

_logger = logging.getLogger("bertkit")


_STAGES = ("preprocess", "_forward", "forward", "postprocess", "_sanitize_parameters")
"""Methods of transformers' pipelines that subclasses replace."""


class Pipeline:
    """A task with a tokenizer and an engine. `pipeline` makes one."""

    of_task: ClassVar[str | None] = None  # the task of a class for one task
    classes: ClassVar[dict[str, type[Pipeline]]] = {}  # by their tasks

    def __init_subclass__(cls) -> None:
        for name in _STAGES:
            if name in vars(cls):
                raise UsageError(
                    f"{cls.__name__} has its own {name}, which no pipeline of bertkit calls: change the examples before the "
                    "call and the answers after it."
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
        self.batch_size = batch_size
        self.defaults = MappingProxyType(dict(options or {}))  # read-only, as they are checked once
        whole("batch_size", batch_size, least=1, none=True)
        if self.defaults:
            self._calls.check(self.defaults)  # a misspelt option raises now

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._task.name

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns texts into rows."""
        return self._task.tokenizer

    @property
    def config(self) -> BertConfig:
        """That of the model."""
        return self.engine.config

    @property
    def device(self) -> Any:
        """Where the engine computes."""
        return self.engine.device

    @property
    def precision(self) -> str:
        """The type of numbers that the engine computes with: "fp32", "bf16" and so on."""
        return self.engine.precision

    @cached_property
    def model(self) -> Any:
        """The model of PyTorch: that of the engine, or else one that is made of the same weights when it is first read."""
        model = getattr(self.engine, "model", None)
        if model is None and self._weights is None:
            raise UsageError(f"The {type(self.engine).__name__} of this pipeline has no model of PyTorch.")
        return model if self._weights is None or model is not None else self._weights.model()

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the model and the tokenizer to a folder, from which `pipeline` and `from_pretrained` read them.

        The files of sentence-transformers, where the model has them, are written too.


        Args:
            save_directory: the folder, which is made where there is none.
        """
        self.model.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)
        try:
            if self._task.place is not None:
                write_recipe(self._task.place, Path(save_directory))
        except ConfigError as error:
            _logger.warning("%s has the BERT alone, without its pooling: %s", save_directory, error)

    def __call__(
        self,
        *inputs: Any,
        batch_size: int | None = None,
        errors: Errors = "raise",
        progress: bool = False,
        num_workers: int | None = None,
        **options: Any,
    ) -> Any:
        """The answer to one example, the list of answers to a list, or a generator of answers to a stream of examples.

        Args:
            inputs: what the task takes.
            batch_size: the most rows that are run at once.
            errors: "return" puts the error of a wrong example where its answer would be, "raise" stops there.
            progress: draw a bar: examples, tokens a second, time left.
            num_workers: accepted and without effect, as in transformers for lists.
            options: options of the task.
        """
        merged = {**self.defaults, **options}
        given, one = self._calls.read(inputs, merged)
        run = self._run(merged, batch_size, errors)
        if not one and not isinstance(given, (list, tuple)):
            return _answers(run, _items(given), progress, first=1)
        answers = list(_answers(run, [given] if one else given, progress))
        found = answers[0] if one else answers
        return found if run.options.details else self._calls.finish(given, found, options)

    def each(self, examples: Sequence[Any], errors: Errors = "raise", **options: Any) -> list[Any]:
        """An answer for each example. A call may take a list for one example, or give one answer to a list of one; this does not.

        Args:
            examples: of the task, one each.
            errors: as of a call.
            options: options of the task.
        """
        return list(_answers(self._run({**self.defaults, **options}, None, errors), examples))

    def run(self, options: TaskOptions, batch_size: int | None = None, errors: Errors = "raise") -> Run:
        """The loop over examples, with checked options: for front ends that want chunks, counts and errors.

        Args:
            options: of the task, all of them.
            batch_size: the most rows that are run at once.
            errors: as of a call.
        """
        if errors != "raise":
            one_of("errors", errors, ("raise", "return"))
        whole("batch_size", batch_size, least=1, none=True)
        return Run(self._task, self.engine, options, batch_size or self.batch_size, errors)

    def _run(self, options: Mapping[str, Any], batch_size: int | None, errors: Errors) -> Run:
        checked = self._own_options if options == self.defaults else self._calls.options(options)
        return self.run(checked, batch_size, errors)

    @cached_property
    def _calls(self) -> Calls:
        """How the task is called."""
        return calls_of(type(self._task))

    @cached_property
    def _own_options(self) -> TaskOptions:
        """Those of a call without options."""
        return self._calls.options(self.defaults)


def _answers(
    run: Run, examples: Iterable[Any], progress: bool = False, first: int = LOOK_AHEAD
) -> Generator[Any, None, None]:
    """The answers to examples. At the end, a warning about texts that were cut."""
    total = len(examples) if isinstance(examples, Sized) else None
    bar = progress_bar(total) if progress else None
    try:
        for _, answers in run.chunks(examples, first, bar=bar):
            yield from (answer.shown(run.options.details) for answer in answers)
    finally:
        if message := run.warning():
            _logger.warning(worded(message))


def _items(given: Any) -> Iterable[Any]:
    """A stream of examples."""
    if hasattr(given, "readline"):
        return _lines(given)
    if not hasattr(given, "__iter__") and hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        return (given[index] for index in range(len(given)))
    if isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray)):
        return given
    raise UsageError(f"{described(given)} is neither an example nor a list or stream of them.")


def _lines(file: Iterable[Any]) -> Iterator[str]:
    for line in file:
        if not isinstance(line, str):
            raise UsageError('The file is open for bytes, and texts are needed: type open(path, encoding="utf-8").')
        yield line.rstrip("\r\n")
