"""Tiny models whose weights depend only on their names, so that tests can compute the expected weights of any file."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.parameters import expand


def config(**given: Any) -> BertConfig:
    """Return a small configuration with different sizes, so that a wrong transpose is always noticed."""
    sizes = {
        "vocab_size": 23,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "max_position_embeddings": 10,
        "num_labels": 3,
    }
    return BertConfig(**(sizes | given))


def weights(config: BertConfig, head: str, dtype: Any = np.float32) -> Tensors:
    """Return random weights for each parameter of a class, seeded by its name."""
    return {name: numbers(name, parameter.shape).astype(dtype) for name, parameter in expand(config, head).items()}


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal numbers that depend only on the name and the shape."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)


def trained(config: BertConfig, head: str, scale: float = 0.125) -> dict[str, np.ndarray]:
    """Weights like those of trained models, whose states do not amplify the rounding of float32."""
    found = {}
    for name, parameter in expand(config, head).items():
        normal = numbers(name, parameter.shape)
        found[name] = 1 + normal / 8 if parameter.kind == "norm" else normal * np.float32(scale)
    return found
