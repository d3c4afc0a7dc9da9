"""Several processes that train one model: `torchrun --nproc-per-node N -m bertkit finetune ...`."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from bertkit.engines.torch import model_class
from bertkit.errors import Setting, UsageError, received

Item = TypeVar("Item")


class Processes:
    """The processes of a run. In a single process every method does nothing.

    >>> Processes().share([1, 2, 3]), Processes().sum(2.0, 3)
    ([1, 2, 3], (2.0, 3))
    """

    rank, count, local = 0, 1, 0

    @classmethod
    def of_environment(cls, device: str | None = None) -> Processes:
        """Join the processes that torchrun has started, if it has."""
        own = cls()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ:
            own.rank, own.count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            own.local = int(os.environ.get("LOCAL_RANK", "0"))
            if device is not None and ":" in device:
                raise UsageError(
                    received("device", device),
                    " is one GPU, and each process of torchrun needs its own: type ",
                    Setting("device", "cuda"),
                    ", or leave it out.",
                )
            if own.rank:  # all processes would log the same messages
                logging.getLogger("bertkit").setLevel(logging.ERROR)
            gpu = torch.cuda.is_available() and device != "cpu"
            if gpu:
                torch.cuda.set_device(own.local)
            if not distributed.is_initialized():
                distributed.init_process_group("nccl" if gpu else "gloo")
        return own

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of this process. An idle process gets the first item, so that it computes along with the others."""
        return list(items[self.rank :: self.count] or items[:1])

    def is_idle(self, items: Sequence[Any]) -> bool:
        """Return whether there are too few items for this process to have one."""
        return self.rank >= len(items)

    def sum(self, *numbers: float) -> tuple[float, ...]:
        """Return the sums of numbers over all processes."""
        return self._reduced(distributed.ReduceOp.SUM, *numbers)

    def first(self, number: float) -> float:
        """Return the number of the first process."""
        return self.sum(number if self.is_first else 0.0)[0]

    def largest(self, number: int) -> int:
        """Return the largest of the numbers of all processes."""
        return int(self._reduced(distributed.ReduceOp.MAX, number)[0])

    def _reduced(self, how: Any, *numbers: float) -> tuple[float, ...]:
        if self.count == 1:
            return numbers
        values = torch.tensor(numbers, dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            values = values.to(f"cuda:{self.local}")
        distributed.all_reduce(values, how)
        return tuple(values.tolist())

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in one of the processes."""
        return self.sum(float(flag))[0] > 0

    def seed(self, *key: int) -> None:
        """Seed the random numbers of several processes, for example of dropout, differently in each process."""
        if self.count > 1:
            torch.manual_seed(int(np.random.SeedSequence([*key, self.rank]).generate_state(1)[0]))

    def wrap(self, model: Any, shard: bool = False) -> Any:
        """Return the module to run, which averages gradients over the processes. With `shard`, it is sharded (FSDP2)."""
        if shard and (self.count == 1 or hasattr(model, "peft_config")):
            raise UsageError(
                Setting("shard", True),
                " needs several processes, started with torchrun --nproc-per-node, and a model without lora: leave it out.",
            )
        if self.count == 1:
            return model
        if not shard:
            return DistributedDataParallel(model)
        mesh = init_device_mesh(next(model.parameters()).device.type, (self.count,))
        for layer in model.base_model.encoder.layer:
            fully_shard(layer, mesh=mesh)
        return fully_shard(model, mesh=mesh)

    def synchronized(self, module: Any, last: bool) -> AbstractContextManager[Any]:
        """Return a context in which gradients are averaged over the processes only for the last batch of a step."""
        if isinstance(module, DistributedDataParallel) and not last:
            return module.no_sync()
        return nullcontext()

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of parameters that are not part of the model over the processes."""
        if self.count > 1:
            for parameter in parameters:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                distributed.all_reduce(gradient)
                parameter.grad = gradient / self.count

    def wait(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            distributed.barrier()

    def close(self) -> None:
        """Leave the group of processes."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


# Sharded parameters (FSDP2). On other tensors and models these functions change nothing.


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor, of which each process has a part. All processes call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Return a tensor on the device of a parameter, sharded as the parameter is."""
    tensor = tensor.to(parameter.device).view(parameter.shape)
    if isinstance(parameter, DTensor):
        return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
    return tensor


def whole_model(model: Any) -> Any:
    """Return the model, or if it is sharded a copy with all weights in this process. All processes call it."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return model
    own = {"add_pooling_layer": model.pooler is not None} if model._head == "Model" else {}
    weights = {name: whole(tensor) for name, tensor in model.state_dict().items()}
    with torch.device("meta"):
        copied = model_class(model._head)(copy.deepcopy(model.config), **own)
    copied.load_state_dict(weights, assign=True)
    copied.tie_weights()
    copied.config = model.config  # evaluation stores thresholds there
    return copied.train(model.training)


def load_whole(model: Any, weights: dict[str, Tensor], strict: bool = True) -> None:
    """Load weights into a model, which may be sharded. All processes call it."""
    here = model.state_dict()
    model.load_state_dict({n: like(w, here[n]) if n in here else w for n, w in weights.items()}, strict=strict)
