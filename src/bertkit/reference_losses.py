"""The losses of the nine classes in plain NumPy, the second half of `reference.py`.

Each is a mean over the labels that count. In comments: B sequences, L tokens of each, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.config import BertConfig
from bertkit.errors import UsageError

Array = NDArray[Any]


def loss_of(
    config: BertConfig,
    head: str,
    outputs: Mapping[str, Array],
    labels: Array | None = None,
    next_sentence_label: Array | None = None,
    start_positions: Array | None = None,
    end_positions: Array | None = None,
) -> Array | None:
    """The loss of the class `"Bert" + head`, out of its logits; None if a label that it needs is not there."""
    match head:
        case "ForQuestionAnswering":
            if start_positions is None or end_positions is None:
                return None
            start = span_loss(outputs["start_logits"], start_positions)
            return np.asarray((start + span_loss(outputs["end_logits"], end_positions)) / 2)
        case "ForPreTraining":
            if labels is None or next_sentence_label is None:
                return None
            words = cross_entropy(outputs["prediction_logits"], labels)
            return np.asarray(words + cross_entropy(outputs["seq_relationship_logits"], next_sentence_label))
    if labels is None or head == "Model":
        return None
    if head == "LMHeadModel":  # a token is predicted at the one before it
        return cross_entropy(outputs["logits"][:, :-1], labels[:, 1:])
    if head == "ForSequenceClassification":
        return classification_loss(config, outputs["logits"], labels)
    return cross_entropy(outputs["logits"], labels)


def classification_loss(config: BertConfig, logits: Array, labels: Array) -> Array:
    """By the problem that the configuration names, or else that the labels tell: [B, C], and [B] or [B, C]."""
    told = "single_label_classification" if labels.dtype.kind in "iu" else "multi_label_classification"
    problem = config.problem_type or ("regression" if config.num_labels == 1 else told)
    if problem == "single_label_classification":
        return cross_entropy(logits, labels)
    wanted = labels.reshape(logits.shape).astype(logits.dtype)
    if problem == "regression":
        return np.asarray(np.square(logits - wanted).mean())
    # A yes or no for each class: -log sigmoid, in a form that no large number overflows.
    return np.asarray(np.mean(np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-np.abs(logits)))))


def span_loss(logits: Array, positions: Array) -> Array:
    """[B, L], and [B] or [B, 1]. The softmax is over padding too; a position behind the last token does not count."""
    behind = logits.shape[1]
    return cross_entropy(logits, positions.reshape(-1).clip(0, behind), ignored=behind)


def cross_entropy(logits: Array, labels: Array, ignored: int = -100) -> Array:
    """The mean of -log softmax at the labels that count, [..., C] and [...]. NaN if none does.

    >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([3, -100]))), 4)  # log(4)
    1.3863
    """
    counts = labels.reshape(-1) != ignored
    logits, labels = logits.reshape(-1, logits.shape[-1])[counts], labels.reshape(-1)[counts]
    if not labels.size:
        return np.asarray(np.nan, logits.dtype)
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise UsageError(
            f"Labels are from 0 to {logits.shape[1] - 1}; these are from {labels.min()} to {labels.max()}."
        )
    logits = logits - logits.max(-1, keepdims=True)
    losses = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    return np.asarray(losses.mean())
