"""Safetensors with the matrices of the layers as int8, in the format int-quantized of compressed-tensors.

Every class and engine of bertkit reads them, as float32. The file has a quarter of the size of float32 in the layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bertkit import reference
from bertkit.checkpoint import load_checkpoint
from bertkit.checkpoint.compressed import compress, quantization_config
from bertkit.checkpoint.save import byte_count, hub_names, save_safetensors
from bertkit.exporting.base import Exporter, Forward, in_python
from bertkit.exporting.parity import parameters_of
from bertkit.heads import POOLER, WORDS
from bertkit.hub import locate
from bertkit.parameters import expand
from bertkit.pipelines.open import Weights
from bertkit.tensors import Array


class SafetensorsExporter(Exporter):
    """Safetensors in int8. Embeddings, norms, biases, the pooler and heads are unchanged."""

    precisions = ("int8",)
    opens = True

    def write(self, weights: Weights, folder: Path) -> list[Path]:
        """Write model.safetensors, and its `quantization_config` for config.json."""
        rows = expand(weights.config, weights.head)
        dense = [name for name in weights.tensors if rows[name].kind == "dense"]
        layers = [name for name in dense if ".layer." in name]
        self.weights = weights
        others = hub_names(
            {name: weights.tensors[name] for name in dense if name not in layers}, weights.config, weights.head
        )
        kept = [name.removesuffix(".weight") for name in others]
        if any(name.startswith(WORDS) for name in weights.tensors):
            kept.append("cls.predictions.decoder")
        self.of_config = {"quantization_config": quantization_config(sorted(set(kept)))}
        named = hub_names(compress(weights.tensors, layers), weights.config, weights.head)
        return save_safetensors(folder, named, byte_count("5GB"))

    def open(self, folder: Path, outputs: Sequence[str]) -> Forward:
        """The file as `load_checkpoint` reads it."""
        config, head = self.weights.config, self.weights.head
        tensors, _ = load_checkpoint(locate(folder), head, config=config, optional=(POOLER,))

        p = parameters_of(Weights(tensors, config, head))

        def forward(given: Mapping[str, Array]) -> dict[str, Array]:
            found = reference.forward(config, p, head, **given)
            return {name: found[name] for name in outputs}

        return forward

    def facts(self) -> str:
        """What is quantized."""
        return (
            "The matrices of the layers are int8 with a scale for each output (compressed-tensors, int-quantized). Embeddings, "
            "norms, biases, the pooler and heads are not quantized."
        )

    def example(self, folder: str, head: str, grouped: bool) -> Sequence[str]:
        """The PyTorch class, which computes in float32."""
        given = "{name: x[None] for name, x in inputs.items()}" if grouped else "inputs"
        return (
            f"from bertkit import Bert{head}",
            f"model = Bert{head}.from_pretrained({in_python(folder)})",
            'inputs = tokenizer(texts, padding=True, return_tensors="pt")',
            f"outputs = model(**{given})",
        )
