"""The configuration under the path of transformers."""

from __future__ import annotations

from bertkit.config import BertConfig as BertConfig
from bertkit.errors import UnavailableError


def __getattr__(name: str) -> object:
    if name == "BertOnnxConfig":
        raise UnavailableError(
            'bertkit has no BertOnnxConfig: type torch.onnx.export(model, (input_ids,), "model.onnx").'
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
