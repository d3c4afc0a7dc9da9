"""Data collators for PyTorch's DataLoader and transformers' Trainer: callables that turn a list of examples into a batch.

The tokenizer of a collator may be any tokenizer with the method `pad`.
"""

from __future__ import annotations

from bertkit.data.collators.default import DefaultDataCollator, default_data_collator
from bertkit.data.collators.language_modeling import DataCollatorForLanguageModeling, DataCollatorForWholeWordMask
from bertkit.data.collators.packing import DataCollatorWithPacking
from bertkit.data.collators.padding import (
    DataCollatorForMultipleChoice,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
)

__all__ = [
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForTokenClassification",
    "DataCollatorForWholeWordMask",
    "DataCollatorWithPacking",
    "DataCollatorWithPadding",
    "DefaultDataCollator",
    "default_data_collator",
]
