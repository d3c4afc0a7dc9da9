"""TorchScript: model.pt, for `torch.jit.load` and for the compilers of accelerators.

The inputs are positional, and the outputs are a tuple. With a shape, the model takes inputs of this shape only, and attention
consists of basic operators, as compilers of accelerators take it. No value of a tensor decides which operators run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bertkit.config import BertConfig
from bertkit.engines.torch import model_of
from bertkit.exporting.base import Exporter, Forward, in_python
from bertkit.graphs.names import INPUTS, has_choices
from bertkit.hub.disk import whole_file
from bertkit.pipelines.open import Weights
from bertkit.tensors import Array

FILE = "model.pt"


class OfShape(nn.Module):
    """A model that takes inputs of one shape only."""

    def __init__(self, model: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.model, self.shape = model, list(shape)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the model. `split` raises an error for other sizes."""
        given = [input_ids, attention_mask, token_type_ids]
        for side, size in enumerate(self.shape):
            given = [torch.split(x, [size], side)[0] for x in given]
        outputs: tuple[Tensor, ...] = self.model(*given)
        return outputs


class TorchScriptExporter(Exporter):
    """TorchScript in fp32, traced."""

    options = ("shape",)

    def write(self, weights: Weights, folder: Path) -> list[Path]:
        """Trace the model, and write model.pt."""
        shape = self.choices.shape
        settings: dict[str, Any] = {"torchscript": True, "use_cache": False}
        settings["attn_implementation"] = "sdpa" if shape is None else "eager"
        config = BertConfig.from_dict(weights.config.to_dict(), **settings)
        model = model_of(weights.tensors, config, weights.head, torch.float32).eval().requires_grad_(False)
        if shape is None:
            shape = (2, 2, 8) if has_choices(weights.head) else (2, 8)
        else:
            model = OfShape(model, shape)
        ones = torch.ones(shape, dtype=torch.long)
        mask = ones.clone()
        mask[..., -1, shape[-1] // 2 + 1 :] = 0
        with torch.inference_mode():
            traced = torch.jit.trace(model, (ones, mask, ones - 1), check_trace=False)  # type: ignore[no-untyped-call]
        with whole_file(folder / FILE) as file:
            torch.jit.save(traced, file)
        return [folder / FILE]

    def open(self, folder: Path, outputs: Sequence[str]) -> Forward:
        """The file as `torch.jit.load` reads it."""
        model = torch.jit.load(folder / FILE)  # type: ignore[no-untyped-call]

        def forward(given: Mapping[str, Array]) -> dict[str, Array]:
            # Compiling for a few batches would take longer.
            with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                arrays = model(*(torch.from_numpy(np.ascontiguousarray(given[name])) for name in INPUTS))
            return {name: x.numpy() for name, x in zip(outputs, arrays, strict=True)}

        return forward

    def facts(self) -> str:
        """The version of PyTorch, and the shape."""
        shape = self.choices.shape
        sizes = "any shape" if shape is None else f"the shape {list(shape)} only"
        return f"Traced by PyTorch {torch.__version__}. The inputs are positional and have {sizes}; the outputs are a tuple."

    def example(self, folder: str, head: str, grouped: bool) -> Sequence[str]:
        """A loaded model, and its tuple of outputs."""
        shape, padding = self.choices.shape, "padding=True"
        if shape is not None:
            padding = f'padding="max_length", max_length={shape[-1]}, truncation=True'
        end = ("[None]" if shape is None else f".view{shape}") if grouped else ""
        given = ", ".join(f'inputs["{name}"]{end}' for name in INPUTS)
        return (
            "import torch",
            f"model = torch.jit.load({in_python(f'{folder}/{FILE}')})",
            f'inputs = tokenizer(texts, {padding}, return_tensors="pt")',
            f"outputs = model({given})",
        )
