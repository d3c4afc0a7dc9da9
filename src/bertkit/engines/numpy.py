"""The engine without a framework: `reference.py` over mapped weights. For a few short texts, which it answers at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit import reference
from bertkit.checkpoint import load_checkpoint
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, by_length
from bertkit.engines.base import label_log_probs, layers_of
from bertkit.errors import UsageError
from bertkit.hub import locate
from bertkit.parameters import expand, initial
from bertkit.reference_inputs import Inputs

Array = NDArray[Any]
_AT_ONCE = 1024
"""Tokens, padding included, of the rectangles that a batch is run in: attention of all layers is kept of each."""


class NumpyEngine:
    """One class of BERT in NumPy."""

    def __init__(self, config: BertConfig, head: str, parameters: dict[str, Array]) -> None:
        self.config, self.head, self.parameters = config, head, parameters
        self.device, self.dtype = "cpu", "float32"

    @classmethod
    def open(
        cls,
        name: Any,
        head: str,
        config: BertConfig,
        source: Mapping[str, Any],
        device: object = None,
        precision: str = "auto",
    ) -> NumpyEngine:
        """The engine for a class, with the weights of a checkpoint."""
        if str(device) not in ("None", "cpu", "-1"):
            raise UsageError(f'engine="numpy" runs on the processor, and device={device!r} came: type engine="torch".')
        if precision not in ("auto", "fp32", "float32"):
            raise UsageError(f'engine="numpy" computes in fp32, and {precision!r} came: type engine="torch".')
        tensors, report = load_checkpoint(locate(name, **source), head, config=config)
        own = {name: np.asarray(x, np.float32) for name, x in tensors.items()}
        if report.fresh:  # numpy.random alone takes a while to be imported
            rng, needed = np.random.default_rng(0), expand(config, head)
            own |= {name: initial(needed[name], config, rng) for name in report.fresh}
        return cls(config, head, own)

    def run(self, batch: Batch, want: Collection[str]) -> dict[str, Array]:
        """The outputs in `want` by name."""
        parts = [self._rectangle(batch, rows, want) for rows in _rectangles(batch.lengths)]
        rows = np.concatenate([rows for rows, _, _ in parts])
        tokens = np.concatenate([tokens for _, tokens, _ in parts])
        states: dict[str, Array] = {}
        for name in parts[0][2]:
            of_rows = name == "pooler"
            joined = np.concatenate([found[name] for _, _, found in parts])
            states[name] = np.empty_like(joined)
            states[name][rows if of_rows else tokens] = joined
        return self._answers(batch, want, states)

    def _rectangle(
        self, batch: Batch, rows: NDArray[np.int64], want: Collection[str]
    ) -> tuple[Array, Array, dict[str, Array]]:
        """Some rows, padded: their numbers, those of their tokens, and their states, packed again."""
        lengths, columns = batch.lengths[rows], np.arange(batch.lengths[rows].max())
        real = columns < lengths[:, None]
        places = np.where(real, batch.starts[rows][:, None] + columns, 0)
        inputs = Inputs(
            input_ids=np.where(real, batch.input_ids[places], 0),
            token_type_ids=np.where(real, batch.token_type_ids[places], 0),
            attention_mask=None if real.all() else real,
        )
        run, _ = reference.encode(self.config, self.parameters, inputs)
        states = run["hidden_states"]
        found = {f"hidden_states.{layer}": states[layer][real] for layer in layers_of(want)}
        found["last"] = states[-1][real]
        if self._pools(want):
            found["pooler"] = np.tanh(reference.linear(self.parameters, "bert.pooler.dense", states[-1][:, 0]))
        return rows, places[real], found

    def _pools(self, want: Collection[str]) -> bool:
        sequences = ("ForSequenceClassification", "ForMultipleChoice", "ForNextSentencePrediction")
        return "pooler_output" in want or ("logits" in want and self.head in sequences)

    def _answers(self, batch: Batch, want: Collection[str], states: dict[str, Array]) -> dict[str, Array]:
        p, last = self.parameters, states.pop("last")
        outputs = {name: array for name, array in states.items() if name in want}
        if "pooler_output" in want:
            outputs["pooler_output"] = states["pooler"]
        if self.head == "ForQuestionAnswering" and "start_logits" in want:
            outputs["start_logits"], outputs["end_logits"] = reference.linear(p, "qa_outputs", last).T
        if self.head == "ForMaskedLM" and {"logits", "label_log_probs"} & set(want):
            at = last if batch.positions is None else last[batch.positions]
            outputs["logits"] = reference.predict_words(self.config, p, at)
        elif "logits" in want:
            name = "cls.seq_relationship" if self.head == "ForNextSentencePrediction" else "classifier"
            outputs["logits"] = reference.linear(p, name, states.get("pooler", last))
        if self.head == "ForMultipleChoice" and "logits" in want:
            outputs["logits"] = outputs["logits"][:, 0]
        if "label_log_probs" in want:
            assert batch.labels is not None
            outputs["label_log_probs"] = label_log_probs(outputs["logits"], batch.labels)
        return outputs


def _rectangles(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows of like length, which together have not many tokens."""
    for group in by_length(lengths.tolist(), _AT_ONCE):
        yield np.array(group)
