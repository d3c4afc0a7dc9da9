"""One fine-tuning run: from files of examples to a folder with a model, its scores and its report."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType, NoneType
from typing import Any

import torch

from bertkit.checkpoint import safetensors_file
from bertkit.data.examples import Examples
from bertkit.errors import BertkitError, FileFormatError, Setting, UsageError
from bertkit.hub.disk import whole_file
from bertkit.models.torch.arrays import tensor_of
from bertkit.pipelines import pipeline
from bertkit.training import checkpoints
from bertkit.training.batches import Unit, batches_of
from bertkit.training.distributed import load_whole, whole_model
from bertkit.training.evaluation import Evaluation, evaluate_pipeline
from bertkit.training.events import EventWriter
from bertkit.training.journal import Journal
from bertkit.training.loop import Finetuner, Step
from bertkit.training.objectives import Objective
from bertkit.training.opening import Opened, given_options, without_adapters
from bertkit.training.options import Settings
from bertkit.training.progress import Progress

LOWER_IS_BETTER = ("loss", "mse", "mae", "rmse", "mean_squared_error", "mean_absolute_error")


@dataclass
class Best:
    """The best evaluation so far."""

    step: int | None = None
    value: float | None = None
    since: int = 0  # evaluations without a better score


@dataclass
class Job:
    """The loop of a run: steps, evaluations, checkpoints, records. `run` returns whether it finished."""

    settings: Settings
    folder: Path
    opened: Opened
    tuner: Finetuner
    eval: Examples | None
    eval_units: list[Unit] | None
    metric: str
    evaluate: Callable[[], Evaluation] | None
    best: Best = field(default_factory=Best)
    stopped: bool = False  # by Ctrl-C
    seconds: float = 0.0
    tokens: int = 0  # since this process began
    _began: float = 0.0

    def run(self) -> bool:
        """Train until all steps are made, patience ends or Ctrl-C. Return whether the run is complete."""
        self._prepare_folder()
        first = self.tuner.processes.is_first
        journal = Journal(self.folder, self.tuner.position.step) if first else None
        began = self._began = time.monotonic()
        before = journal.seconds if journal else 0.0
        progress = self._progress() if first else None
        events = EventWriter(self.folder / "runs") if first else None
        ended_early = self._has_no_patience  # a resumed run that was complete
        try:
            with self._ctrl_c():
                while not self.tuner.finished and not self.stopped and not ended_early:
                    step = self.tuner.step()
                    self.seconds, self.tokens = before + time.monotonic() - began, self.tokens + step.tokens
                    self.stopped = self.tuner.processes.any(self.stopped)
                    if progress:
                        progress.step(step.step, step.loss, step.learning_rate, step.tokens)
                    self._log(journal, events, step)
                    if self._is_due(self.settings.eval_steps, step):
                        with progress.evaluating() if progress else nullcontext():
                            ended_early = self._evaluated(journal, events, step)
                    if (
                        self._is_due(self.settings.save_steps or self.settings.eval_steps, step)
                        or self._is_best(step)
                        or self.stopped
                    ):
                        self.save()
        finally:
            for open_one in (progress, journal, events):
                if open_one is not None:
                    open_one.close()
        return not self.stopped

    def _progress(self) -> Progress:
        tuner, left = self.tuner, self.tuner.total_steps - self.tuner.position.step
        every = self.settings.eval_steps or tuner.steps_per_epoch
        evaluations = 0 if self.eval is None else -(-left // every)
        return Progress(tuner.total_steps, evaluations=evaluations, first_step=tuner.position.step)

    def _is_due(self, every: int | None, step: Step) -> bool:
        """Return whether something that happens every so many steps, or at the end of each epoch, happens now."""
        if self.tuner.finished:
            return True
        return self.tuner.position.at == 0 if every is None else step.step % every == 0

    def _is_best(self, step: Step) -> bool:
        return self.best.step == step.step

    def _log(self, journal: Journal | None, events: EventWriter | None, step: Step) -> None:
        due = step.step == 1 or self.tuner.finished or step.step % self.settings.log_steps == 0
        if journal is None or events is None or not due:
            return
        values = {"loss": step.loss, "learning_rate": step.learning_rate, "grad_norm": step.grad_norm}
        rate = {"tokens_per_second": self.tokens / max(time.monotonic() - self._began, 1e-9)}
        journal.add("step", step=step.step, epoch=step.epoch, **values, **rate, seconds=self.seconds)
        events.scalars(step.step, {f"train/{name}": value for name, value in values.items()})

    def check_metric(self) -> None:
        """Raise UsageError before the training if an evaluation will not have the metric. All processes call it."""
        if self.eval is None or self.evaluate is None or self.metric == "loss":
            return
        part = evaluation_of(self.opened, self.tuner.model, self.eval[:64], self.settings, intervals=False)
        if self.metric not in part.scores:  # perhaps a score that needs an example of the rest
            self._check_has_metric({"loss": 0.0, **self.evaluate().scores})
        self.tuner.model.train()

    def _check_has_metric(self, scores: Mapping[str, float]) -> None:
        if self.metric not in scores:
            known = ", ".join(scores)
            raise UsageError(
                f"There is no score {self.metric!r}: choose one of {known}, as ", Setting("metric", "loss"), "."
            )

    def _evaluated(self, journal: Journal | None, events: EventWriter | None, step: Step) -> bool:
        """Evaluate, and return whether the run ends early, as `patience` says."""
        if self.evaluate is None:
            return False
        scores = {"loss": eval_loss(self.tuner, self.eval_units or []), **self.evaluate().scores}
        self._check_has_metric(scores)
        value = scores[self.metric]
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        if self.best.value is None or sign * value > sign * self.best.value:  # false for nan
            self.best = Best(step.step, value if math.isfinite(value) else None)
        else:
            self.best.since += 1
        if journal and events:
            journal.add("eval", step=step.step, epoch=step.epoch, **scores, seconds=self.seconds)
            events.scalars(step.step, {f"eval/{name}": value for name, value in scores.items()})
        return self._has_no_patience

    @property
    def _has_no_patience(self) -> bool:
        return self.settings.patience is not None and self.best.since >= self.settings.patience

    # Checkpoints.

    def save(self) -> None:
        """Write a checkpoint, and remove older ones."""
        (values, tensors), model = self.tuner.state(), whole_model(self.tuner.model)
        if self.tuner.processes.is_first:
            values |= {"best": asdict(self.best), "settings": self._essentials()}
            adapters = _adapters(self.tuner.model)
            tensors |= {f"adapter.{name}": tensor for name, tensor in adapters.items()}
            checkpoints.save(self.folder, self.tuner.position.step, partial(self.save_model, model), values, tensors)
            checkpoints.remove_old(self.folder, max(self.settings.keep, 1), self.best.step)
        self.tuner.processes.wait()

    def save_model(self, model: Any, folder: Path) -> None:
        """Write a normal model folder, with adapters merged."""
        without_adapters(model).save_pretrained(folder)
        task = self.opened.task
        task.tokenizer.save_pretrained(folder)
        task.save(folder, task.options(given_options(task, self.settings)))

    def resume(self, checkpoint: Path) -> None:
        """Continue from a checkpoint. Raise UsageError if the options have changed, FileFormatError if it is damaged."""
        values, tensors = checkpoints.load(checkpoint)
        try:
            checkpoints.check_same(values, self._essentials())
            self.load_weights(checkpoint, tensors)
            self.tuner.restore(values, tensors)
            self.best = Best(**values["best"])
            if not isinstance(self.best.step, (int, NoneType)) or not isinstance(
                self.best.value, (int, float, NoneType)
            ):
                raise ValueError("its best score is not a number")
        except BertkitError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FileFormatError(
                f"{checkpoint} is damaged ({reason}): remove it, so that an earlier one is used, or type ",
                Setting("overwrite", True),
                " for a new run.",
            ) from error

    def _essentials(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with the interrupted one, as JSON values."""
        config = self.opened.task.config
        return {**settings_dict(self.settings), "labels": [config.id2label[n] for n in sorted(config.id2label)]}

    def load_weights(self, checkpoint: Path, tensors: dict[str, torch.Tensor] | None = None) -> None:
        """Load the weights of a checkpoint into the model."""
        tensors = checkpoints.load(checkpoint)[1] if tensors is None else tensors
        adapters = {name.removeprefix("adapter."): t for name, t in tensors.items() if name.startswith("adapter.")}
        if adapters:
            load_whole(self.tuner.model, adapters, strict=False)
            return
        weights = {name: tensor_of(a) for name, a in safetensors_file.read(checkpoint / "model.safetensors").items()}
        load_whole(self.tuner.model, weights)

    def _prepare_folder(self) -> None:
        if self.tuner.processes.is_first:
            self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _ctrl_c(self) -> Iterator[None]:
        """Let the first Ctrl-C end the loop after the current step, with a checkpoint. A second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = True

        before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def eval_loss(tuner: Finetuner, units: list[Unit]) -> float:
    """Return the mean loss on examples, without dropout."""
    objective: Objective = tuner.objective.for_evaluation
    tuner.model.eval()
    total = weight = 0.0
    size = tuner.settings.batch_size if objective.is_joint else max(len(units), 1)
    with torch.no_grad():
        for at in range(0, len(units), size):
            batches = batches_of(
                units[at : at + size], tuner.settings.batch_tokens, objective.head == "ForMultipleChoice"
            )
            objective.begin_step(tuner.model, batches)
            for batch in batches:
                own = objective.weight(batch)
                total, weight = total + own * float(objective(tuner.model, batch)), weight + own
    tuner.model.train()
    return total / weight if weight else float("nan")


def evaluation_of(opened: Opened, model: Any, examples: Examples, settings: Settings, **options: Any) -> Evaluation:
    """Return the evaluation of a model in training, as `evaluate_pipeline` does. All processes call it."""
    model = whole_model(model).eval()
    pipe = pipeline(opened.task.name, model=model, tokenizer=opened.task.tokenizer)
    pipe._task = opened.task  # with the files of the original model
    try:
        return evaluate_pipeline(
            pipe, examples, options=given_options(opened.task, settings), average=settings.average, **options
        )
    finally:
        model.train()


def _adapters(model: Any) -> dict[str, torch.Tensor]:
    """Return the trained parameters of a model with adapters."""
    if not hasattr(model, "peft_config"):
        return {}
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def settings_dict(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values."""
    values = asdict(settings)
    return {
        name: value if isinstance(value, (str, int, float, bool, type(None))) else str(value)[:200]
        for name, value in values.items()
    }


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file atomically."""
    with whole_file(path) as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False).encode())
