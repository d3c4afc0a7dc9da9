"""The loop: steps of the optimizer over packed batches, with gradients that do not depend on how a step is split.

tuner = Finetuner(model, units, objective, settings)
while not tuner.finished:
    step = tuner.step()             # one step: loss, learning rate, norm of the gradient, tokens
    ...                             # evaluate, save, stop: whatever a loop of your own does

`Finetuner` trains on rows in memory, and is a `Loop` over a `Source` of batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from bertkit.data.batches import Batch
from bertkit.engines.processor import multiplies_bf16
from bertkit.errors import BertkitError, Setting, UsageError
from bertkit.memory import Heap
from bertkit.training.batches import Unit
from bertkit.training.clock import Clock
from bertkit.training.distributed import Processes, like, whole
from bertkit.training.objectives import Objective, device_of
from bertkit.training.options import Settings, SharedSettings
from bertkit.training.rows import clip, word_rows
from bertkit.training.schedule import learning_rate_factor, optimizer_of
from bertkit.training.sources import Position, Source, UnitSource


class TrainingError(BertkitError, RuntimeError):
    """A run that cannot continue, for example because its loss is not a number."""


class Step(NamedTuple):
    """What one step did."""

    step: int  # number of steps so far
    epoch: float
    loss: float
    learning_rate: float  # of the head
    grad_norm: float
    tokens: int  # on all processes
    flops: float = 0.0  # operations of the model, on all processes; 0: unknown


_PARTS = 10**6
"""The number of parts of a schedule that ends with the time."""


_CHECKED = 10
"""The number of steps after which the memory of the process is looked at."""


class Loop:
    """A model, a source of batches, an objective and an optimizer. `step` trains on the next batches.

    Args:
        model: a model of the PyTorch classes, or one with adapters of peft. It is trained in place.
        source: the batches.
        objective: the loss.
        settings: the options of the run.
        processes: the processes of a distributed run; None: only this one.
        clock: the time of the run, and its budget; None: without a budget.
    """

    def __init__(
        self,
        model: Any,
        source: Source,
        objective: Objective,
        settings: SharedSettings,
        processes: Processes | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.model, self.source, self.objective, self.settings = model, source, objective, settings
        self.processes, self.clock = processes or Processes(), clock or Clock()
        if objective.is_joint and self.processes.count > 1:
            raise UsageError("A loss that compares all texts of a step needs one process: start it without torchrun.")
        # Before the optimizer is made, as sharding replaces the parameters.
        self._runs = self.processes.wrap(objective.module(model), settings.shard)
        self.optimizer = optimizer_of(
            model,
            settings.lr,
            settings.weight_decay,
            (settings.beta1, settings.beta2),
            settings.epsilon,
            settings.layer_decay,
        )
        extra = [parameter for _, parameter in objective.named_parameters()]
        if extra:
            group = {
                "params": extra,
                "lr": settings.lr,
                "initial_lr": settings.lr,
                "weight_decay": settings.weight_decay,
            }
            self.optimizer.add_param_group(group)
        self.position = Position()
        self.progress = 0.0  # the share of the run that is done: of its steps or of its time, whichever is larger
        self.tokens = 0  # of all steps so far
        self.losses: Mapping[str, float] = {}  # the parts of the loss of the last step, if they have names
        self._trained = [parameter for _, parameter in self._named()]
        self._heap = Heap()
        model.train()

    @property
    def total_steps(self) -> int | None:
        """The number of steps of the run; None: as many as the time allows."""
        return self.source.total_steps

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps of this epoch."""
        return self.source.steps_per_epoch(self.position.part)

    @property
    def finished(self) -> bool:
        """Whether all steps were made, or the time is spent."""
        return self.progress >= 1

    def step(self, batches: Sequence[Batch] | None = None) -> Step:
        """Make one step on the next batches, or on your own ones.

        Raise TrainingError if the loss or the gradient is not a number.
        """
        self.model.train()
        self.processes.seed(self.settings.seed, self.position.step)
        own = self.next_batches() if batches is None else list(batches)
        counted = 0 if batches is None and self.processes.is_idle(self._numbers()) else len(own)
        if self.settings.shard:  # each batch gathers the parameters of all processes, so that all need as many batches
            own += own[-1:] * (self.processes.largest(len(own)) - len(own))
        weights = np.array([self.objective.loss_weights(batch) for batch in own])  # [batches, losses]
        weights[counted:] = 0
        computed = sum(len(batch.input_ids) for batch in own[:counted])
        work = sum(map(self.objective.flops, own[:counted]))
        *totals, tokens, flops = self.processes.sum(*weights.sum(0).tolist(), computed, work)
        factors = weights / [total or 1.0 for total in totals]
        with word_rows(self.model) if self.processes.count == 1 else nullcontext():
            loss, each = self._backward(own, factors)
        loss, *of_parts = self.processes.sum(loss, *each)
        self._check_number("loss", loss)
        norm = self._clip()
        self._check_number("norm of the gradient", norm)
        rate = self._set_rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._advance()
        if self.position.step % _CHECKED == 0:
            self._heap.check()
        self.tokens += int(tokens)
        epoch = self.position.epoch + self.position.at / self.steps_per_epoch
        self.losses = dict(zip(self.objective.loss_names, of_parts, strict=True))
        return Step(self.position.step, epoch, loss, rate, norm, int(tokens), flops)

    def _check_number(self, what: str, value: float) -> None:
        """Raise TrainingError, before the optimizer changes the weights, for a value of this step that is not a number."""
        if not math.isfinite(value):
            raise TrainingError(
                f"The {what} of step {self.position.step + 1} is {value}: type a smaller learning rate, for example ",
                Setting("lr", self.settings.lr / 10),
                ". Earlier checkpoints are intact.",
            )

    def _backward(self, batches: Sequence[Batch], factors: np.ndarray) -> tuple[float, list[float]]:
        """Add the gradients of batches, whose losses have these factors [batches, losses]. Return the sum, and each loss."""
        loss, each = 0.0, np.zeros(len(self.objective.loss_names))
        with self.autocast():
            self.objective.begin_step(self._runs, batches)
        for number, (batch, factor) in enumerate(zip(batches, factors.tolist(), strict=True), start=1):
            with self.processes.synchronized(self._runs, last=number == len(batches)):
                with self.autocast():
                    losses = self.objective(self._runs, batch).reshape(-1)
                shares = losses.new_tensor(factor)
                parts = torch.where(shares > 0, losses * shares, 0.0)  # the mean of no labels is not a number
                part = parts.sum()
                (part * self.processes.count).backward()  # type: ignore[no-untyped-call]
            loss += float(part.detach())
            each += parts.detach().cpu().numpy()[: len(each)]
        self.processes.average(parameter for _, parameter in self.objective.named_parameters())
        return loss, each.tolist()

    def next_batches(self) -> list[Batch]:
        """Return the batches of the next step; in a distributed run, the share of this process."""
        return self.source.batches(self.position, self.processes.share(self._numbers()))

    def _numbers(self) -> list[int]:
        return self.source.numbers(self.position)

    def _advance(self) -> None:
        self.progress = self._share_done(self.position.step + 1)
        self.position = self.source.after(self.position, self.progress)

    def _share_done(self, steps: int) -> float:
        """Return the share of the run that is done after a number of steps at this time."""
        spent = self.processes.first(self.clock.share()) if self.clock.budget else 0.0
        return max(steps / self.total_steps if self.total_steps else 0.0, spent)

    def _set_rate(self) -> float:
        """Set the learning rate of this step, and return that of the head."""
        options = self.settings
        step, total = self.progress * _PARTS, _PARTS
        if self.total_steps and not self.clock.budget:
            step, total = self.position.step, self.total_steps
        factor = learning_rate_factor(step, total, options.warmup, options.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return options.lr * factor

    def _clip(self) -> float:
        most = self.settings.clip or math.inf
        return float(whole(clip(self._trained, most)))

    @property
    def dtype(self) -> torch.dtype:
        """The type of numbers in products. The weights stay in fp32."""
        device, wanted = device_of(self.model), self.settings.precision
        if wanted == "auto":
            native = torch.cuda.get_device_capability(device)[0] >= 8 if device.type == "cuda" else device.type == "cpu"
            wanted = "bf16" if native and (device.type != "cpu" or multiplies_bf16()) else "fp32"
        return torch.bfloat16 if wanted == "bf16" else torch.float32

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute products in `dtype` within a block."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(device_of(self.model).type, self.dtype)

    # State.

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return what resuming needs besides the weights: values for JSON, and tensors by name. All processes call it."""
        tensors = {f"random.{name}": state for name, state in _random_states().items()}
        for name, parameter in self._named():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = whole(torch.as_tensor(value))
        tensors |= {name: parameter.detach() for name, parameter in self._of_objective()}
        values = {
            "position": asdict(self.position),
            "order": self.fingerprint(),
            "seconds": self.clock.seconds(),
            "reserve": self.clock.reserve,
        }
        return {**values, "progress": self.progress, "tokens": self.tokens}, tensors

    def restore(self, values: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        """Continue from a state. Raise UsageError if the examples or the options of their order have changed."""
        self.check_order(values)
        self.position = Position(**values["position"])
        self.source.check(self.position)
        self.progress, self.tokens = values["progress"], int(values["tokens"])
        seconds, reserve = values["seconds"], values.get("reserve", 0.0)
        if not (0 <= self.progress <= 1 and 0 <= seconds < math.inf and 0 <= reserve < math.inf):
            raise ValueError("its progress or its time is out of range")
        self.clock.set(seconds)
        self.clock.reserve = reserve
        if self.finished and self.clock.budget:  # it may be larger now
            self.progress = self._share_done(self.position.step)
        for name, parameter in self._named():
            kept = {key: tensors.get(f"optimizer.{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if kept["step"] is not None:
                self.optimizer.state[parameter] = {
                    key: (value.to(parameter.device) if key == "step" else like(value, parameter)).clone()
                    for key, value in kept.items()
                    if value is not None
                }
        with torch.no_grad():
            for name, parameter in self._of_objective():
                parameter.copy_(tensors[name])
        _restore_random({name.removeprefix("random."): t for name, t in tensors.items() if name.startswith("random.")})

    def check_order(self, values: Mapping[str, Any]) -> None:
        """Raise UsageError if the examples of a state, or the options of their order, are not those of this run."""
        if values["order"] != self.fingerprint():
            raise UsageError(
                "The training examples, or options of their order, are not those of the interrupted run: pass the same ones, or ",
                Setting("overwrite", True),
                " for a new run.",
            )

    def fingerprint(self) -> str:
        """Return a hash of the examples, and of the options on which their order depends."""
        return self.source.fingerprint()

    def _named(self) -> Iterator[tuple[str, nn.Parameter]]:
        own = ((name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad)
        return chain(own, self._of_objective())

    def _of_objective(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((f"objective.{name}", parameter) for name, parameter in self.objective.named_parameters())


class Finetuner(Loop):
    """The loop over rows in memory.

    Args:
        model: a model of the PyTorch classes, or one with adapters of peft. It is trained in place.
        units: the rows of each example, from `units_of`.
        objective: the loss, from `objective_of`.
        settings: the options of the run.
        processes: the processes of a distributed run; None: only this one.
    """

    def __init__(
        self,
        model: Any,
        units: Sequence[Unit],
        objective: Objective,
        settings: Settings,
        processes: Processes | None = None,
    ) -> None:
        super().__init__(model, UnitSource(units, objective.head, settings), objective, settings, processes)
        self.units = units


def _random_states() -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _restore_random(states: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    for name, state in states.items():
        if name.startswith("cuda") and int(name[4:]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(name[4:]))
