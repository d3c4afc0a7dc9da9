"""The ONNX engine: ONNX Runtime on the CPU, with a graph of bertkit's own or an exported file."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.base import log_probs, words_of
from bertkit.engines.processor import threads
from bertkit.errors import FileFormatError, MissingExtraError, Setting, UsageError, received
from bertkit.graphs.onnx_file import CHOSEN, FILE, INPUTS, STATES, read_exported
from bertkit.heads import HEADS, POOLER, Ask
from bertkit.hub import Place
from bertkit.tensors import Array

_ENGINE = Setting("engine", "onnx")
_PRECISIONS = ("fp32", "int8")
_REFUSED = tuple(
    getattr(errors, name)
    for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
)
"""The exceptions of ONNX Runtime for a model that it cannot run."""


class OnnxEngine:
    """One class of BERT in ONNX Runtime.

    >>> from bertkit.data.batches import Row, pack
    >>> from bertkit.parameters import expand
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> zeros = {name: np.zeros(one.shape) for name, one in expand(config, "ForTokenClassification").items()}
    >>> engine = OnnxEngine.open(zeros, config, "ForTokenClassification")
    >>> rows = [Row(np.array([2, 4, 3]), np.zeros(3, int)), Row(np.array([2, 3]), np.zeros(2, int))]
    >>> engine.run(pack(rows), Ask(("logits",)))["logits"].shape
    (5, 2)
    """

    limits = Limits(rectangle=True)
    device = "cpu"

    def __init__(self, config: BertConfig, head: str, session: onnxruntime.InferenceSession) -> None:
        self.config, self.head, self.session = config, head, session
        self.precision = session.get_modelmeta().custom_metadata_map.get("precision", "fp32")
        self._inputs = {given.name: len(given.shape) for given in session.get_inputs()}  # name -> dimensions
        self._outputs = [output.name for output in session.get_outputs()]
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> OnnxEngine:
        """The engine for a class. The precision "auto" is fp32, and int8 quantizes the layers."""
        _check(device, precision)
        try:
            graphs = import_module("bertkit.graphs.onnx")
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "onnx", "onnx", _ENGINE) from error
        graph = graphs.engine_graph(config, head, tensors, int8=precision == "int8")
        return cls(config, head, _session(graph.proto.SerializeToString(), graph.large))

    @classmethod
    def open_exported(
        cls, place: Place, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> OnnxEngine:
        """The engine for the model.onnx of a place, which anybody may have written."""
        _check(device, precision)
        what = f"{FILE} in {place.where}"
        try:
            engine = cls(config, head, _session(*read_exported(place)))
        except _REFUSED as error:
            reason = str(error).strip().splitlines()[0]
            raise FileFormatError(f"ONNX Runtime refuses {what} ({reason}): export it again.") from error
        engine._check_file(what)
        if precision not in ("auto", engine.precision):
            raise UsageError(
                f"{what} is in {engine.precision}: leave ",
                received("precision", precision),
                " out, or export it again.",
            )
        return engine

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Return the requested arrays, as float32. The batch is run as one rectangle."""
        ask.check(self.head, "pooler_output" in self._outputs, batch.names_words)
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
                answers[name] = array if CHOSEN in self._inputs else _of_rectangle(array)[chosen]
        if ask.log_probs:
            answers["log_probs"] = log_probs(answers["log_probs"], batch.targets["labels"].values)
        return answers

    def _sources(self, name: str, ask: Ask) -> list[str]:
        """The outputs of the graph from which a requested array is made. A file has the states of its last layer only."""
        if name == "log_probs":
            return [words_of(self.head)]
        if name != "hidden_states":
            return [name]
        last = {self.config.num_hidden_layers: "last_hidden_state"} if CHOSEN not in self._inputs else {}
        return [last.get(layer, STATES.format(layer)) for layer in ask.layers]

    def _computed(self, batch: Batch, real: Array, chosen: Array, names: list[str]) -> dict[str, Array]:
        """Run the graph, and return outputs by name."""
        names = list(dict.fromkeys(names))
        if absent := [name for name in names if name not in self._outputs]:
            raise UsageError(
                f"The exported model has the outputs {', '.join(self._outputs)}, and not {', '.join(absent)}: export it for this "
                "task, or use the model that it was exported from."
            )
        columns = (_rectangle(batch.input_ids, real), real.astype(np.int64), _rectangle(batch.token_type_ids, real))
        given = dict(zip(INPUTS, columns, strict=True))
        given = {
            name: x[:, None] if self._inputs[name] == 3 else x for name, x in given.items()
        }  # groups of one choice
        if CHOSEN in self._inputs:
            given[CHOSEN] = chosen
        arrays = self.session.run(names, given, self._options)
        return {name: np.asarray(array, np.float32) for name, array in zip(names, arrays, strict=True)}

    def _check_file(self, what: str) -> None:
        """Raise FileFormatError if a file has other inputs and outputs than the class."""
        dimensions = 3 if "group" in HEADS[self.head].labels.values() else 2
        needed = [name for name, output in HEADS[self.head].outputs.items() if output.part != POOLER]
        if self._inputs != dict.fromkeys(INPUTS, dimensions) or not set(needed) <= set(self._outputs):
            raise FileFormatError(
                f"{what} has the inputs {', '.join(self._inputs)} and the outputs {', '.join(self._outputs)}; Bert{self.head} "
                f"needs {', '.join(INPUTS)} of {dimensions} dimensions, and {', '.join(needed)}: export it again."
            )
        if self.precision not in _PRECISIONS:
            raise FileFormatError(f"{what} has the unknown precision {self.precision!r:.80}: export it again.")


def _check(device: object, precision: str) -> None:
    other = Setting("engine", "torch")
    if str(device) not in ("None", "cpu", "-1"):
        raise UsageError(_ENGINE, " runs on the CPU, not on ", received("device", device), ": type ", other, ".")
    if precision not in ("auto", *_PRECISIONS):
        known = ", ".join(_PRECISIONS)
        raise UsageError(
            _ENGINE, " does not support ", received("precision", precision), f": choose one of auto, {known}."
        )


def _session(model: bytes, arrays: Tensors) -> onnxruntime.InferenceSession:
    """A session for the bytes of a model, and its arrays that are not in them. Idle threads sleep, for other processes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
    options.add_external_initializers(list(arrays), values)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


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
