"""What the engines of other runtimes share: their graphs take batches as rectangles, and a head only at chosen tokens.

The graph is one of `graphs/`, or that of a file. A file has no input for chosen tokens: its head is computed at all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import log_probs, words_of
from bertkit.errors import FileFormatError, Setting, UsageError, received
from bertkit.graphs.names import CHOSEN, INPUTS, STATES, has_choices, output_names
from bertkit.heads import Ask
from bertkit.tensors import Array


class RectangleEngine:
    """One class of BERT as the graph of a runtime. `inputs` are its inputs with their numbers of dimensions."""

    limits = Limits(rectangle=True)
    device = "cpu"

    def __init__(self, config: BertConfig, head: str, inputs: dict[str, int], outputs: Sequence[str]) -> None:
        self.config, self.head = config, head
        self.inputs, self.outputs = inputs, outputs

    def compute(self, names: list[str], given: dict[str, Array]) -> Sequence[Array]:
        """Run the graph, and return outputs by their names."""
        raise NotImplementedError

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Return the requested arrays, as float32. The batch is run as one rectangle."""
        ask.check(self.head, "pooler_output" in self.outputs, batch.names_words)
        grains, real = ask.grains(self.head), _real(batch)
        cells = np.flatnonzero(real)  # the positions of the tokens
        at_places = batch.positions is not None and "place" in grains.values()
        chosen = cells[batch.positions] if at_places else cells
        found = self._computed(batch, real, chosen, [source for name in grains for source in self._sources(name, ask)])
        answers: dict[str, Array] = {}
        for name, grain in grains.items():
            if name == "hidden_states":
                states = [_of_rectangle(found[source])[cells] for source in self._sources(name, ask)]
                answers[name] = np.stack(states, axis=1)
                continue
            array = found[self._sources(name, ask)[0]]
            if grain == "row":
                array = array[: len(batch.lengths)]
                answers[name] = array[:, 0] if self.head == "ForMultipleChoice" and name == "logits" else array
            else:
                answers[name] = array if CHOSEN in self.inputs else _of_rectangle(array)[chosen]
        if ask.log_probs:
            answers["log_probs"] = log_probs(answers["log_probs"], batch.targets["labels"].values)
        return answers

    def _sources(self, name: str, ask: Ask) -> list[str]:
        """The outputs of the graph from which a requested array is made. A file has the states of its last layer only."""
        if name == "log_probs":
            return [words_of(self.head)]
        if name != "hidden_states":
            return [name]
        last = {self.config.num_hidden_layers: "last_hidden_state"} if CHOSEN not in self.inputs else {}
        return [last.get(layer, STATES.format(layer)) for layer in ask.layers]

    def _computed(self, batch: Batch, real: Array, chosen: Array, names: list[str]) -> dict[str, Array]:
        """Outputs of the graph by name."""
        names = list(dict.fromkeys(names))
        if absent := [name for name in names if name not in self.outputs]:
            raise UsageError(
                f"The exported model has the outputs {', '.join(self.outputs)}, and not {', '.join(absent)}: export it for this "
                "task, or use the model that it was exported from."
            )
        columns = (_rectangle(batch.input_ids, real), real.astype(np.int64), _rectangle(batch.token_type_ids, real))
        given = dict(zip(INPUTS, columns, strict=True))
        given = {name: x[:, None] if self.inputs[name] == 3 else x for name, x in given.items()}  # groups of one choice
        if CHOSEN in self.inputs:
            given[CHOSEN] = chosen
        arrays = self.compute(names, given)
        return {name: np.asarray(array, np.float32) for name, array in zip(names, arrays, strict=True)}

    def check_file(self, what: str) -> None:
        """Raise FileFormatError if a file has other inputs and outputs than the class."""
        dimensions, needed = 2 + has_choices(self.head), output_names(self.head, pooler=False)
        if self.inputs != dict.fromkeys(INPUTS, dimensions) or not set(needed) <= set(self.outputs):
            raise FileFormatError(
                f"{what} has the inputs {', '.join(self.inputs)} and the outputs {', '.join(self.outputs)}; Bert{self.head} "
                f"needs {', '.join(INPUTS)} of {dimensions} dimensions, and {', '.join(needed)}: export it again."
            )


def check_request(engine: str, precisions: Sequence[str], device: object, precision: str) -> None:
    """Raise UsageError for a device or a precision that an engine does not support."""
    own, other = Setting("engine", engine), Setting("engine", "torch")
    if str(device) not in ("None", "cpu", "-1"):
        raise UsageError(own, " runs on the CPU, not on ", received("device", device), ": type ", other, ".")
    if precision not in ("auto", *precisions):
        known = ", ".join(precisions)
        raise UsageError(own, " does not support ", received("precision", precision), f": choose one of auto, {known}.")


def _real(batch: Batch) -> Array:
    """Which cells of a rectangle are tokens, [N, L]. A batch without rows has one cell, as kernels refuse arrays without any."""
    lengths = batch.lengths if len(batch.lengths) else np.zeros(1, np.int64)
    real: Array = np.arange(max(1, lengths.max())) < lengths[:, None]
    return real


def _rectangle(values: Array, real: Array) -> Array:
    """[T] -> [N, L], zeros at padding."""
    whole = np.zeros(real.shape, np.int64)
    whole[real] = values
    return whole


def _of_rectangle(array: Array) -> Array:
    """[N, L, ...] -> [N * L, ...]."""
    return array.reshape(-1, *array.shape[2:])
