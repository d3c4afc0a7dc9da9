"""Several processes that train one model: `torchrun --nproc-per-node N -m bertkit finetune ...`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

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
            if not distributed.is_initialized():
                gpu = torch.cuda.is_available() and device != "cpu"
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
        if self.count == 1:
            return numbers
        values = torch.tensor(numbers, dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            values = values.to(f"cuda:{self.local}")
        distributed.all_reduce(values)
        return tuple(values.tolist())

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in one of the processes."""
        return self.sum(float(flag))[0] > 0

    def wrap(self, model: Any, shard: bool = False) -> Any:
        """Return the module to run: it averages gradients over the processes. With `shard`, parameters are shared out (FSDP2)."""
        if self.count == 1:
            return model
        if shard:
            from torch.distributed.fsdp import fully_shard

            for layer in model.base_model.encoder.layer:
                fully_shard(layer)
            return fully_shard(model)
        return DistributedDataParallel(model, broadcast_buffers=False)

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
