"""One fine-tuning run: from files of examples to a folder with a model, its scores and its report."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from types import FrameType, NoneType
from typing import Any

import torch

from bertkit.checkpoint import safetensors_file
from bertkit.data.examples import Examples
from bertkit.data.json_line import line_of
from bertkit.errors import BertkitError, FileFormatError, Setting, UsageError
from bertkit.hub.disk import whole_file
from bertkit.models.torch.arrays import tensor_of
from bertkit.pipelines import Pipeline, pipeline
from bertkit.training import checkpoints
from bertkit.training.batches import Unit, batches_of
from bertkit.training.distributed import load_whole, whole_model
from bertkit.training.evaluation import Evaluation, evaluate_pipeline
from bertkit.training.events import EventWriter
from bertkit.training.journal import Journal
from bertkit.training.loop import Finetuner, Step
from bertkit.training.objectives import Objective, device_of
from bertkit.training.opening import Opened, given_options, without_adapters
from bertkit.training.options import Settings
from bertkit.training.progress import Progress, resident_memory

LOWER_IS_BETTER = ("loss", "mse", "mae", "rmse", "mean_squared_error", "mean_absolute_error")

_FREE = ("resume", "overwrite", "out", "keep", "log_steps", "save_steps", "train", "eval", "model", "device")
"""Options that a resumed run may change without another result, if its examples are the same."""


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
        stops = False  # the same in all processes, which a signal reaches at different times
        try:
            with self._ctrl_c():
                while not (self.tuner.finished or stops or self._has_no_patience()):
                    step = self.tuner.step()
                    self.seconds, self.tokens = before + time.monotonic() - began, self.tokens + step.tokens
                    stops = self.tuner.processes.any(self.stopped)
                    if progress:
                        progress.step(step.step, step.loss, step.learning_rate, step.tokens)
                    self._log(journal, events, step)
                    if self._is_due(self.settings.eval_steps, step):
                        with progress.evaluating() if progress else nullcontext():
                            self._evaluate(journal, events, step)
                    is_best = self.best.step == step.step
                    if is_best or stops or self._is_due(self.settings.save_steps or self.settings.eval_steps, step):
                        self.save()
        finally:
            for open_one in (progress, journal, events):
                if open_one is not None:
                    open_one.close()
        return not stops

    def _progress(self) -> Progress:
        tuner, left = self.tuner, self.tuner.total_steps - self.tuner.position.step
        every = self.settings.eval_steps or tuner.steps_per_epoch
        evaluations = 0 if self.eval is None else -(-left // every)
        on_gpu = device_of(tuner.model).type == "cuda"
        memory = torch.cuda.memory_allocated if on_gpu else resident_memory
        return Progress(tuner.total_steps, evaluations=evaluations, first_step=tuner.position.step, memory=memory)

    def _is_due(self, every: int | None, step: Step) -> bool:
        """Return whether something that happens every so many steps, or at the end of each epoch, happens now."""
        if self.tuner.finished:
            return True
        return self.tuner.position.at == 0 if every is None else step.step % every == 0

    def _log(self, journal: Journal | None, events: EventWriter | None, step: Step) -> None:
        due = step.step == 1 or self.tuner.finished or step.step % self.settings.log_steps == 0
        if journal is None or events is None or not due:
            return
        values = {"loss": step.loss, "learning_rate": step.learning_rate, "grad_norm": step.grad_norm}
        rate = {"tokens_per_second": self.tokens / max(time.monotonic() - self._began, 1e-9)}
        journal.add("step", step=step.step, epoch=step.epoch, **values, **rate, seconds=self.seconds)
        events.scalars(step.step, {f"train/{name}": value for name, value in values.items()})

    def _has_no_patience(self) -> bool:
        """Return whether as many evaluations as `patience` says had no better score."""
        return self.settings.patience is not None and self.best.since >= self.settings.patience

    def _evaluate(self, journal: Journal | None, events: EventWriter | None, step: Step) -> None:
        """Evaluate, and compare with the best score. An undefined score (nan) is never the best."""
        if self.evaluate is None:
            return
        scores = {"loss": eval_loss(self.tuner, self.eval_units or []), **self.evaluate().scores}
        value = scores[self.metric]
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        if not math.isnan(value) and (self.best.value is None or sign * value > sign * self.best.value):
            self.best = Best(step.step, value)
        else:
            self.best.since += 1
        if journal and events:
            journal.add("eval", step=step.step, epoch=step.epoch, **scores, seconds=self.seconds)
            events.scalars(step.step, {f"eval/{name}": value for name, value in scores.items()})

    # Checkpoints.

    def save(self) -> None:
        """Write a checkpoint, and remove older ones."""
        (values, tensors), model = self.tuner.state(), whole_model(self.tuner.model)
        if self.tuner.processes.is_first:
            values |= {"best": asdict(self.best), "settings": settings_dict(self.settings), "labels": self._labels()}
            adapters = _adapters(self.tuner.model)
            tensors |= {f"adapter.{name}": tensor for name, tensor in adapters.items()}
            checkpoints.save(self.folder, self.tuner.position.step, partial(self.save_model, model), values, tensors)
            checkpoints.remove_old(self.folder, self.settings.keep, self.best.step)
        self.tuner.processes.wait()

    def save_model(self, model: Any, folder: Path) -> None:
        """Write a normal model folder, with adapters merged."""
        without_adapters(model).save_pretrained(folder)
        task = self.opened.task
        task.tokenizer.save_pretrained(folder)
        task.save(folder, task.options(given_options(task, self.settings)))

    def resume(self, checkpoint: Path, note: Callable[[str], object] = lambda sentence: None) -> None:
        """Continue from a checkpoint. A note says which options are not those of the interrupted run."""
        values, tensors = checkpoints.load(checkpoint)
        try:
            self._restore(checkpoint, values, tensors, note)
        except BertkitError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FileFormatError(
                f"{checkpoint} is damaged ({reason}): remove it, so that an earlier one is used, or type ",
                Setting("overwrite", True),
                " for a new run.",
            ) from error

    def _restore(
        self, checkpoint: Path, values: dict[str, Any], tensors: dict[str, torch.Tensor], note: Callable[[str], object]
    ) -> None:
        if values["labels"] != self._labels():
            raise UsageError(
                f"The interrupted run had the labels {', '.join(values['labels'][:20])} in this order: pass the same ones, or ",
                Setting("overwrite", True),
                " for a new run.",
            )
        now = settings_dict(self.settings)
        changed = [name for name, value in values["settings"].items() if name not in _FREE and now.get(name) != value]
        if changed:
            shown = ", ".join(f"{name} was {values['settings'][name]!r} and is {now.get(name)!r}" for name in changed)
            note(f"The options are not those of the interrupted run, so that the result differs: {shown}.")
        self.load_weights(checkpoint, tensors)
        self.tuner.restore(values, tensors)
        self.best = Best(**values["best"])
        if not isinstance(self.best.step, (int, NoneType)) or not isinstance(self.best.value, (int, float, NoneType)):
            raise ValueError("its best score is not a number")

    def _labels(self) -> list[str]:
        return [str(name) for name in self.opened.task.config.id2label.values()]

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


def evaluation_of(opened: Opened, model: Any, examples: Examples, settings: Settings, intervals: bool) -> Evaluation:
    """Evaluate a model in training, and store its tuned thresholds in its configuration. All processes call it."""
    model = whole_model(model).eval()
    tune = settings.tune_thresholds is not False and settings.null_score_diff_threshold is None
    whole = pipeline(opened.task.name, model=model, tokenizer=opened.task.tokenizer)
    pipe = Pipeline(opened.task, whole.engine)  # this task knows the files of the original model
    try:
        return evaluate_pipeline(
            pipe,
            examples,
            on_bad=settings.on_bad,
            options=given_options(opened.task, settings),
            average=settings.average,
            intervals=intervals,
            tune_thresholds=tune,
        )
    finally:
        model.train()


def _adapters(model: Any) -> dict[str, torch.Tensor]:
    """Return the trained parameters of a model with adapters."""
    if not hasattr(model, "peft_config"):
        return {}
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def settings_dict(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values. Examples that were passed as an object are shown by their type only.

    >>> settings_dict(Settings(task="ner", model="m", train=[{"words": ["Ada"]}], class_weights={"O": 0.5}))["train"]
    'list'
    """
    return {option.name: _plain(getattr(settings, option.name)) for option in fields(settings)}


def _plain(value: Any) -> Any:
    """Return an option as a JSON value: a path as a string, and the type of data."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return list(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file atomically. Undefined numbers (nan) become null."""
    with whole_file(path) as file:
        file.write(line_of(values))
