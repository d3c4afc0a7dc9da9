"""Objectives: a model and a packed batch -> a loss. One class for the heads; distillation and embeddings have their own.

T tokens   N rows   G groups of rows   C labels
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.data.batches import Batch
from bertkit.errors import UsageError, received
from bertkit.heads import IGNORED, PAIR

Merge = Literal["mean", "max"]
"""How the logits of the windows of a text become its logits: their mean, or the largest of each label."""


class Inner(NamedTuple):
    """The inner outputs of the model that an objective needs; None: as the configuration says."""

    output_hidden_states: bool | None = None
    output_attentions: bool | None = None


PLAIN = Inner()


class Objective(ABC):
    """What training minimizes.

    The loss of a step is the weighted mean of the losses of its batches. Their weights depend only on the labels, so that a step
    has the same gradient, however it is split into batches and over processes.
    """

    head: str  # class suffix of the model
    loss_names: Sequence[str] = ()  # of several losses, for the records
    merge: Merge = "mean"  # of the windows of a text
    is_joint = False  # whether the loss of a step depends on all of its examples together

    @abstractmethod
    def weight(self, batch: Batch) -> float:
        """Return the weight of a batch: the number of its labels, or the sum of their weights."""

    def loss_weights(self, batch: Batch) -> tuple[float, ...]:
        """Return the weight of each loss of a batch. Most objectives have one loss."""
        return (self.weight(batch),)

    @abstractmethod
    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean loss of a batch from the outputs of the model, or several losses, whose sum is minimized [K]."""

    def outputs(self, model: Any, batch: Batch, inner: Inner = PLAIN) -> Any:
        """Run the model."""
        return model(**inputs_of(batch, self.head, device_of(model)), **inner._asdict())

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, or several [K]."""
        return self.loss(self.outputs(model, batch), batch)

    def module(self, model: Any) -> Any:
        """Return the module that `__call__` runs. It is the model, or computes losses in its own forward."""
        return model

    def flops(self, batch: Batch) -> float:
        """Return the operations of a model for a step on a batch; 0: unknown."""
        return 0.0

    def begin_step(self, model: Any, batches: Sequence[Batch]) -> None:  # noqa: B027 - most objectives have nothing to do
        """Prepare for the batches of a step. After it, each batch is passed to `__call__`, in the same order."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield parameters that are trained together with the model, but are not part of it."""
        return iter(())

    @property
    def for_evaluation(self) -> Objective:
        """The objective whose loss is reported on evaluation examples."""
        return self


def device_of(model: Any) -> torch.device:
    """Return the device of a model's parameters."""
    device: torch.device = next(model.parameters()).device
    return device


def inputs_of(batch: Batch, head: str, device: torch.device) -> dict[str, Any]:
    """Return the arguments of a forward: packed ids [T] and the lengths of the rows, for multiple choice [G, choices]."""
    lengths: Any = batch.lengths.tolist()
    if head == "ForMultipleChoice":
        assert batch.groups is not None
        lengths = batch.lengths.reshape(len(batch.groups), -1).tolist()
    ids = torch.from_numpy(batch.input_ids).to(device)
    types = torch.from_numpy(batch.token_type_ids).to(device)
    return {"input_ids": ids, "token_type_ids": types, "lengths": lengths}


def labels_of(batch: Batch, head: str, device: torch.device) -> dict[str, Tensor]:
    """Return the label arguments of a forward."""
    return {name: torch.from_numpy(np.asarray(own)).to(device) for name, own in batch.labels(head).items()}


class OwnLoss(Objective):
    """The loss of the model class itself, for any head with labels."""

    def __init__(self, head: str) -> None:
        self.head = head

    def weight(self, batch: Batch) -> float:
        """Return the number of labels that are not -100."""
        labels = next(iter(batch.labels(self.head).values()))
        return float((labels != IGNORED).sum()) if labels.dtype.kind == "i" else float(len(labels))

    def outputs(self, model: Any, batch: Batch, inner: Inner = PLAIN) -> Any:
        """Run the model with labels."""
        device = device_of(model)
        return model(**inputs_of(batch, self.head, device), **labels_of(batch, self.head, device), **inner._asdict())

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the loss that the model computed."""
        loss: Tensor = outputs.loss
        return loss


class Classification(Objective):
    """Cross-entropy of rows, tokens or choices, with weights of labels and label smoothing. Windows of a text are merged."""

    def __init__(self, head: str, weights: Tensor | None = None, smoothing: float = 0.0, merge: Merge = "mean") -> None:
        self.head, self.weights, self.smoothing, self.merge = head, weights, smoothing, merge  # weights [C]

    def weight(self, batch: Batch) -> float:
        """Return the sum of the weights of the labels."""
        labels = torch.from_numpy(of_examples(batch, self._labels(batch)))
        labels = labels[labels != IGNORED]
        return float(len(labels)) if self.weights is None else float(self.weights[labels].sum())

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean cross-entropy; 0 if all labels have the weight 0."""
        logits = merged(outputs.logits, batch, self.head, self.merge)
        labels = torch.from_numpy(of_examples(batch, self._labels(batch))).to(logits.device)
        weights = None if self.weights is None else self.weights.to(logits.device)
        options: dict[str, Any] = {"ignore_index": IGNORED, "label_smoothing": self.smoothing}
        # Not the mean of PyTorch, which divides by 0 if all labels have the weight 0, and whose gradient is then not a number.
        return F.cross_entropy(logits.float(), labels, weights, reduction="sum", **options) / (
            self.weight(batch) or 1.0
        )

    def _labels(self, batch: Batch) -> Any:
        return batch.labels(self.head)["labels"]


class MultiLabel(Objective):
    """Binary cross-entropy of each label, with weights of positive labels and label smoothing. Windows of a text are merged."""

    head = "ForSequenceClassification"

    def __init__(self, pos_weight: Tensor | None = None, smoothing: float = 0.0, merge: Merge = "max") -> None:
        self.pos_weight, self.smoothing, self.merge = pos_weight, smoothing, merge  # pos_weight [C]

    def weight(self, batch: Batch) -> float:
        """Return the number of examples."""
        return float(len(of_examples(batch, batch.labels(self.head)["labels"])))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean binary cross-entropy."""
        logits = merged(outputs.logits, batch, self.head, self.merge)
        labels = torch.from_numpy(of_examples(batch, batch.labels(self.head)["labels"])).to(logits.device)
        labels = labels * (1 - self.smoothing) + self.smoothing / 2
        weight = None if self.pos_weight is None else self.pos_weight.to(logits.device)
        return F.binary_cross_entropy_with_logits(logits.float(), labels, pos_weight=weight)


class Regression(Objective):
    """The mean squared error. Windows of a text are merged."""

    head = "ForSequenceClassification"

    def __init__(self, merge: Merge = "mean") -> None:
        self.merge = merge

    def weight(self, batch: Batch) -> float:
        """Return the number of examples."""
        return float(len(of_examples(batch, batch.labels(self.head)["labels"])))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean squared error."""
        logits = merged(outputs.logits, batch, self.head, self.merge).float()
        labels = torch.from_numpy(of_examples(batch, batch.labels(self.head)["labels"])).to(logits.device)
        return F.mse_loss(logits, labels.view_as(logits))


def _has_windows(batch: Batch) -> bool:
    return batch.groups is not None and bool((batch.groups > 1).any())


def of_examples(batch: Batch, labels: Any) -> Any:
    """Return the labels of examples. The windows of a text have the same label, [N, ...] -> [G, ...]."""
    if not _has_windows(batch) or len(labels) != len(batch.lengths):
        return labels
    assert batch.groups is not None
    return labels[np.cumsum(batch.groups) - batch.groups]


def merged(logits: Tensor, batch: Batch, head: str, how: Merge) -> Tensor:
    """Return the logits of examples [G, C] from those of their windows [N, C]."""
    if head != "ForSequenceClassification" or not _has_windows(batch):
        return logits
    assert batch.groups is not None
    parts = torch.split(logits, batch.groups.tolist())
    return torch.stack([part.amax(0) if how == "max" else part.mean(0) for part in parts])


LOSS_OPTIONS = ("class_weights", "pos_weight", "label_smoothing")
_OPTIONS = {
    "single_label_classification": ("class_weights", "label_smoothing"),
    "multi_label_classification": ("pos_weight", "label_smoothing"),
    "ForTokenClassification": ("class_weights", "label_smoothing"),
    "ForMultipleChoice": ("label_smoothing",),
    "ForNextSentencePrediction": ("label_smoothing",),
    PAIR: ("label_smoothing",),
}
"""The options that a loss has, by the problem type of a text classification or by the head. Other losses have none."""


def check_options(head: str, problem_type: str | None, given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that the loss of a head does not have."""
    kind = head
    if head == "ForSequenceClassification":
        kind = problem_type or "single_label_classification"
    for name, value in given.items():
        is_given = isinstance(value, Tensor) or value not in (None, 0.0)
        if is_given and name not in _OPTIONS.get(kind, ()):
            shown = "..." if isinstance(value, Tensor) else value
            raise UsageError(received(name, shown), f" has no meaning in the loss of {kind}: leave it out.")


def objective_of(
    head: str,
    problem_type: str | None,
    *,
    class_weights: Tensor | None = None,
    pos_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    merge: Merge | None = None,
) -> Objective:
    """Return the objective of a head. Raise UsageError for an option that its loss does not have.

    Args:
        head: the class suffix of the model.
        problem_type: of a text classification; None: one label.
        class_weights: the weights of labels [C].
        pos_weight: the weights of positive labels, for several labels [C].
        label_smoothing: the share of the target that all labels have in common.
        merge: how to combine the logits of the windows of a text; None: "mean", or "max" for several labels.
    """
    given = {"class_weights": class_weights, "pos_weight": pos_weight, "label_smoothing": label_smoothing}
    check_options(head, problem_type, given)
    if head == "ForSequenceClassification" and problem_type == "multi_label_classification":
        return MultiLabel(pos_weight, label_smoothing, merge or "max")
    if head == "ForSequenceClassification" and problem_type == "regression":
        return Regression(merge or "mean")
    if head in _OPTIONS or head == "ForSequenceClassification":
        return Classification(head, class_weights, label_smoothing, merge or "mean")
    return OwnLoss(head)
