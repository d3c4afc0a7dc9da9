"""OpenVINO: openvino_model.xml and openvino_model.bin, with the names that optimum has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bertkit.engines.processor import threads
from bertkit.exporting.base import Exporter, Forward, in_python
from bertkit.graphs.openvino import exported_graph, save
from bertkit.graphs.openvino_file import FILE
from bertkit.graphs.openvino_runtime import core, ov
from bertkit.pipelines.open import Weights
from bertkit.tensors import Array


class OpenVinoExporter(Exporter):
    """OpenVINO, in fp32 or int8. Whether fp32 is computed in bf16 is decided when a file is compiled."""

    precisions = ("fp32", "int8")
    opens = True

    def write(self, weights: Weights, folder: Path) -> list[Path]:
        """Write both files."""
        int8 = self.choices.precision == "int8"
        return save(exported_graph(weights.config, weights.head, weights.tensors, int8), folder)

    def open(self, folder: Path, outputs: Sequence[str]) -> Forward:
        """The file as OpenVINO compiles it, in float32."""
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads()}
        request = core().compile_model(str(folder / FILE), "CPU", options).create_infer_request()

        def forward(given: Mapping[str, Array]) -> dict[str, Array]:
            found = request.infer(dict(given))
            return {name: np.array(found[name]) for name in outputs}

        return forward

    def facts(self) -> str:
        """The version, and the type in which OpenVINO computes."""
        return (
            f"Written by OpenVINO {ov.get_version().split('-')[0]}. On some CPUs, OpenVINO computes in bf16 unless "
            '`INFERENCE_PRECISION_HINT` is `"f32"`.'
        )

    def example(self, folder: str, head: str, grouped: bool) -> Sequence[str]:
        """A compiled model, and its outputs by name."""
        given = "{name: x[None] for name, x in inputs.items()}" if grouped else "dict(inputs)"
        return (
            "import openvino",
            'options = {"INFERENCE_PRECISION_HINT": "f32"}',
            f'compiled = openvino.Core().compile_model({in_python(f"{folder}/{FILE}")}, "CPU", options)',
            'inputs = tokenizer(texts, padding=True, return_tensors="np")',
            f"found = compiled({given})",
            "outputs = {output.any_name: found[output] for output in compiled.outputs}",
        )
