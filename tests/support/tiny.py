"""Tiny models whose every weight is told by its name, so that any file of them can be checked without keeping a second one."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.parameters import expand


def config(**given: Any) -> BertConfig:
    """Small, and with sizes that are all different, so that no transpose can hide."""
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
    """Random numbers for every parameter of a class, seeded by its name."""
    return {name: numbers(name, parameter.shape).astype(dtype) for name, parameter in expand(config, head).items()}


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, the same for the same name on every machine."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
