"""Rows of a dataset -> batches for `fit`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bertkit.errors import UsageError
from bertkit.heads import HEADS


def batches_of(
    model: Any,
    dataset: Any,
    batch_size: int,
    shuffle: bool,
    tokenizer: Any,
    collate: Callable[..., Mapping[str, Any]] | None,
    drop_remainder: bool,
) -> tf.data.Dataset:
    """A dataset of (inputs, labels), or of inputs if the rows have no labels, without columns that the model does not take."""
    labels = set(HEADS[model._head].labels) if model._head else set()
    names = set(inspect.signature(model.call).parameters) | labels | {"label", "label_ids"}
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise UsageError(
            f"prepare_tf_dataset takes a sequence of rows, such as a datasets.Dataset or a list of dicts, not "
            f"{type(dataset).__name__}."
        )

    def batch(numbers: Iterable[int]) -> tuple[Any, ...]:
        rows = [{name: x for name, x in dataset[int(i)].items() if name in names} for i in numbers]
        columns = collate(rows) if collate else _collated(rows, tokenizer)
        found = {_renamed(name): np.asarray(x) for name, x in columns.items()}
        inputs = {name: x for name, x in found.items() if name not in labels}
        targets = {name: x for name, x in found.items() if name in labels}
        return (inputs, _unwrapped(targets)) if targets else (inputs,)

    def batches() -> Iterator[tuple[Any, ...]]:
        order = np.random.permutation(len(dataset)) if shuffle else np.arange(len(dataset))
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            if len(some) == batch_size or not drop_remainder:
                yield batch(some)

    count = len(dataset) // batch_size if drop_remainder else math.ceil(len(dataset) / batch_size)
    if not count:
        raise UsageError(
            f"The dataset has {len(dataset)} rows, fewer than a batch of {batch_size}: type a smaller batch_size."
        )
    first = batch(range(min(batch_size, len(dataset))))
    signature = tf.nest.map_structure(lambda x: tf.TensorSpec([None] * x.ndim, x.dtype), first)
    found = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return found.apply(tf.data.experimental.assert_cardinality(count))


def _renamed(name: str) -> str:
    return "labels" if name in ("label", "label_ids") else name


def _unwrapped(columns: dict[str, Any]) -> Any:
    """The only value of a dict, or a dict of several."""
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _collated(rows: Sequence[Mapping[str, Any]], tokenizer: Any) -> Mapping[str, Any]:
    """Columns of rows, which a tokenizer pads. Without one, the rows must have the same length."""
    if tokenizer is not None:
        return dict(tokenizer.pad([dict(row) for row in rows], return_tensors="np"))
    try:
        return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}
    except ValueError as error:
        raise UsageError(
            "The rows have different lengths: type prepare_tf_dataset(..., tokenizer=tokenizer)."
        ) from error
