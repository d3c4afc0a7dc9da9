"""What the engines of other runtimes share: their graphs take batches as rectangles, and a head only at chosen tokens.

The graph is one of `graphs/`, or that of a file. A file has no input for chosen tokens: its head is computed at all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import log_probs, words_of
from bertkit.errors import FileFormatError, Setting, UsageError, received
from bertkit.graphs.names import CHOSEN, INPUTS, STATES, input_shape, output_names, output_shape
from bertkit.heads import HEADS, Ask
from bertkit.tensors import Array

Shape = tuple[int | None, ...]
"""The sizes of dimensions; None: any size."""


class Port(NamedTuple):
    """An input or output of a graph."""

    dtype: str  # such as "int64"
    shape: Shape | None  # None: unknown


class RectangleEngine:
    """One class of BERT as the graph of a runtime."""

    limits = Limits(rectangle=True)
    device = "cpu"
    failures: ClassVar[tuple[type[Exception], ...]]  # exceptions of the runtime

    def __init__(self, config: BertConfig, head: str, inputs: Mapping[str, Port], outputs: Mapping[str, Port]) -> None:
        self.config, self.head = config, head
        self.inputs, self.outputs = inputs, outputs
        self._file: str | None = None  # names the file of an exported model in errors

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
        if self._file is not None:
            return self._of_file(names, given, batch)
        given[CHOSEN] = chosen
        return dict(zip(names, (np.asarray(array, np.float32) for array in self.compute(names, given)), strict=True))

    def _of_file(self, names: list[str], given: dict[str, Array], batch: Batch) -> dict[str, Array]:
        """Outputs of the graph of a file, whose errors are those of the file. Their shapes are checked."""
        if len(input_shape(self.head)) == 3:  # groups of one choice
            given = {name: x[:, None] for name, x in given.items()}
        try:
            arrays = self.compute(names, given)
        except self.failures as error:
            rows, longest = len(batch.lengths), int(batch.lengths.max(initial=0))
            raise FileFormatError(
                f"{self._file} cannot run {rows} texts of up to {longest} tokens ({reason_of(error)}): export it again."
            ) from error
        sides: dict[int | str, int] = dict(zip(input_shape(self.head), given[INPUTS[0]].shape, strict=True))
        found = dict(zip(names, arrays, strict=True))
        for name, array in found.items():
            wanted = tuple(sides.get(size, size) for size in self._shape(name))
            if array.shape != wanted:
                raise FileFormatError(
                    f"{self._file} computed {name} with the shape {list(array.shape)} instead of {list(wanted)}: export it again."
                )
        return {name: np.asarray(array, np.float32) for name, array in found.items()}

    def _shape(self, name: str) -> tuple[int | str, ...]:
        """The dimensions of an output of a file. Besides those of the head, it may have states of layers and pooled vectors."""
        if name in HEADS[self.head].outputs:
            return output_shape(self.config, self.head, name)
        sides = input_shape(self.head)
        return (*(sides[:-1] if name == "pooler_output" else sides), self.config.hidden_size)

    def check_file(self, what: str) -> None:
        """Raise FileFormatError if a file, `what`, has other inputs and outputs than the class and its configuration."""
        self._file, needed = what, output_names(self.head, pooler=False)
        if set(self.inputs) != set(INPUTS) or not set(needed) <= set(self.outputs):
            raise FileFormatError(
                f"{what} has the inputs {', '.join(self.inputs)} and the outputs {', '.join(self.outputs)}; Bert{self.head} "
                f"needs {', '.join(INPUTS)}, and {', '.join(needed)}: export it again."
            )
        for name in INPUTS:
            self._check_input(name)
        for name in needed:
            self._check_output(name)

    def _check_input(self, name: str) -> None:
        """Raise FileFormatError unless an input has integers of any shape."""
        (dtype, shape), wanted = self.inputs[name], input_shape(self.head)
        if shape is None or len(shape) != len(wanted) or dtype != "int64":
            raise FileFormatError(
                f"{self._file} has the input {name} of the type {dtype} and the shape {_sizes(shape)}; Bert{self.head} needs "
                f"int64 [{', '.join(wanted)}]: export it again."
            )
        if any(size is not None for size in shape):
            raise FileFormatError(
                f"{self._file} takes {name} of the shape {_sizes(shape)} only, and batches of texts have any shape: export it "
                f"with {' and '.join(wanted)} as dynamic dimensions, or with bertkit export."
            )

    def _check_output(self, name: str) -> None:
        """Raise FileFormatError if an output has another shape than the configuration says, as far as it is known."""
        shape, wanted = self.outputs[name].shape, self._shape(name)
        if shape is None:
            return
        sizes = [size if isinstance(size, int) else None for size in wanted]
        if len(shape) != len(sizes) or any(a != b for a, b in zip(shape, sizes, strict=True) if None not in (a, b)):
            raise FileFormatError(
                f"{self._file} has the output {name} of the shape {_sizes(shape)}, and by config.json it is "
                f"[{', '.join(map(str, wanted))}]: use the config.json of this model, or export it again."
            )


def _sizes(shape: Shape | None) -> str:
    """A shape for a message."""
    return "of unknown rank" if shape is None else f"[{', '.join('any' if x is None else str(x) for x in shape)}]"


def reason_of(error: Exception) -> str:
    """What a runtime says of its error, in one short line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[-1] if lines else type(error).__name__:.200}"


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
