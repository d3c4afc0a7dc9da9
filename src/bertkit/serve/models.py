"""The models of a server, with a pipeline for each task that they can do."""

from __future__ import annotations

import time
from dataclasses import dataclass
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

_WARM_UP = 20.0
"""The most seconds in which a model answers examples of several lengths before it is ready."""


@dataclass(frozen=True)
class Model:
    """An open model."""

    name: str
    task: str  # its main task
    pipes: dict[str, Pipeline]  # task -> pipeline; all share one engine

    @classmethod
    def open(cls, name: str, where: str, settings: Settings, task: str | None = None) -> Model:
        """Open a model, and run it a few times, as the first runs are slow."""
        made = pipeline(
            task, where, engine=settings.engine, precision=settings.precision, device=_device(settings.device),
            revision=settings.revision,
        )  # fmt: skip
        if made.task_object.writes:
            raise UsageError(f"The model {name} is for {made.task}, and the server has no tasks that write texts yet.")
        pipes = {made.task: made}
        for other in tasks_of(made.engine.head):
            if other not in pipes and _can(made, other):
                pipes[other] = same_model(made, other)
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
        embed, began = self.pipes["feature-extraction"], time.monotonic()
        for length in (4, 32, 128, 512):
            if time.monotonic() - began < _WARM_UP:
                embed.each(["a " * length], pooling="mean", on_long="window")


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


def _can(made: Pipeline, task: str) -> bool:
    """Whether a model has a route for a task of its class. Zero-shot classification needs a label for entailment."""
    if task == "zero-shot-classification":
        return any(label.lower().startswith("entail") for label in made.config.label2id)
    job = task_class(task)
    if job.writes or task in _FOR_TRAINING:
        return False
    try:
        job.check_config(made.config)
    except UsageError:
        return False
    return True


def _device(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.lstrip("-").isdigit() else given
