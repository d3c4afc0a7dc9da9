"""The tokenizer for TensorFlow graphs under the path of transformers."""

from __future__ import annotations


def __getattr__(name: str) -> object:
    if name == "TFBertTokenizer":
        from bertkit.models.keras.tokenizer import TFBertTokenizer

        return TFBertTokenizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
