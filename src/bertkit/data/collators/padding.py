"""The collators that pad: rows, rows with a label for each token, and the choices of a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit.data.collators.default import Example, Examples, checked_kind, column, labels_of
from bertkit.errors import DataError, Setting
from bertkit.heads import IGNORED
from bertkit.tensors import to_array, to_tensor, with_dtype


@dataclass
class DataCollatorWithPadding:
    """Pad examples to one length. The column `label` or `label_ids` becomes `labels`.

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorWithPadding(tokenizer, return_tensors="np")
    >>> collate([{"input_ids": [2, 5, 6, 3], "label": 1}, {"input_ids": [2, 3], "label": 0}])["input_ids"]
    array([[2, 5, 6, 3],
           [2, 3, 0, 0]])

    Args:
        tokenizer: has the padding token, and the side of the padding.
        padding: True or "longest" (the longest row of the batch), "max_length", or False.
        max_length: of "max_length"; None: the most that the model takes.
        pad_to_multiple_of: rows are made longer, up to a multiple of this number.
        return_tensors: "pt", "np" or "tf".
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Examples) -> Any:
        """Examples -> a batch."""
        batch = padded(self, features, checked_kind(self.return_tensors))
        for name in ("label", "label_ids"):
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


@dataclass
class DataCollatorForTokenClassification:
    """Pad examples that have a label for each token, and their labels too.

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorForTokenClassification(tokenizer, return_tensors="np")
    >>> collate([{"input_ids": [2, 5, 3], "labels": [-100, 1, -100]}, {"input_ids": [2, 3], "labels": [-100, -100]}])["labels"]
    array([[-100,    1, -100],
           [-100, -100, -100]])

    Args:
        tokenizer, padding, max_length, pad_to_multiple_of, return_tensors: as in DataCollatorWithPadding.
        label_pad_token_id: the label of padding, which no loss counts.
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: str = "pt"

    def __call__(self, features: Examples, return_tensors: str | None = None) -> Any:
        """Examples -> a batch. The labels are in the column `label` or `labels`, and stay there."""
        kind = checked_kind(return_tensors or self.return_tensors)
        name = label_name(features[0])
        if name not in features[0]:
            return padded(self, features, kind)
        batch = padded(self, [without(row, name) for row in features], "np")
        width, side = batch["input_ids"].shape[1], self.tokenizer.padding_side
        labels = np.full((len(features), width), self.label_pad_token_id, np.int64)
        for row, given in zip(labels, column(features, name), strict=True):
            own = to_array(given)
            if len(own) > width:
                raise DataError(
                    f"An example has {len(own)} labels, and its row {width} tokens: give one label a token."
                )
            start = 0 if side == "right" else width - len(own)
            row[start : start + len(own)] = own
        batch[name] = labels
        for key, values in batch.items():  # whole numbers as int64, in TensorFlow too
            batch[key] = with_dtype(values, kind) if values.dtype == np.int64 else to_tensor(values, kind)
        return batch


@dataclass
class DataCollatorForMultipleChoice:
    """Pad examples of several choices each: every column has one row for each choice, [batch, choices, length].

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorForMultipleChoice(tokenizer, return_tensors="np")
    >>> collate([{"input_ids": [[2, 5, 3], [2, 3]], "label": 1}])["input_ids"]
    array([[[2, 5, 3],
            [2, 3, 0]]])

    The arguments are those of DataCollatorWithPadding.
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Examples, return_tensors: str | None = None) -> dict[str, Any]:
        """Examples -> a batch. The label is in the column `label` or `labels`, and may be absent."""
        kind = checked_kind(return_tensors or self.return_tensors)
        name = label_name(features[0])
        choices = len(features[0]["input_ids"])
        rows = [
            {key: values[choice] for key, values in without(example, name).items()}
            for example in features
            for choice in range(_counted(example, choices))
        ]
        flat = padded(self, rows, "np")
        shape = (len(features), choices, -1)
        batch = {key: to_tensor(values.reshape(shape), kind) for key, values in flat.items()}
        if name in features[0]:
            batch["labels"] = labels_of(column(features, name), kind)
        return batch


def _counted(example: Mapping[str, Any], choices: int) -> int:
    if len(example["input_ids"]) != choices:
        raise DataError(
            f"An example has {len(example['input_ids'])} choices, and the first one of the batch {choices}: give all of "
            "them as many."
        )
    return choices


def padded(collator: Any, rows: Sequence[Example], kind: str) -> Any:
    """Rows as the tokenizer of a collator pads them."""
    if not rows:
        raise DataError("A batch has no examples: give at least one.")
    if collator.padding in (False, "do_not_pad") and len({len(row["input_ids"]) for row in rows}) > 1:
        raise DataError(
            "The rows of input_ids differ in length, and a tensor needs rows of one length: type ",
            Setting("padding", True), ".",
        )  # fmt: skip
    return collator.tokenizer.pad(
        rows,
        padding=collator.padding,
        max_length=collator.max_length,
        pad_to_multiple_of=collator.pad_to_multiple_of,
        return_tensors=kind,
    )


def label_name(example: Mapping[str, Any]) -> str:
    """The column of the labels."""
    return "label" if "label" in example else "labels"


def without(example: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An example without a column."""
    return {key: value for key, value in example.items() if key != name}
