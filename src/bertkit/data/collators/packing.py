"""The collator that leaves padding out: the tokens of a batch in one row, with the lengths of the sequences."""

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

    What has a value for each token, labels of tokens too, becomes one row [1, T] of the real tokens; `lengths` takes the place
    of the attention_mask. All else stays as it is. Losses are those of the padded batch.

    >>> import bertkit
    >>> from bertkit import DataCollatorWithPadding
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorWithPacking(DataCollatorWithPadding(tokenizer, return_tensors="np"))
    >>> collate([{"input_ids": [2, 5, 6, 3], "label": 1}, {"input_ids": [2, 3], "label": 0}])
    {'input_ids': array([[2, 5, 6, 3, 2, 3]]), 'labels': array([1, 0]), 'lengths': array([4, 2])}

    Args:
        collator: makes the batch, such as DataCollatorForTokenClassification(tokenizer).
    """

    collator: Callable[[Examples], Mapping[str, Any]]

    def __call__(self, features: Examples) -> dict[str, Any]:
        """Examples -> a batch."""
        batch = dict(self.collator(features))
        kind = kind_of(batch.get("input_ids"))
        if kind is None:
            raise DataError(
                "The collator to pack made no tensor input_ids: type DataCollatorWithPacking(DataCollatorWithPadding(tokenizer))."
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
    """A column [..., L] of whole numbers as [1, T]; any other as it is."""
    array = to_array(value)
    return with_dtype(array[mask][None], kind) if array.shape == mask.shape and array.dtype.kind in "iub" else value


def _usual_places(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """[T], the place of each token in its row where there is no padding before it."""
    sizes = lengths.reshape(-1)
    places: NDArray[np.int64] = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return places
