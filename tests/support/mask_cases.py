"""Calls of `get_extended_attention_mask` for transformers 4.57.6 and bertkit."""

from __future__ import annotations

from typing import Any

import torch

ROWS = [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0]]
CASES: dict[str, tuple[Any, int, bool, str | None]] = {
    "padding": (ROWS, 5, False, None),
    "half": (ROWS, 5, False, "float16"),
    "decoder": (ROWS, 5, True, None),
    "cached": (ROWS, 2, True, "bfloat16"),
    "pairs": ([[row] * 5 for row in ROWS], 5, False, None),
    "pairs of a decoder": ([[row] * 5 for row in ROWS], 5, True, None),
}
"""Name -> a mask, the length of the ids, whether the model is a decoder, and the requested dtype."""


def answers(library: Any) -> dict[str, Any]:
    """Return the results of a library for each case."""
    found = {}
    for name, (mask, length, decoder, dtype) in CASES.items():
        sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
        model = library.BertModel(library.BertConfig(vocab_size=9, is_decoder=decoder, **sizes))
        options = {} if dtype is None else {"dtype": getattr(torch, dtype)}
        extended = model.get_extended_attention_mask(torch.tensor(mask), (len(ROWS), length), **options)
        found[name] = {
            "dtype": str(extended.dtype),
            "shape": list(extended.shape),
            "zeros": extended.eq(0).int().flatten().tolist(),
            "lowest": extended.min().item(),
        }
    return found
