"""SavedModel: saved_model/1, for TensorFlow and TensorFlow Serving. The place is that of `save_pretrained(saved_model=True)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from bertkit.config import BertConfig
from bertkit.engines.keras import KerasEngine
from bertkit.exporting.base import Exporter, Forward, in_python
from bertkit.graphs.names import INPUTS
from bertkit.pipelines.open import Weights
from bertkit.tensors import Array

FOLDER = "saved_model/1"


class SavedModelExporter(Exporter):
    """A SavedModel in fp32, with the signature serving_default."""

    integers = "int32"

    def write(self, weights: Weights, folder: Path) -> list[Path]:
        """Write the graph of the TensorFlow class."""
        config = BertConfig.from_dict(weights.config.to_dict(), use_cache=False)
        model = KerasEngine.open(weights.tensors, config, weights.head, "cpu", "fp32").model
        model.export(folder / FOLDER, verbose=False)
        return [path for path in (folder / FOLDER).rglob("*") if path.is_file()]

    def open(self, folder: Path, outputs: Sequence[str]) -> Forward:
        """The folder as `tf.saved_model.load` reads it."""
        loaded = tf.saved_model.load(str(folder / FOLDER))
        serve = loaded.signatures["serving_default"]

        def forward(given: Mapping[str, Array]) -> dict[str, Array]:
            assert loaded is not None  # the signature does not keep the variables
            found = serve(**{name: tf.constant(given[name], tf.int32) for name in INPUTS})
            return {name: np.asarray(found[name]) for name in outputs}

        return forward

    def facts(self) -> str:
        """The version, and the signature."""
        return (
            f"Written by TensorFlow {tf.__version__}, with the signature `serving_default`, which takes inputs by name."
        )

    def example(self, folder: str, head: str, grouped: bool) -> Sequence[str]:
        """The signature, and its outputs by name."""
        end = "[None]" if grouped else ""
        return (
            "import tensorflow as tf",
            f"model = tf.saved_model.load({in_python(f'{folder}/{FOLDER}')})",
            'inputs = tokenizer(texts, padding=True, return_tensors="np")',
            f"given = {{name: tf.constant(x{end}, tf.int32) for name, x in inputs.items()}}",
            'outputs = model.signatures["serving_default"](**given)',
        )
