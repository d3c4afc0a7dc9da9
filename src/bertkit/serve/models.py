"""The models of a server, with a pipeline for each task that they can do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from bertkit.errors import UsageError
from bertkit.heads import tasks_of
from bertkit.pipelines import Pipeline, pipeline
from bertkit.pipelines.open import same_model
from bertkit.serve.refusals import Refusal, invalid
from bertkit.serve.settings import Settings
from bertkit.tasks import ALIASES, task_class

_FOR_TRAINING = ("sentence-embedding", "pretraining")
"""Tasks without a route, as other tasks give the same answers."""

_WARM_UP = 3.0
"""The seconds after which a model that runs texts of several lengths begins no other one, and is ready."""


@dataclass(frozen=True)
class Model:
    """An open model."""

    name: str
    task: str  # its main task
    pipes: dict[
        str, Pipeline
    ]  # task -> pipeline; all share one engine, but for a decoder, which writes with another one

    @classmethod
    def open(cls, name: str, where: str, settings: Settings, task: str | None = None) -> Model:
        """Open a model, and run it a few times, as the first runs are slow."""
        made = _open(task, where, settings)
        pipes = {made.task: made}
        for other in _tasks(made):
            if other not in pipes and _can(made, other, settings):
                writes = task_class(other).writes
                alike = next((pipe for pipe in pipes.values() if pipe.task_object.writes == writes), None)
                pipes[other] = _open(other, where, settings) if alike is None else same_model(alike, other)
        opened = cls(name, made.task, pipes)
        opened._warm_up()
        return opened

    @property
    def main(self) -> Pipeline:
        """The pipeline of the main task."""
        return self.pipes[self.task]

    def pipe(self, task: str | None) -> Pipeline:
        """The pipeline of a task, or of the main one. Raise Refusal if the model cannot do it."""
        name = self.task if task is None else ALIASES.get(task, task)
        if name not in self.pipes:
            known = ", ".join(self.pipes)
            raise invalid(f"The model {self.name} cannot do the task {name!r:.80}: choose one of {known}.")
        return self.pipes[name]

    def _warm_up(self) -> None:
        """Run rows of a few lengths, so that memory and compiled code are ready for the first request."""
        pipes, began = {pipe.engine: pipe for pipe in self.pipes.values()}, time.monotonic()
        for length in (4, 32, 128, 512):
            for pipe in pipes.values():
                if time.monotonic() - began < _WARM_UP:
                    _try(pipe, "a " * length)


class Models(dict[str, Model]):
    """The models of a server by name, the default one first. Empty until they are loaded."""

    def named(self, name: Any) -> Model:
        """A model by its name, or the default one for None. Raise Refusal if there is none, or while they are loading."""
        if not self:
            raise Refusal(
                503, "Unhealthy", "The model is still loading: send the request again later.", {"retry-after": "5"}
            )
        if name is None:
            return next(iter(self.values()))
        if not isinstance(name, str) or name not in self:
            raise Refusal(404, "NotFound", f"There is no model {name!r:.80}: choose one of {', '.join(self)}.")
        return self[name]


def open_all(settings: Settings) -> dict[str, Model]:
    """Open the models of a server. `settings.task` is that of the first one."""
    tasks = [settings.task] + [None] * len(settings.models)
    return {
        name: Model.open(name, where, settings, task)
        for (name, where), task in zip(settings.models.items(), tasks, strict=False)
    }


def _open(task: str | None, where: str, settings: Settings) -> Pipeline:
    return pipeline(
        task, where, engine=settings.engine, precision=settings.precision, device=_device(settings.device),
        revision=settings.revision,
    )  # fmt: skip


def _try(pipe: Pipeline, text: str) -> None:
    """Run a text, or write a word if the task writes."""
    if pipe.task_object.writes:
        pipe.each(["a"], max_new_tokens=1)
    else:
        same_model(pipe, "feature-extraction").each([text], pooling="mean", on_long="window")


def _tasks(made: Pipeline) -> list[str]:
    """The tasks of the class of a model. A decoder that is open for another task can also write."""
    predicts_words = "sentence-scoring" in (tasks := tasks_of(made.engine.head))
    return tasks_of("LMHeadModel") if predicts_words and made.config.is_decoder else tasks


def _can(made: Pipeline, task: str, settings: Settings) -> bool:
    """Whether a model has a route for a task of its class. Zero-shot classification needs a label for entailment."""
    if task == "zero-shot-classification":
        return any(label.lower().startswith("entail") for label in made.config.label2id)
    job = task_class(task)
    if task in _FOR_TRAINING or (job.writes and not _can_write(settings)):
        return False
    try:
        job.check_config(made.config)
    except UsageError:
        return False
    return True


def _can_write(settings: Settings) -> bool:
    """Whether the settings allow for the engine of tasks that write."""
    return settings.engine in ("auto", "torch") and settings.precision != "int8" and find_spec("torch") is not None


def _device(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.lstrip("-").isdigit() else given
