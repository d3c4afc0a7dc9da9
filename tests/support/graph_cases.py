"""Inputs and settings with which the graphs of every runtime are compared with the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertkit.config.rules import ACTIVATIONS

SETTINGS: list[dict[str, Any]] = [
    *({"hidden_act": name} for name in ACTIVATIONS),
    {"position_embedding_type": "relative_key"},
    {"position_embedding_type": "relative_key_query", "is_decoder": True},
    {"is_decoder": True},
    {"is_decoder": True, "add_cross_attention": True},  # there are no states of an encoder
    {"pruned_heads": {0: [1]}},
    {"tie_word_embeddings": False},
]


def inputs(head: str) -> dict[str, np.ndarray]:
    """Four sequences: whole, padded on the right, padded on the left, and without tokens."""
    rng = np.random.default_rng(0)
    mask = np.ones((4, 9), np.int64)
    mask[1, 6:] = mask[2, :3] = mask[3] = 0
    found = {
        "input_ids": rng.integers(0, 23, (4, 9)),
        "attention_mask": mask,
        "token_type_ids": rng.integers(0, 2, (4, 9)),
    }
    return {name: x.reshape(2, 2, 9) for name, x in found.items()} if head == "ForMultipleChoice" else found
