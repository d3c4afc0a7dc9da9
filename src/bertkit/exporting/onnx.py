"""ONNX: model.onnx, for ONNX Runtime and others. The kernels of ONNX Runtime, or with `portable` the standard operators only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from bertkit.engines.processor import threads
from bertkit.exporting.base import Exporter, Forward, in_python
from bertkit.graphs.onnx import exported_graph
from bertkit.graphs.onnx_file import FILE
from bertkit.graphs.onnx_nodes import OPSET
from bertkit.pipelines.open import Weights
from bertkit.tensors import Array


class OnnxExporter(Exporter):
    """ONNX, in fp32 or int8."""

    precisions = ("fp32", "int8")
    options = ("portable",)
    opens = True

    def write(self, weights: Weights, folder: Path) -> list[Path]:
        """Write model.onnx. Arrays of more than 2 GB are in model.onnx.data."""
        int8 = self.choices.precision == "int8"
        graph = exported_graph(weights.config, weights.head, weights.tensors, int8, self.choices.portable)
        return graph.save(folder)

    def open(self, folder: Path, outputs: Sequence[str]) -> Forward:
        """A session of ONNX Runtime for the file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        session = onnxruntime.InferenceSession(str(folder / FILE), options, providers=["CPUExecutionProvider"])

        def forward(given: Mapping[str, Array]) -> dict[str, Array]:
            return {name: np.asarray(x) for name, x in zip(outputs, session.run(list(outputs), given), strict=True)}

        return forward

    def facts(self) -> str:
        """The operators."""
        if self.choices.portable:
            return f"The graph has standard operators only, of opset {OPSET}."
        return f"The graph has operators of opset {OPSET} and of com.microsoft, which ONNX Runtime has."

    def example(self, folder: str, head: str, grouped: bool) -> Sequence[str]:
        """A session, and its outputs by name."""
        given = "{name: x[None] for name, x in inputs.items()}" if grouped else "dict(inputs)"
        return (
            "import onnxruntime",
            f"session = onnxruntime.InferenceSession({in_python(f'{folder}/{FILE}')})",
            'inputs = tokenizer(texts, padding=True, return_tensors="np")',
            "names = [output.name for output in session.get_outputs()]",
            f"outputs = dict(zip(names, session.run(names, {given})))",
        )
