"""The PyTorch classes of transformers and of bertkit with the weights of the tiny models of pipeline_cases."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from pipeline_cases import MODELS, config, weights

import bertkit


@cache
def theirs(name: str) -> Any:
    """Return the model of transformers."""
    own = transformers.BertConfig(**config(name).to_dict(), attn_implementation="eager")
    return _with_weights(getattr(transformers, "Bert" + MODELS[name][0])(own), name)


@cache
def ours(name: str) -> Any:
    """Return the model of bertkit."""
    return _with_weights(getattr(bertkit, "Bert" + MODELS[name][0])(config(name)), name)


def _with_weights(model: Any, name: str) -> Any:
    own = {key: torch.from_numpy(array) for key, array in weights(name).items()}
    missing, unexpected = model.load_state_dict(own, strict=False)
    assert not unexpected and all(
        "decoder" in key or "position_ids" in key for key in missing
    )  # tied weights or constants
    return model.eval()
