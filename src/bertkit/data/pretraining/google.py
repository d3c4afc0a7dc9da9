"""The examples of Google's create_pretraining_data as Rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import DataError
from bertkit.tensors import Array

_FEATURES = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


def google_row(features: Mapping[str, Array]) -> Row:
    """Return the Row of an example, without its padding.

    >>> lists = {"input_ids": [2, 4, 3, 0], "input_mask": [1, 1, 1, 0], "segment_ids": [0, 0, 0, 0],
    ...          "masked_lm_positions": [1, 0], "masked_lm_ids": [7, 0], "masked_lm_weights": [1.0, 0.0],
    ...          "next_sentence_labels": [1]}
    >>> row = google_row({name: np.array(values) for name, values in lists.items()})
    >>> row.input_ids, row.positions, {name: target.values for name, target in row.targets.items()}
    (array([2, 4, 3]), array([1]), {'labels': array([7]), 'next_sentence_label': 1})
    """
    missing = [name for name in _FEATURES if name not in features]
    if missing:
        raise DataError(f"An example lacks {', '.join(missing)}: the file is not from create_pretraining_data.")
    ids, mask, types, positions, labels, weights = (features[name] for name in _FEATURES)
    size, chosen = int(mask.sum()), weights > 0
    sizes = (len(ids) == len(mask) == len(types), len(positions) == len(labels) == len(weights))
    if not all(sizes) or not mask[:size].all() or (chosen.any() and not 0 <= positions[chosen].max() < size):
        raise DataError(
            "An example has lists of different lengths, or positions after its last token: the file is damaged."
        )
    targets = {"labels": Target(labels[chosen].astype(np.int64), "place")}
    if "next_sentence_labels" in features:
        targets["next_sentence_label"] = Target(int(features["next_sentence_labels"][0]), "row")
    return Row(ids[:size].astype(np.int64), types[:size].astype(np.int64), positions[chosen].astype(np.int64), targets)
