"""The OpenVINO engine: the CPU, with a graph of bertkit's own or an exported file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import gcd, prod
from threading import Lock
from typing import Any

import numpy as np

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.engines.processor import multiplies_bf16, threads
from bertkit.engines.rectangles import Port, RectangleEngine, check_request, reason_of
from bertkit.errors import FileFormatError, Setting, UnsafeFileError, UsageError, received
from bertkit.graphs.names import CHOSEN, INPUTS, STATES, output_names
from bertkit.graphs.openvino import engine_graph
from bertkit.graphs.openvino_file import FILE, read_exported
from bertkit.graphs.openvino_runtime import core, ov
from bertkit.heads import HEADS
from bertkit.hub import Place
from bertkit.parameters import kept_heads
from bertkit.tensors import Array

_PRECISIONS = ("fp32", "bf16", "int8")
_GROUPS = (64, 32)  # the last one is OpenVINO's default
_KEPT = 4  # compiled graphs, each with its own copy of the weights
_MOST_NUMBERS = 2**30  # of an array for a few tokens. The largest one of a BERT is its table of words, as float32


class OpenVinoEngine(RectangleEngine):
    """One class of BERT in OpenVINO. Each kind of request is compiled, since OpenVINO computes all outputs of a graph.

    The last few kinds are kept. Several threads may use an engine.

    >>> from bertkit.data.batches import Row, pack
    >>> from bertkit.heads import Ask
    >>> from bertkit.parameters import expand
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> zeros = {name: np.zeros(one.shape) for name, one in expand(config, "ForTokenClassification").items()}
    >>> engine = OpenVinoEngine.open(zeros, config, "ForTokenClassification")
    >>> rows = [Row(np.array([2, 4, 3]), np.zeros(3, int)), Row(np.array([2, 3]), np.zeros(2, int))]
    >>> engine.run(pack(rows), Ask(("logits",)))["logits"].shape
    (5, 2)
    """

    failures = (RuntimeError,)

    def __init__(self, config: BertConfig, head: str, graph: Any, precision: str, memory: object = None) -> None:
        known = {*INPUTS, CHOSEN, *HEADS[head].outputs, "pooler_output"}
        known |= {STATES.format(layer) for layer in range(config.num_hidden_layers + 1)}
        self._results = {_name(one, known): one.node for one in graph.outputs}
        inputs, outputs = ({_name(one, known): _port(one) for one in ports} for ports in (graph.inputs, graph.outputs))
        super().__init__(config, head, inputs, outputs)
        self.graph, self.precision = graph, precision
        self._memory = memory  # of the graph's arrays, if the graph does not own it
        self._compiled: dict[tuple[str, ...], Any] = {}  # the last one that was used is at the end
        self._compiling = Lock()  # graphs share nodes, which compiling changes

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> OpenVinoEngine:
        """The engine for a class. The precision "auto" is bf16 if the CPU multiplies it fast, else fp32."""
        precision = _checked(device, precision)
        return cls(config, head, engine_graph(config, head, tensors, int8=precision == "int8"), precision)

    @classmethod
    def open_exported(
        cls, place: Place, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> OpenVinoEngine:
        """The engine for the openvino_model.xml of a place, which is not trusted."""
        wanted, what = _checked(device, precision), f"{FILE} in {place.where}"
        text, arrays = read_exported(place)
        try:
            memory = ov.Tensor(np.frombuffer(arrays, np.uint8), shared_memory=True)
            graph = core().read_model(text, memory)
            stored = "int8" if _has_int8(graph) else "fp32"
            engine = cls(config, head, graph, stored if precision == "auto" and stored == "int8" else wanted, memory)
            engine.check_file(what)
            _check_tables(graph, config, what)
            _check_sizes(graph, what)
            _check_scales(graph, what)
            engine._compile(tuple(sorted(output_names(head, pooler=False))))
        except RuntimeError as error:
            raise FileFormatError(f"OpenVINO refuses {what} ({reason_of(error)}): export it again.") from error
        if (engine.precision == "int8") != (stored == "int8"):
            raise UsageError(
                f"{what} is in {stored}: leave ", received("precision", precision), " out, or export it again."
            )
        return engine

    def compute(self, names: list[str], given: dict[str, Array]) -> list[Array]:
        """Run the graph with these outputs alone."""
        kind = tuple(sorted(names))
        found = self._compile(kind).create_infer_request().infer(given)
        return [found[kind.index(name)] for name in names]

    def _compile(self, names: tuple[str, ...]) -> Any:
        """The graph of some outputs, compiled."""
        with self._compiling:
            compiled = self._compiled.pop(names, None) or self._newly_compiled(names)
            self._compiled[names] = compiled
            if len(self._compiled) > _KEPT:
                del self._compiled[next(iter(self._compiled))]
            return compiled

    def _newly_compiled(self, names: tuple[str, ...]) -> Any:
        part = ov.Model([self._results[name] for name in names], self.graph.get_parameters(), "bert")
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._has_bf16 else "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": self._group,
            "INFERENCE_NUM_THREADS": threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # other processes can use the cores
        }
        return core().compile_model(part, "CPU", options)

    @property
    def _has_bf16(self) -> bool:
        """Whether the numbers that are not 8-bit ones are in bf16. With 8-bit products, attention is a large part of the time."""
        return self.precision == "bf16" or (self.precision == "int8" and multiplies_bf16())

    @property
    def _group(self) -> int:
        """The number of inputs of an 8-bit product that share a scale, for each token.

        Large groups are fast, small ones exact. OpenVINO has no 8-bit product where a group does not divide the inputs.
        """
        width = self.config.hidden_size // self.config.num_attention_heads
        kept = (width * len(kept_heads(self.config, layer)) for layer in range(self.config.num_hidden_layers))
        common = gcd(self.config.hidden_size, self.config.intermediate_size, *kept)
        return next((group for group in _GROUPS if common % group == 0), _GROUPS[-1])


def _checked(device: object, precision: str) -> str:
    """The precision, "auto" resolved. Raises UsageError for a device or a precision that OpenVINO does not support here."""
    check_request("openvino", _PRECISIONS, device, precision)
    if precision == "auto":
        return "bf16" if multiplies_bf16() else "fp32"
    if precision == "bf16" and not multiplies_bf16():
        advice = Setting("precision", "fp32")
        raise UsageError(
            Setting("engine", "openvino"),
            " computes in bf16 only on a CPU with AMX, or of AMD with AVX512-BF16. This CPU has neither, or ",
            "ONEDNN_MAX_CPU_ISA excludes them: type ",
            advice,
            ".",
        )
    return precision


def _name(port: Any, known: Collection[str]) -> str:
    """The name of an input or output of a graph, which may have several names in OpenVINO, or none. A known one is preferred."""
    names = sorted(port.get_names(), key=lambda name: (name not in known, name))
    return str(names[0] if names else port.node.get_friendly_name())


def _port(port: Any) -> Port:
    """The type and the shape of an input or output of a graph."""
    dtype = {"i64": "int64", "i32": "int32", "f32": "float32"}.get(name := port.element_type.get_type_name(), name)
    shape = port.partial_shape
    sizes = None if shape.rank.is_dynamic else tuple(x.get_length() if x.is_static else None for x in shape)
    return Port(dtype, sizes)


def _check_tables(graph: Any, config: BertConfig, what: str) -> None:
    """Raise FileFormatError if a table of embeddings has another size, as OpenVINO reads zeros after its end."""
    gathered = [node.input(0).get_partial_shape() for node in graph.get_ops() if node.get_type_name() == "Gather"]
    shapes = {tuple(shape.to_shape()) for shape in gathered if shape.is_static}
    positions, width = config.max_position_embeddings, config.hidden_size
    needed = {"vocab_size": (config.vocab_size, width), "type_vocab_size": (config.type_vocab_size, width)}
    if config.position_embedding_type == "absolute":
        needed["max_position_embeddings"] = (positions, width)
    else:
        needed["max_position_embeddings"] = (2 * positions - 1, width // config.num_attention_heads)
    for name, shape in needed.items():
        if shape not in shapes:
            raise FileFormatError(
                f"{what} has no table of {shape[0]} x {shape[1]} numbers, which {name} and hidden_size in config.json need: use "
                "the config.json of this model, or export it again."
            )


def _check_sizes(graph: Any, what: str) -> None:
    """Raise UnsafeFileError if a few tokens need a far too large array. OpenVINO finds out the shapes without computing."""
    small = graph.clone()
    small.reshape({one: [2] * len(one.partial_shape) for one in small.inputs})
    for node in small.get_ops():
        for shape in (output.get_partial_shape() for output in node.outputs()):
            if shape.is_static and prod(shape.to_shape()) > _MOST_NUMBERS:
                raise UnsafeFileError(
                    f"{what} has a node {node.get_type_name()} that makes an array of the shape {shape!s:.80}: it is damaged or "
                    "hostile."
                )


def _check_scales(graph: Any, what: str) -> None:
    """Raise FileFormatError if a matrix has a scale for each of its inputs, by which OpenVINO divides by zero."""
    for node in graph.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        matrix, output = node.input_value(1), -2 if node.get_attributes()["transpose_b"] else -1
        if matrix.get_node().get_type_name() != "Multiply" or matrix.get_partial_shape().is_dynamic:
            continue
        for shape in (one.get_shape() for one in matrix.get_node().input_values()):
            if len(shape) == 2 and shape != matrix.get_shape() and shape[output] == 1 < max(shape):
                raise FileFormatError(
                    f"{what} has a matrix of the shape {matrix.get_shape()!s:.80} with a scale for each input, and each output "
                    "needs one: it is damaged; export it again."
                )


def _constants(graph: Any) -> Iterator[Any]:
    """The outputs of the constants of a graph."""
    return (node.output(0) for node in graph.get_ops() if node.get_type_name() == "Constant")


def _has_int8(graph: Any) -> bool:
    """Whether a graph has quantized matrices."""
    kinds = [one.get_element_type() for one in _constants(graph) if len(one.get_partial_shape()) > 1]
    return any(kind.is_integral() and kind.bitwidth <= 8 and kind != ov.Type.boolean for kind in kinds)
