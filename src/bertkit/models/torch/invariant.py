"""Batch invariance: the same bits for a sequence in any batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from bertkit.models.torch.packing import BATCH_INVARIANT

PRODUCT = "mkldnn._linear_pointwise.default"
"""The name of torch's operation for a product with a prepared weight."""

_ROWS = 64


class batch_invariant(TorchFunctionMode):  # noqa: N801 - used like a function
    """A context in which a forward returns bit-equal outputs for a sequence, in any batch and with any padding.

    Matrix products of other sizes add in another order, so the rest of a batch changes the last bits of a sequence. Here products
    with a weight use blocks of 64 rows, the last one padded with zeros, and each sequence attends separately. Inputs that do not
    allow this raise UsageError. Returned attention weights and losses are not batch invariant.

    >>> with batch_invariant():
    ...     torch.nn.Linear(8, 2)(torch.zeros(3, 8)).shape
    torch.Size([3, 2])
    """

    def __enter__(self) -> batch_invariant:
        self.before = BATCH_INVARIANT.set(True)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        BATCH_INVARIANT.reset(self.before)
        super().__exit__(*raised)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute products with a weight in blocks, other functions unchanged."""
        if function is not F.linear and str(function) != PRODUCT:
            return function(*args, **(kwargs or {}))
        x, *weights = args
        rows = x.flatten(0, -2)
        whole = len(rows) // _ROWS * _ROWS
        blocks = [function(block, *weights, **(kwargs or {})) for block in rows[:whole].split(_ROWS) if len(block)]
        if len(rows) > whole:
            last = F.pad(rows[whole:], (0, 0, 0, _ROWS - len(rows) + whole))
            blocks.append(function(last, *weights, **(kwargs or {}))[: len(rows) - whole])
        return torch.cat(blocks).unflatten(0, x.shape[:-1]) if blocks else function(*args, **(kwargs or {}))
