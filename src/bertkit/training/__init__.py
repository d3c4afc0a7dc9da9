"""Trainer and TrainingArguments of transformers, if it is installed: `from bertkit import Trainer, TrainingArguments`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bertkit.errors import MissingExtraError

if TYPE_CHECKING:
    from transformers import Trainer as Trainer
    from transformers import TrainingArguments as TrainingArguments


def __getattr__(name: str) -> Any:
    if name not in ("Trainer", "TrainingArguments"):
        raise AttributeError(f"module 'bertkit.training' has no attribute {name!r}")
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtraError("transformers[torch]", None, name) from error
    return getattr(transformers, name)
