"""What all routes share: the settings, the models, the queue and the metrics."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from bertkit.pipelines import Pipeline
from bertkit.pipelines.calls import options_of
from bertkit.serve.metrics import Metrics
from bertkit.serve.models import Models, open_all
from bertkit.serve.queue import Queue
from bertkit.serve.refusals import invalid
from bertkit.serve.settings import Settings
from bertkit.serve.waiting import Outcome
from bertkit.serve.writing import bounded
from bertkit.tasks.base import TaskOptions

_logger = logging.getLogger("bertkit.serve")

Result = TypeVar("Result")


class Server:
    """The models of a server and their queue."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.models, self.metrics = settings, Models(), Metrics()
        self.queue = Queue(settings.limits, self.metrics.batch)
        self.on_failure: Callable[[Exception], None] = lambda error: None  # called if a model cannot be opened

    def load(self) -> None:
        """Open the models, if they are not open. The server is ready afterwards."""
        if not self.models:
            self.models.update(open_all(self.settings))

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return bool(self.models) and self.queue.open

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the models beside the first requests. At the end, answer the waiting requests."""
        loading = asyncio.create_task(self._load())
        try:
            yield
        finally:
            loading.cancel()
            await asyncio.to_thread(self.queue.close)
            gc.unfreeze()  # a program that goes on can free the models

    async def _load(self) -> None:
        try:
            await asyncio.to_thread(self.load)
        except Exception as error:
            _logger.error("The model cannot be opened: %s", error)
            self.on_failure(error)
        else:
            gc.collect()
            gc.freeze()  # collections between requests do not look through the libraries and the models again
            _logger.info("ready", extra={"fields": {"models": list(self.models)}})

    def options(self, pipe: Pipeline, given: Mapping[str, Any]) -> TaskOptions:
        """The checked options of a task. Raise Refusal for options that have no meaning in a request."""
        if "return_tensors" in given:
            raise invalid("return_tensors has no effect on a server, as answers are JSON: leave it out.")
        return bounded(pipe, options_of(pipe.task, given), self.settings.max_new_tokens)

    async def answers(self, pipe: Pipeline, examples: Sequence[Any], given: Mapping[str, Any]) -> Outcome:
        """The answers to examples. If the caller is cancelled, they leave the queue."""
        most = self.settings.max_client_batch_size
        if len(examples) > most:
            raise invalid(
                f"The request has {len(examples)} inputs, and this server accepts {most}: send fewer at once."
            )
        options = self.options(pipe, given)
        future = self.queue.submit(pipe, examples, options, self.settings.timeout)
        async with asyncio.timeout(self.settings.timeout):
            return await asyncio.wrap_future(future)

    async def beside(self, work: Callable[[], Result]) -> Result:
        """The result of a function that tokenizes, from the thread that encodes."""
        async with asyncio.timeout(self.settings.timeout):
            return await asyncio.wrap_future(self.queue.beside(work))


def first_error(outcome: Outcome) -> Outcome:
    """The outcome. Raise the error of the first invalid example."""
    for answer in outcome.answers:
        if isinstance(answer.value, Exception):
            raise answer.value
    return outcome
