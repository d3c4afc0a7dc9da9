"""The examples of Google's create_pretraining_data as Rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import DataError
from bertkit.tensors import Array

_FEATURES = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


def google_row(features: Mapping[str, Array], what: str = "An example") -> Row:
    """Return the Row of an example, without its padding. `what` names the example in errors.

    >>> lists = {"input_ids": [2, 4, 3, 0], "input_mask": [1, 1, 1, 0], "segment_ids": [0, 0, 0, 0],
    ...          "masked_lm_positions": [1, 0], "masked_lm_ids": [7, 0], "masked_lm_weights": [1.0, 0.0],
    ...          "next_sentence_labels": [1]}
    >>> row = google_row({name: np.array(values) for name, values in lists.items()})
    >>> row.input_ids, row.positions, {name: target.values for name, target in row.targets.items()}
    (array([2, 4, 3]), array([1]), {'labels': array([7]), 'next_sentence_label': 1})
    """
    missing = [name for name in _FEATURES if name not in features]
    if missing:
        raise DataError(f"{what} lacks {', '.join(missing)}: the file is not from create_pretraining_data.")
    ids, mask, types, positions, labels, weights = (features[name] for name in _FEATURES)
    if any(features[name].dtype.kind != "i" for name in _FEATURES[:-1]):
        raise DataError(
            f"{what} has numbers with fractions where ids belong: the file is not from create_pretraining_data."
        )
    if not len(ids) == len(mask) == len(types) or not len(positions) == len(labels) == len(weights):
        raise DataError(f"{what} has lists of different lengths: the file is damaged.")
    size, chosen = int((mask == 1).sum()), weights > 0
    ids, types, positions, labels = ids[:size], types[:size], positions[chosen], labels[chosen]
    if not (mask[:size] == 1).all() or mask[size:].any() or not _are_between(positions, size):
        raise DataError(f"{what} has tokens or positions after its end: the file is damaged.")
    if not size or not all(_are_between(values, 2**31) for values in (ids, types, labels)):
        raise DataError(f"{what} has no tokens, or numbers that are not ids: the file is damaged.")
    targets = {"labels": Target(labels, "place")}
    following = features.get("next_sentence_labels")
    if following is not None:
        if following.tolist() not in ([0], [1]):
            raise DataError(f"{what} has next_sentence_labels {following[:5]}, which must be 0 or 1.")
        targets["next_sentence_label"] = Target(int(following[0]), "row")
    return Row(ids, types, positions, targets)


def _are_between(values: Array, end: int) -> bool:
    """Return whether all numbers are from 0 to below `end`."""
    return bool(np.all((values >= 0) & (values < end)))
