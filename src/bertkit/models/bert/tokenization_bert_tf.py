"""The tokenizer for TensorFlow's graphs under transformers' path. It is not here yet."""

from __future__ import annotations

from bertkit.errors import UnavailableError


def __getattr__(name: str) -> object:
    if name == "TFBertTokenizer":
        raise UnavailableError(
            'bertkit has no TFBertTokenizer yet: type BertTokenizerFast, and return_tensors="tf" in its call.'
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
