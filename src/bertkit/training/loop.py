"""The loop: steps of the optimizer over packed batches, with gradients that do not depend on how a step is split.

tuner = Finetuner(model, units, objective, settings)
while not tuner.finished:
    step = tuner.step()             # one step: loss, learning rate, norm of the gradient, tokens
    ...                             # evaluate, save, stop: whatever a loop of your own does
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from bertkit.data.batches import Batch
from bertkit.engines.processor import multiplies_bf16
from bertkit.errors import BertkitError, Setting, UsageError
from bertkit.training.batches import Unit, batches_of, steps_of, with_windows
from bertkit.training.distributed import Processes, like, whole
from bertkit.training.objectives import Objective, device_of
from bertkit.training.options import Settings
from bertkit.training.rows import clip, word_rows
from bertkit.training.schedule import learning_rate_factor, optimizer_of


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


@dataclass
class Position:
    """The position in the examples: all that the order of batches depends on."""

    step: int = 0
    epoch: int = 0
    at: int = 0  # steps of this epoch so far


class Finetuner:
    """A model, its units, an objective and an optimizer. `step` trains on the next batches; `state` is all that resuming needs.

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
        if not units:
            raise UsageError("There are no examples to train on.")
        self.model, self.units, self.objective, self.settings = model, units, objective, settings
        self.processes = processes or Processes()
        self._sizes = [sum(map(len, unit)) for unit in units]
        if objective.is_joint and self.processes.count > 1:
            raise UsageError("A loss that compares all texts of a step needs one process: start it without torchrun.")
        # Before the optimizer is made, as sharding replaces the parameters.
        self._runs = self.processes.wrap(model, settings.shard)
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
        per_step = settings.batch_size * settings.accumulate
        self.steps_per_epoch = math.ceil(len(units) / per_step)
        self.total_steps = settings.max_steps or max(1, math.ceil(self.steps_per_epoch * settings.epochs))
        self._trained = [parameter for _, parameter in self._named()]
        self._order: tuple[int, list[list[int]]] = (-1, [])
        model.train()

    @property
    def finished(self) -> bool:
        """Whether all steps were made."""
        return self.position.step >= self.total_steps

    def step(self, batches: Sequence[Batch] | None = None) -> Step:
        """Make one step on the next batches, or on your own ones. Raise TrainingError if the loss is not a number."""
        self.model.train()
        self.processes.seed(self.settings.seed, self.position.step)
        own = self.next_batches() if batches is None else list(batches)
        counted = 0 if batches is None and self.processes.is_idle(self._numbers()) else len(own)
        if self.settings.shard:  # each batch gathers the parameters of all processes, so that all need as many batches
            own += own[-1:] * (self.processes.largest(len(own)) - len(own))
        weights = np.array([self.objective.loss_weights(batch) for batch in own])  # [batches, losses]
        weights[counted:] = 0
        computed = sum(len(batch.input_ids) for batch in own[:counted])
        *totals, tokens = self.processes.sum(*weights.sum(0).tolist(), computed)
        factors = weights / [total or 1.0 for total in totals]
        with word_rows(self.model) if self.processes.count == 1 else nullcontext():
            loss = self._backward(own, factors)
        (loss,) = self.processes.sum(loss)
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss of step {self.position.step + 1} is {loss}: type a smaller learning rate, for example ",
                Setting("lr", self.settings.lr / 10),
                ". Earlier checkpoints are intact.",
            )
        norm = self._clip()
        rate = self._set_rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._advance()
        return Step(self.position.step, self.position.step / self.steps_per_epoch, loss, rate, norm, int(tokens))

    def _backward(self, batches: Sequence[Batch], factors: np.ndarray) -> float:
        """Add the gradients of batches, whose losses have these factors [batches, losses]. Return the sum of their losses."""
        loss = 0.0
        with self._autocast():
            self.objective.begin_step(self._runs, batches)
        for number, (batch, factor) in enumerate(zip(batches, factors.tolist(), strict=True), start=1):
            with self.processes.synchronized(self._runs, last=number == len(batches)):
                with self._autocast():
                    losses = self.objective(self._runs, batch).reshape(-1)
                shares = losses.new_tensor(factor)
                part = torch.where(shares > 0, losses * shares, 0.0).sum()  # the mean of no labels is not a number
                (part * self.processes.count).backward()  # type: ignore[no-untyped-call]
            loss += float(part.detach())
        self.processes.average(parameter for _, parameter in self.objective.named_parameters())
        return loss

    def next_batches(self) -> list[Batch]:
        """Return the batches of the next step; in a distributed run, the share of this process."""
        seed, epoch = self.settings.seed, self.position.epoch
        numbers = self.processes.share(self._numbers())
        units = [with_windows(self.units[number], self._most_windows, (seed, epoch, number)) for number in numbers]
        return batches_of(units, self.settings.batch_tokens, choices=self.objective.head == "ForMultipleChoice")

    @property
    def _most_windows(self) -> int:
        return 2**31 if self.objective.head in ("ForMultipleChoice", "Model") else self.settings.max_windows

    def _numbers(self) -> list[int]:
        """Return the numbers of the units of the next step."""
        epoch = self.position.epoch
        if self._order[0] != epoch:
            per_step = self.settings.batch_size * self.settings.accumulate
            grouped = self.settings.group_by_length is not False
            self._order = (epoch, steps_of(self._sizes, per_step, self.settings.seed, epoch, grouped))
        return self._order[1][self.position.at]

    def _advance(self) -> None:
        self.position.step += 1
        self.position.at += 1
        if self.position.at == self.steps_per_epoch:
            self.position.epoch, self.position.at = self.position.epoch + 1, 0

    def _set_rate(self) -> float:
        """Set the learning rate of this step, and return that of the head."""
        options = self.settings
        factor = learning_rate_factor(self.position.step, self.total_steps, options.warmup, options.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return options.lr * factor

    def _clip(self) -> float:
        most = self.settings.clip or math.inf
        return float(whole(clip(self._trained, most)))

    def _autocast(self) -> AbstractContextManager[Any]:
        """Compute products in bf16, if that is the precision. The weights stay in fp32."""
        device = device_of(self.model)
        wanted = self.settings.precision
        if wanted == "auto":
            native = torch.cuda.get_device_capability(device)[0] >= 8 if device.type == "cuda" else device.type == "cpu"
            wanted = "bf16" if native and (device.type != "cpu" or multiplies_bf16()) else "fp32"
        return torch.autocast(device.type, torch.bfloat16) if wanted == "bf16" else nullcontext()

    # State.

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return what resuming needs besides the weights: values for JSON, and tensors by name. All processes call it."""
        tensors = {f"random.{name}": state for name, state in _random_states().items()}
        for name, parameter in self._named():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = whole(torch.as_tensor(value))
        tensors |= {name: parameter.detach() for name, parameter in self._of_objective()}
        return {"position": asdict(self.position), "order": self.fingerprint()}, tensors

    def restore(self, values: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        """Continue from a state. Raise UsageError if the examples or the options of their order have changed."""
        if values["order"] != self.fingerprint():
            raise UsageError(
                "The training examples, or options of their order, are not those of the interrupted run: pass the same ones, or ",
                Setting("overwrite", True),
                " for a new run.",
            )
        self.position = self._checked(Position(**values["position"]))
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

    def _checked(self, position: Position) -> Position:
        """Return a position. Raise ValueError if it is not one of this run."""
        numbers = (position.step, position.epoch, position.at)
        per_epoch = self.steps_per_epoch
        if any(type(number) is not int for number in numbers) or not 0 <= position.step <= self.total_steps:
            raise ValueError(f"its step is not from 0 to {self.total_steps:,}")
        if (position.epoch, position.at) != divmod(position.step, per_epoch):
            raise ValueError("its epoch does not fit its step")
        return position

    def fingerprint(self) -> str:
        """Return a hash of the examples, and of the options on which their order depends."""
        found = 0
        for unit in self.units:
            for row in unit:
                found = zlib.crc32(row.input_ids.tobytes(), found)
                for name in sorted(row.targets):
                    if not name.startswith("teacher."):
                        found = zlib.crc32(np.asarray(row.targets[name].values).tobytes(), found)
        options = self.settings
        values = (options.seed, options.batch_size, options.accumulate, options.group_by_length, self.total_steps)
        return f"{found:08x}-{len(self.units)}-{values}"

    def _named(self) -> Iterator[tuple[str, nn.Parameter]]:
        own = ((name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad)
        return chain(own, self._of_objective())

    def _of_objective(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((f"objective.{name}", parameter) for name, parameter in self.objective.named_parameters())


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
