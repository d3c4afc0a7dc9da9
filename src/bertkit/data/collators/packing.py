"""The packing collator: the tokens of a batch in one row without padding, with the lengths of the sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.collators.default import Examples
from bertkit.errors import DataError
from bertkit.tensors import kind_of, to_array, with_dtype


@dataclass
class DataCollatorWithPacking:
    """Pack the batch of another collator, for bertkit's PyTorch classes.

    Columns with a value for each token become one row [1, T] without padding, including labels of tokens. `lengths` replaces
    the attention_mask. Other columns do not change. The loss is the same as for the padded batch.

    >>> import bertkit
    >>> from bertkit import DataCollatorWithPadding
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorWithPacking(DataCollatorWithPadding(tokenizer, return_tensors="np"))
    >>> collate([{"input_ids": [2, 5, 6, 3], "label": 1}, {"input_ids": [2, 3], "label": 0}])
    {'input_ids': array([[2, 5, 6, 3, 2, 3]]), 'labels': array([1, 0]), 'lengths': array([4, 2])}

    Args:
        collator: the collator to wrap, for example DataCollatorForTokenClassification(tokenizer).
    """

    collator: Callable[[Examples], Mapping[str, Any]]

    def __call__(self, features: Examples) -> dict[str, Any]:
        """Return the batch of a list of examples."""
        batch = dict(self.collator(features))
        kind = kind_of(batch.get("input_ids"))
        if kind is None:
            raise DataError(
                "The collator returned no tensor input_ids to pack: type "
                "DataCollatorWithPacking(DataCollatorWithPadding(tokenizer))."
            )
        ids = to_array(batch["input_ids"])
        mask = to_array(batch.pop("attention_mask", np.ones_like(ids))).astype(bool)
        packed = {name: _packed(value, mask, kind) for name, value in batch.items()}
        lengths = mask.sum(-1)
        places = np.nonzero(mask)[-1]
        if "position_ids" not in packed and not np.array_equal(places, _usual_places(lengths)):
            packed["position_ids"] = with_dtype(places[None], kind)
        packed["lengths"] = with_dtype(lengths, kind)
        return packed


def _packed(value: Any, mask: NDArray[np.bool_], kind: str) -> object:
    """Return a column of integers [..., L] as [1, T], and other columns unchanged."""
    array = to_array(value)
    return with_dtype(array[mask][None], kind) if array.shape == mask.shape and array.dtype.kind in "iub" else value


def _usual_places(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of each token in its row, without padding on the left [T]."""
    sizes = lengths.reshape(-1)
    places: NDArray[np.int64] = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return places
