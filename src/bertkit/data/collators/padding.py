"""The padding collators: for plain rows, for rows with a label for each token, and for multiple choice."""

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
    """Pad examples to the same length. The column `label` or `label_ids` is renamed to `labels`.

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorWithPadding(tokenizer, return_tensors="np")
    >>> collate([{"input_ids": [2, 5, 6, 3], "label": 1}, {"input_ids": [2, 3], "label": 0}])["input_ids"]
    array([[2, 5, 6, 3],
           [2, 3, 0, 0]])

    Args:
        tokenizer: the tokenizer whose `pad` pads the rows.
        padding: True or "longest" (to the longest row of the batch), "max_length", or False.
        max_length: the length for "max_length"; None: the model's maximum.
        pad_to_multiple_of: pad to a length that is a multiple of this number.
        return_tensors: "pt", "np" or "tf".
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Examples) -> Any:
        """Return the batch of a list of examples."""
        batch = padded(self, features, checked_kind(self.return_tensors))
        for name in ("label", "label_ids"):
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


@dataclass
class DataCollatorForTokenClassification:
    """Pad examples that have a label for each token, together with their labels.

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorForTokenClassification(tokenizer, return_tensors="np")
    >>> collate([{"input_ids": [2, 5, 3], "labels": [-100, 1, -100]}, {"input_ids": [2, 3], "labels": [-100, -100]}])["labels"]
    array([[-100,    1, -100],
           [-100, -100, -100]])

    Args:
        tokenizer, padding, max_length, pad_to_multiple_of, return_tensors: as in DataCollatorWithPadding.
        label_pad_token_id: the label of padding, which the loss ignores.
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: str = "pt"

    def __call__(self, features: Examples, return_tensors: str | None = None) -> Any:
        """Return the batch of a list of examples. The labels stay in their column, `label` or `labels`."""
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
                    f"An example has {len(own)} labels, but its row has {width} tokens: pass one label for each token."
                )
            start = 0 if side == "right" else width - len(own)
            row[start : start + len(own)] = own
        batch[name] = labels
        for key, values in batch.items():  # integers become int64, also for TensorFlow
            batch[key] = with_dtype(values, kind) if values.dtype == np.int64 else to_tensor(values, kind)
        return batch


@dataclass
class DataCollatorForMultipleChoice:
    """Pad examples with several choices. Each column gets a row for each choice, [batch, choices, length].

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorForMultipleChoice(tokenizer, return_tensors="np")
    >>> collate([{"input_ids": [[2, 5, 3], [2, 3]], "label": 1}])["input_ids"]
    array([[[2, 5, 3],
            [2, 3, 0]]])

    The arguments are the same as for DataCollatorWithPadding.
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Examples, return_tensors: str | None = None) -> dict[str, Any]:
        """Return the batch of a list of examples. The column `label` or `labels` is optional."""
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
            f"An example has {len(example['input_ids'])} choices, but the first example has {choices}: pass the same number of "
            "choices for all examples."
        )
    return choices


def padded(collator: Any, rows: Sequence[Example], kind: str) -> Any:
    """Pad rows with the tokenizer of a collator."""
    if not rows:
        raise DataError("The batch is empty: pass at least one example.")
    if collator.padding in (False, "do_not_pad") and len({len(row["input_ids"]) for row in rows}) > 1:
        raise DataError(
            "The rows of input_ids differ in length, but a tensor needs rows of the same length: type ",
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
    """Return the name of the column with labels."""
    return "label" if "label" in example else "labels"


def without(example: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a copy of an example without one column."""
    return {key: value for key, value in example.items() if key != name}
