"""The ONNX engine: ONNX Runtime on the CPU, with a graph of bertkit's own or an exported file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.engines.processor import threads
from bertkit.engines.rectangles import Port, RectangleEngine, check_request, reason_of
from bertkit.errors import FileFormatError, MissingExtraError, Setting, UsageError, received
from bertkit.graphs.onnx_file import FILE, read_exported
from bertkit.hub import Place
from bertkit.tensors import Array

_PRECISIONS = ("fp32", "int8")
_FAILURES = (
    *(
        getattr(errors, name)
        for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    ),
    UnicodeDecodeError,  # of a message with a name that is not UTF-8
)
"""The exceptions of ONNX Runtime for a model that it cannot open or run."""


class OnnxEngine(RectangleEngine):
    """One class of BERT in ONNX Runtime.

    >>> import numpy as np
    >>> from bertkit.data.batches import Row, pack
    >>> from bertkit.heads import Ask
    >>> from bertkit.parameters import expand
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> zeros = {name: np.zeros(one.shape) for name, one in expand(config, "ForTokenClassification").items()}
    >>> engine = OnnxEngine.open(zeros, config, "ForTokenClassification")
    >>> rows = [Row(np.array([2, 4, 3]), np.zeros(3, int)), Row(np.array([2, 3]), np.zeros(2, int))]
    >>> engine.run(pack(rows), Ask(("logits",)))["logits"].shape
    (5, 2)
    """

    failures = _FAILURES

    def __init__(self, config: BertConfig, head: str, session: onnxruntime.InferenceSession) -> None:
        super().__init__(config, head, _ports(session.get_inputs()), _ports(session.get_outputs()))
        self.session = session
        self.precision = session.get_modelmeta().custom_metadata_map.get("precision", "fp32")
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True

    @classmethod
    def open(
        cls, tensors: Tensors, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> OnnxEngine:
        """The engine for a class. The precision "auto" is fp32, and int8 quantizes the layers."""
        check_request("onnx", _PRECISIONS, device, precision)
        try:
            graphs = import_module("bertkit.graphs.onnx")
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "onnx", "onnx", Setting("engine", "onnx")) from error
        graph = graphs.engine_graph(config, head, tensors, int8=precision == "int8")
        return cls(config, head, _session(graph.proto.SerializeToString(), graph.large))

    @classmethod
    def open_exported(
        cls, place: Place, config: BertConfig, head: str, device: object = None, precision: str = "auto"
    ) -> OnnxEngine:
        """The engine for the model.onnx of a place, which is not trusted."""
        check_request("onnx", _PRECISIONS, device, precision)
        what = f"{FILE} in {place.where}"
        try:
            engine = cls(config, head, _session(*read_exported(place)))
        except _FAILURES as error:
            raise FileFormatError(f"ONNX Runtime refuses {what} ({reason_of(error)}): export it again.") from error
        engine.check_file(what)
        if engine.precision not in _PRECISIONS:
            raise FileFormatError(f"{what} has the unknown precision {engine.precision!r:.80}: export it again.")
        if precision not in ("auto", engine.precision):
            raise UsageError(
                f"{what} is in {engine.precision}: leave ",
                received("precision", precision),
                " out, or export it again.",
            )
        return engine

    def compute(self, names: list[str], given: dict[str, Array]) -> Sequence[Array]:
        """Run the graph. Only the nodes that these outputs need are run."""
        arrays: Sequence[Array] = self.session.run(names, given, self._options)
        return arrays


def _ports(given: Iterable[Any]) -> dict[str, Port]:
    """Inputs or outputs of a session. Dimensions of any size have a name, or none."""
    return {
        one.name: Port(
            one.type.removeprefix("tensor(").removesuffix(")"),
            tuple(size if isinstance(size, int) and size >= 0 else None for size in one.shape) or None,
        )
        for one in given
    }


def _session(model: bytes, arrays: Tensors) -> onnxruntime.InferenceSession:
    """A session for the bytes of a model, and its arrays that are not in them. Idle threads sleep, for other processes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.load_model_format", "ONNX"
    )  # what was checked, whatever the bytes look like
    options.log_severity_level = 4  # errors are raised
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
    options.add_external_initializers(list(arrays), values)
    # The fallback to another provider prints to stdout.
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
