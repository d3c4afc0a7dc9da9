"""What every engine offers, and how one is found. No framework is named here but by its engine's file.

An engine runs one class of BERT over packed batches. What may be asked of it, by name, with its shape (T tokens, N rows,
M places, V vocabulary, C labels, H width):

    logits              of ForMaskedLM [M, V] at `batch.positions`, or [T, V] where there are none; of ForTokenClassification
                        [T, C]; of ForSequenceClassification [N, C]; of ForNextSentencePrediction [N, 2]; of
                        ForMultipleChoice [N], one for each choice
    start_logits        of ForQuestionAnswering [T], and end_logits
    label_log_probs     of ForMaskedLM [M]: how likely `batch.labels` are at `batch.positions`
    hidden_states.I     of every class [T, H]: after layer I = 1, 2, ...; 0 is the embedding
    pooler_output       of every class with a pooler [N, H]
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.config import BertConfig
from bertkit.data.batches import Batch
from bertkit.errors import MissingExtraError, UsageError, did_you_mean

ENGINES = {"numpy": "NumpyEngine", "torch": "TorchEngine"}
"""Engine -> its class, in the file of its name."""


class Engine(Protocol):
    """One class of BERT with its weights, ready to run."""

    config: BertConfig
    head: str

    def run(self, batch: Batch, want: Collection[str]) -> dict[str, NDArray[Any]]:
        """The outputs in `want` by name, float32."""
        ...


def engine_class(name: str) -> Any:
    """The class of an engine, with `open(name, head, ...)`; its framework is imported now."""
    if name not in ENGINES:
        raise UsageError(
            f'engine={name!r} is none of "auto", {", ".join(map(repr, ENGINES))}.{did_you_mean(name, ENGINES)}'
        )
    try:
        return getattr(import_module(f"bertkit.engines.{name}"), ENGINES[name])
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or name, name, f'engine="{name}"') from error


def layers_of(want: Collection[str]) -> list[int]:
    """The layers whose hidden states are wanted.

    >>> layers_of(["hidden_states.2", "pooler_output", "hidden_states.0"])
    [0, 2]
    """
    return sorted(int(name.partition(".")[2]) for name in want if name.startswith("hidden_states."))


def label_log_probs(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float32]:
    """How likely each label is by its row of logits: [M, V], [M] -> [M]."""
    top = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=-1)) + top[:, 0]
    chosen: NDArray[np.float32] = (logits[np.arange(len(labels)), labels] - total).astype(np.float32)
    return chosen
