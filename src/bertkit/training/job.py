"""A run of the loop, with evaluations, checkpoints and records."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from types import FrameType, NoneType
from typing import Any

import torch

from bertkit.checkpoint import safetensors_file
from bertkit.data.json_line import line_of
from bertkit.errors import BertkitError, FileFormatError, Setting, UsageError
from bertkit.hub.disk import whole_file
from bertkit.memory import resident_memory
from bertkit.models.torch.arrays import tensor_of
from bertkit.training import checkpoints
from bertkit.training.distributed import load_whole, whole_model
from bertkit.training.events import EventWriter
from bertkit.training.folder import remove_run
from bertkit.training.journal import Journal
from bertkit.training.loop import Loop, Step
from bertkit.training.objectives import device_of
from bertkit.training.options import SharedSettings
from bertkit.training.progress import Progress

LOWER_IS_BETTER = ("loss", "mse", "mae", "rmse", "mean_squared_error", "mean_absolute_error")

_FREE = ("resume", "overwrite", "out", "keep", "log_steps", "save_steps", "train", "eval", "data", "model", "device")
"""Options that a resumed run may change without another result, if its examples are the same."""


class Stopped(Exception):  # noqa: N818 - like KeyboardInterrupt
    """A run that Ctrl-C has stopped, with a checkpoint from which `resume=True` continues."""


@dataclass
class Best:
    """The best evaluation so far."""

    step: int | None = None
    value: float | None = None
    since: int = 0  # evaluations without a better score


@dataclass
class Scored:
    """What an evaluation found."""

    scores: Mapping[str, float]
    samples: Sequence[str] = ()  # texts that show what the model does


@dataclass
class Job:
    """The loop of a run: steps, evaluations, checkpoints, records. `run` returns whether it finished.

    Args:
        settings: the options of the run.
        folder: the output folder.
        tuner: the loop.
        save_model: writes a model and what belongs to it into a folder.
        evaluate: returns scores of the model; None: no evaluation.
        metric: the score that decides which checkpoint is the best.
        labels: the labels of the model.
        flops_limit: the operations per second that the device can do; None: unknown.
    """

    settings: SharedSettings
    folder: Path
    tuner: Loop
    save_model: Callable[[Any, Path], object]
    evaluate: Callable[[], Scored] | None
    metric: str
    labels: Sequence[str] = ()
    flops_limit: float | None = None
    best: Best = field(default_factory=Best)
    stopped: bool = False  # by Ctrl-C
    seconds: float = 0.0
    _began: float = 0.0
    _tokens: int = 0  # before this process began
    _longest: dict[str, float] = field(default_factory=dict)  # seconds of the longest step, evaluation and checkpoint
    _flops: float = 0.0  # operations of all steps since this process began
    _stepping: float = 0.0  # and their seconds
    _before: float = 0.0  # progress before this step
    _evaluated: float = -math.inf  # the time of the last evaluation

    def run(self) -> bool:
        """Train until all steps are made, patience or the time ends, or Ctrl-C. Return whether the run is complete."""
        self._prepare_folder()
        tuner, first = self.tuner, self.tuner.processes.is_first
        journal = Journal(self.folder, tuner.position.step) if first else None
        self._began, self._tokens = time.monotonic(), tuner.tokens
        self.seconds = tuner.clock.seconds()
        progress = self._progress() if first else None
        events = EventWriter(self.folder / "runs") if first else None
        stops = False  # the same in all processes, which a signal reaches at different times
        try:
            with self._ctrl_c():
                while not (tuner.finished or stops or self._has_no_patience()):
                    self._before = tuner.progress
                    with self._timed("step"):
                        step = tuner.step()
                    self.seconds = tuner.clock.seconds()
                    self._flops += step.flops
                    stops = tuner.processes.any(self.stopped)
                    if progress:
                        progress.step(step.step, step.loss, step.learning_rate, step.tokens, step.flops)
                    self._log(journal, events, step)
                    if self._is_due(self.settings.eval_steps, step):
                        with progress.evaluating() if progress else nullcontext(), self._timed("evaluation"):
                            samples = self._evaluate(journal, events, step)
                        if progress:
                            progress.notes(samples)
                    is_best = self.best.step == step.step
                    if is_best or stops or self._is_due(self.settings.save_steps or self.settings.eval_steps, step):
                        with self._timed("checkpoint"):
                            self.save()
        finally:
            for open_one in (progress, journal, events):
                if open_one is not None:
                    open_one.close()
        return not stops

    def work(self, note: Callable[[str], object]) -> bool:
        """Start or continue the run, and load the best weights at its end. Return whether this process writes the results.

        Raise Stopped if Ctrl-C ended it.
        """
        tuner = self.tuner
        if self.settings.overwrite and tuner.processes.is_first:
            remove_run(self.folder)
        checkpoint = checkpoints.latest(self.folder) if self.settings.resume else None
        if checkpoint is not None:
            self.resume(checkpoint, note)
            of = f" of {tuner.total_steps:,}" if tuner.total_steps else ""
            note(f"Continuing after step {tuner.position.step:,}{of}.")
        if not self.run():
            raise Stopped(f"{self.folder} has a checkpoint after step {tuner.position.step:,}.")
        tuner.model = whole_model(tuner.model)
        if tuner.processes.is_first and self.best.step not in (None, tuner.position.step):
            self.load_weights(self.folder / f"checkpoint-{self.best.step}")
        return tuner.processes.is_first

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        """Measure a part of the run. What follows the last step is reserved in the time budget."""
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        self._longest[what] = max(self._longest.get(what, 0.0), seconds)
        self._stepping += seconds if what == "step" else 0.0
        of = self._longest.get
        # Two evaluations: after the last step, and of the best checkpoint.
        self.tuner.clock.reserve = 2 * (of("step", 0.0) + of("evaluation", 0.0) + of("checkpoint", 0.0))

    def _progress(self) -> Progress:
        tuner = self.tuner
        evaluations = 0
        if self.evaluate is not None and tuner.total_steps is not None:
            every = self.settings.eval_steps or tuner.steps_per_epoch
            evaluations = -(-(tuner.total_steps - tuner.position.step) // every)
        on_gpu = device_of(tuner.model).type == "cuda"
        memory = torch.cuda.memory_allocated if on_gpu else resident_memory
        return Progress(
            tuner.total_steps,
            evaluations=evaluations,
            first_step=tuner.position.step,
            memory=memory,
            flops_limit=self.flops_limit,
            timer=tuner.clock if tuner.clock.budget else None,
        )

    def _is_due(self, every: int | None, step: Step) -> bool:
        """Return whether something that happens every so many steps happens now.

        By default it happens at the end of each epoch, or with a time budget after each tenth of the run, unless it would take
        more than a tenth of the time.
        """
        if self.tuner.finished:
            return True
        if every is not None:
            return step.step % every == 0
        if not self.tuner.clock.budget:
            return self.tuner.position.at == 0
        rare = time.monotonic() - self._evaluated > 9 * self._longest.get("evaluation", 0.0)
        is_tenth = int(10 * self.tuner.progress) > int(10 * self._before)
        return is_tenth and self.tuner.processes.first(float(rare)) > 0

    def _log(self, journal: Journal | None, events: EventWriter | None, step: Step) -> None:
        due = step.step == 1 or self.tuner.finished or step.step % self.settings.log_steps == 0
        if journal is None or events is None or not due:
            return
        values = {
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "grad_norm": step.grad_norm,
            **self.tuner.losses,
        }
        rate = {"tokens_per_second": (self.tuner.tokens - self._tokens) / max(time.monotonic() - self._began, 1e-9)}
        if self._flops and self.flops_limit:
            speed = self._flops / max(self._stepping, 1e-9)
            rate |= {"flops_per_second": speed, "flops_utilization": speed / self.flops_limit}
        journal.add("step", step=step.step, epoch=step.epoch, **values, **rate, seconds=self.seconds)
        events.scalars(step.step, {f"train/{name}": value for name, value in values.items()})

    def _has_no_patience(self) -> bool:
        """Return whether as many evaluations as `patience` says had no better score."""
        return self.settings.patience is not None and self.best.since >= self.settings.patience

    def _evaluate(self, journal: Journal | None, events: EventWriter | None, step: Step) -> Sequence[str]:
        """Evaluate, compare with the best score, and return samples. An undefined score (nan) is never the best."""
        if self.evaluate is None:
            return ()
        found = self.evaluate()
        self._evaluated = time.monotonic()
        value = found.scores[self.metric]
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        if not math.isnan(value) and (self.best.value is None or sign * value > sign * self.best.value):
            self.best = Best(step.step, value)
        else:
            self.best.since += 1
        if journal and events:
            journal.add("eval", step=step.step, epoch=step.epoch, **found.scores, seconds=self.seconds)
            events.scalars(step.step, {f"eval/{name}": value for name, value in found.scores.items()})
            if found.samples:
                journal.add("samples", step=step.step, texts=list(found.samples))
        if not found.samples:
            return ()
        scores = ", ".join(f"{name} {value:.4g}" for name, value in found.scores.items())
        return [f"evaluation after step {step.step:,}: {scores}", *found.samples]

    # Checkpoints.

    def save(self) -> None:
        """Write a checkpoint, and remove older ones."""
        (values, tensors), model = self.tuner.state(), whole_model(self.tuner.model)
        if self.tuner.processes.is_first:
            values |= {"best": asdict(self.best), "settings": settings_dict(self.settings), "labels": list(self.labels)}
            adapters = _adapters(self.tuner.model)
            tensors |= {f"adapter.{name}": tensor for name, tensor in adapters.items()}
            checkpoints.save(self.folder, self.tuner.position.step, partial(self.save_model, model), values, tensors)
            checkpoints.remove_old(self.folder, self.settings.keep, self.best.step)
        self.tuner.processes.wait()

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
        if values["labels"] != list(self.labels):
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
        self.tuner.check_order(values)
        try:
            self.load_weights(checkpoint, tensors)
        except (RuntimeError, ValueError) as error:
            if not changed:
                raise
            raise UsageError(
                f"The weights in {checkpoint} are those of another model. Different options are {', '.join(changed)}: "
                "pass the same ones, or ", Setting("overwrite", True), " for a new run.",
            ) from error  # fmt: skip
        self.tuner.restore(values, tensors)
        self.best = Best(**values["best"])
        if not isinstance(self.best.step, (int, NoneType)) or not isinstance(self.best.value, (int, float, NoneType)):
            raise ValueError("its best score is not a number")

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


def _adapters(model: Any) -> dict[str, torch.Tensor]:
    """Return the trained parameters of a model with adapters."""
    if not hasattr(model, "peft_config"):
        return {}
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def settings_dict(settings: SharedSettings) -> dict[str, Any]:
    """Return the settings as JSON values. Examples that were passed as an object are shown by their type only.

    >>> from bertkit.training.options import Settings
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
