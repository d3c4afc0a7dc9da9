"""Examples of a data loader -> a batch of tensors, for PyTorch's DataLoader and transformers' Trainer.

A collator is an object that is called with a list of examples. It takes any tokenizer that has `pad`.
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
