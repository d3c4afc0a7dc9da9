"""The NumPy engine: `reference/` with memory-mapped weights. It starts fast, and is for a few short texts."""

from __future__ import annotations

import numpy as np

from bertkit import reference
from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import log_probs, words_of
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import POOLER, Ask
from bertkit.reference.inputs import ReferenceInputs
from bertkit.tensors import Array


class NumpyEngine:
    """One class of BERT in NumPy."""

    limits = Limits(tokens=1024, rectangle=True)  # few tokens, as the attention weights of all layers stay in memory
    device, precision = "cpu", "fp32"

    def __init__(self, config: BertConfig, head: str, parameters: dict[str, Array]) -> None:
        self.config, self.head, self.parameters = config, head, parameters

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> NumpyEngine:
        """The engine for a class."""
        own, other = Setting("engine", "numpy"), Setting("engine", "torch")
        if str(device) not in ("None", "cpu", "-1"):
            raise UsageError(own, " runs on the CPU, not on ", received("device", device), ": type ", other, ".")
        if precision not in ("auto", "fp32", "float32"):
            raise UsageError(own, f" computes in fp32, not in {precision!r}: type ", other, ".")
        return cls(config, head, {name: np.asarray(x, np.float32) for name, x in tensors.items()})

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Return the requested arrays. The batch is padded for the computation."""
        p, row_of_pooler = self.parameters, POOLER + "dense.weight"
        ask.check(self.head, row_of_pooler in p, batch.names_words)
        columns = np.arange(batch.lengths.max(initial=1))
        real = columns < batch.lengths[:, None]  # [N, L]
        cells = np.where(real, batch.starts[:, None] + columns, 0)
        inputs = ReferenceInputs(
            input_ids=np.where(real, batch.input_ids[cells], 0),
            token_type_ids=np.where(real, batch.token_type_ids[cells], 0),
            attention_mask=None if real.all() else real,
        )
        states = reference.encode(self.config, p, inputs)[0]["hidden_states"]
        x, first = states[-1][real], states[-1][:, 0]  # [T, H], [N, H]
        if batch.positions is not None and "place" in ask.grains(self.head).values():
            x = x[batch.positions]  # [M, H]
        found: dict[str, Array] = {}
        pooled = reference.zeroed(reference.pool(p, first), np.any(real, axis=1)) if row_of_pooler in p else first
        if ask.outputs or ask.log_probs:
            found = reference.OUTPUTS[self.head](self.config, p, x, pooled)
        if ask.log_probs:
            found["log_probs"] = log_probs(found[words_of(self.head)], batch.targets["labels"].values)
        if ask.layers:
            found["hidden_states"] = np.stack([states[layer][real] for layer in ask.layers], axis=1)
        if ask.pooled:
            found["pooler_output"] = pooled
        return found
