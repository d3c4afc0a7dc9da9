"""Weights of labels in the loss, given or balanced by the training examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertkit.errors import Setting, UsageError, did_you_mean, received
from bertkit.heads import IGNORED
from bertkit.training.batches import Unit

Option = str | float | Mapping[str, float] | None


def class_weights(option: Option, names: Mapping[int, str], units: Sequence[Unit]) -> Tensor | None:
    """Return the weight of each label [C]. "balanced" gives rare labels more weight; "good=1,bad=3" names weights.

    Balanced weights are examples / (labels * examples with this label), as in scikit-learn; without examples a weight is 1.
    The windows of a text count once, as in the loss.
    """
    if option is None:
        return None
    if option == "balanced":
        counts = np.zeros(len(names))
        for unit in units:
            labels = np.atleast_1d(unit[0].targets["labels"].values)
            np.add.at(counts, labels[labels != IGNORED], 1)
        balanced = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return torch.tensor(np.where(counts > 0, balanced, 1.0), dtype=torch.float32)
    given = _pairs("class_weights", option, list(names.values()))
    if not any(given.get(name, 1.0) for name in names.values()):
        raise UsageError("All class_weights are 0, so that nothing is learnt: give one of the labels a weight above 0.")
    return torch.tensor([given.get(name, 1.0) for name in names.values()], dtype=torch.float32)


def pos_weights(option: Option, names: Mapping[int, str], units: Sequence[Unit]) -> Tensor | None:
    """Return the weight of the positive examples of each label [C]: a number, "balanced" (negative / positive), or by name."""
    if option is None:
        return None
    if option == "balanced":
        flags = np.stack([np.asarray(unit[0].targets["labels"].values) for unit in units])
        positive = flags.sum(0)
        balanced = np.where(positive > 0, (len(flags) - positive) / np.maximum(positive, 1), 1.0)
        return torch.tensor(balanced, dtype=torch.float32)
    if (number := _weight(option)) is not None:
        return torch.full((len(names),), number)
    given = _pairs("pos_weight", option, list(names.values()))
    return torch.tensor([given.get(name, 1.0) for name in names.values()], dtype=torch.float32)


def _weight(value: Any) -> float | None:
    """Return a value as a weight, or None if it is not a finite number of at least 0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number >= 0 and math.isfinite(number) else None


def _pairs(name: str, option: Option, labels: Sequence[str]) -> dict[str, float]:
    """Return the weights of labels, given as a dict or as "good=1,bad=3"."""
    if isinstance(option, Mapping):
        pairs: list[tuple[str, Any]] = [(str(label), number) for label, number in option.items()]
    else:
        pairs = [
            (label.strip(), number) for label, _, number in (part.rpartition("=") for part in str(option).split(","))
        ]
    found = {}
    for label, number in pairs:
        weight = _weight(number)
        if not label or weight is None:
            advice = Setting(name, f"{labels[0] if labels else 'good'}=2")
            raise UsageError(received(name, option), ' is invalid: type "balanced", or for example ', advice, ".")
        if label not in labels:
            known = ", ".join(labels)
            raise UsageError(f"{name} names {label!r}, which is not a label: {known}.{did_you_mean(label, labels)}")
        found[label] = weight
    return found
