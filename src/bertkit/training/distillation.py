"""Distillation: a student learns from its labels and from the outputs of a teacher.

    loss = (1 - alpha) * the task's loss
         + alpha * the distance of the logits
         + hidden_states * the distance of the hidden states
         + attention * the distance of the attention

Each part is a mean: over labels, over compared items, over tokens. Each part has its own weights of batches, so that the loss
does not depend on how a step is split.

T tokens   N rows   G groups of rows   C labels   K layers   H width
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit import hub
from bertkit.config import BertConfig
from bertkit.data.batches import Batch
from bertkit.engines.torch import model_class
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import HEADS, IGNORED, head_of
from bertkit.pipelines.open import tokenizer_of
from bertkit.tasks.embedding import weights_place
from bertkit.training.batches import Unit
from bertkit.training.distributed import Processes
from bertkit.training.objectives import (
    PLAIN,
    Inner,
    MultiLabel,
    Objective,
    Regression,
    device_of,
    merged,
    of_examples,
)
from bertkit.training.opening import LABELLED, Opened
from bertkit.training.options import DistillationOptions, Settings
from bertkit.training.teacher import ATTENTION, HIDDEN, Teacher, with_cache

_NEEDS_TEACHER = ("temperature", "alpha", "hidden_states", "attention")
_NEVER = -1e9
"""The logit of positions that a row does not have."""


class Distillation(Objective):
    """The loss of a task, and the distances between the outputs of a student and those of its teacher.

    Args:
        task: the objective of the task.
        teacher: the teacher.
        settings: the weights of the parts of the loss.
        pairs: the layers of student and teacher that are compared, from 1.
        projection: a layer from the width of the student to that of the teacher; None: they are as wide.
    """

    def __init__(
        self,
        task: Objective,
        teacher: Teacher,
        settings: Settings,
        pairs: Sequence[tuple[int, int]],
        projection: nn.Linear | None = None,
    ) -> None:
        self.task, self.teacher, self.head, self.pairs, self.projection = task, teacher, task.head, pairs, projection
        self.temperature = settings.temperature
        parts: dict[str, tuple[float, Callable[[Any, dict[str, Any], Batch], Tensor], Callable[[Batch], float]]] = {
            "task": (1 - settings.alpha, lambda outputs, _, batch: task.loss(outputs, batch), task.weight),
            "logits": (settings.alpha, self.of_logits, self.items),
            "hidden_states": (settings.hidden_states, self.of_hidden_states, _tokens),
            "attention": (settings.attention, self.of_attention, _tokens),
        }
        self._parts = {name: part for name, part in parts.items() if part[0] > 0}
        self._inner = Inner("hidden_states" in self._parts or None, "attention" in self._parts or None)

    def weight(self, batch: Batch) -> float:
        """Return the weight of the task's loss."""
        return self.task.weight(batch)

    def loss_weights(self, batch: Batch) -> tuple[float, ...]:
        """Return the weight of each part of the loss."""
        return tuple(weight(batch) for _, _, weight in self._parts.values())

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the parts of the loss."""
        device = outputs[next(iter(HEADS[self.head].outputs))].device
        found = self.teacher.of(batch, device)
        return torch.stack([factor * loss(outputs, found, batch) for factor, loss, _ in self._parts.values()])

    def outputs(self, model: Any, batch: Batch, inner: Inner = PLAIN) -> Any:
        """Run the student."""
        return self.task.outputs(model, batch, self._inner)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the matrix from the width of the student to that of the teacher."""
        return iter(()) if self.projection is None else self.projection.named_parameters("projection")

    @property
    def for_evaluation(self) -> Objective:
        """The objective of the task, so that losses with and without a teacher can be compared."""
        return self.task

    # The parts.

    def items(self, batch: Batch) -> float:
        """Return the number of compared items: rows, groups of choices, examples, or tokens with labels."""
        kept = self._kept(batch)
        return float(len(batch.lengths)) if kept is None else float(kept.sum())

    def of_logits(self, outputs: Any, found: dict[str, Any], batch: Batch) -> Tensor:
        """Return the mean distance of the logits."""
        distances = []
        for name in HEADS[self.head].outputs:
            student = outputs[name].float()
            teacher = found[name].reshape(student.shape).float()
            distances.append(self._distance(*(self._compared(logits, batch) for logits in (student, teacher))))
        total = torch.stack(distances).mean(0)
        kept = self._kept(batch)
        total = total if kept is None else total[torch.from_numpy(kept).to(total.device)]
        return total.sum() / max(len(total), 1)

    def _compared(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the logits of each item, [items, C]: the windows of a text are one item, and so is a row with an answer."""
        if self.head == "ForQuestionAnswering":
            rows = list(torch.split(logits, batch.lengths.tolist()))
            return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=_NEVER)
        return merged(logits, batch, self.head, self.task.merge)

    def _distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the distance of the logits of each item, [n, C] -> [n]."""
        if isinstance(self.task, Regression):
            return (student - teacher).square().flatten(1).mean(1)
        several, temperature = isinstance(self.task, MultiLabel), self.temperature
        distance: Callable[[Tensor, Tensor], Tensor] = _of_each_label if several else _of_distributions
        return temperature * temperature * distance(student / temperature, teacher / temperature)

    def _kept(self, batch: Batch) -> Any:
        """Return which items are compared; None: all of them, one for each row."""
        if self.head == "ForQuestionAnswering":
            return None
        labels = np.asarray(of_examples(batch, batch.labels(self.head)["labels"]))
        if isinstance(self.task, (MultiLabel, Regression)):
            return np.ones(len(labels), bool)
        return labels != IGNORED

    def of_hidden_states(self, outputs: Any, found: dict[str, Any], batch: Batch) -> Tensor:
        """Return the mean squared difference of the hidden states."""
        student = torch.stack([outputs.hidden_states[layer] for layer, _ in self.pairs], dim=1)  # [T, K, H]
        student = student if self.projection is None else self.projection(student)
        return F.mse_loss(student.float(), found[HIDDEN].float())

    def of_attention(self, outputs: Any, found: dict[str, Any], batch: Batch) -> Tensor:
        """Return the squared difference of the attention of a token, summed over the tokens it attends to, as a mean."""
        total: Tensor = outputs.attentions[0][0].new_zeros(())
        for (layer, _), theirs in zip(self.pairs, found[ATTENTION], strict=True):
            for student, teacher in zip(outputs.attentions[layer - 1], theirs, strict=True):  # [A, t, t] of each row
                if len(student) != len(teacher):
                    student, teacher = student.mean(0, keepdim=True), teacher.mean(0, keepdim=True)
                total = total + (student.float() - teacher.float()).square().mean(0).sum()
        return total / (len(self.pairs) * _tokens(batch))


def _tokens(batch: Batch) -> float:
    return float(len(batch.input_ids))


def _of_distributions(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the KL divergence of the student's distributions from the teacher's, [n, C] -> [n]."""
    return _kl(student.log_softmax(-1), teacher.log_softmax(-1)).sum(-1)


def _of_each_label(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the KL divergence for labels that are each true or false, as a mean over the labels, [n, C] -> [n]."""
    both = [torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)]) for logits in (student, teacher)]
    return _kl(both[0], both[1]).sum(0).mean(-1)


def _kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the terms of the KL divergence of log-probabilities."""
    terms: Tensor = teacher.exp() * (teacher - student)
    return terms


def layer_pairs(student: int, teacher: int) -> list[tuple[int, int]]:
    """Return for each layer of a student the layer of its teacher, from 1, spread evenly up to the last one.

    >>> layer_pairs(2, 6), layer_pairs(3, 4)
    ([(1, 3), (2, 6)], [(1, 1), (2, 3), (3, 4)])
    """
    return [(layer, max(1, math.floor(layer * teacher / student + 0.5))) for layer in range(1, student + 1)]


def distilled(
    opened: Opened,
    units: list[Unit],
    objective: Objective,
    settings: Settings,
    folder: Path,
    processes: Processes,
    note: Callable[[str], object],
) -> tuple[list[Unit], Objective]:
    """Return units and objective for learning from the teacher of the settings; unchanged if they have none.

    Raise UsageError if the teacher and the student do not fit, or for options that have no effect.
    """
    if settings.teacher is None:
        _refuse_without_teacher(settings)
        return units, objective
    if not (settings.alpha or settings.hidden_states or settings.attention):
        advice = (Setting("alpha", 0.5), " or ", Setting("hidden_states", 1.0))
        raise UsageError(received("alpha", settings.alpha), " gives the teacher no weight: type ", *advice, ".")
    config = opened.model.config
    teacher = _open(settings, opened)
    pairs = layer_pairs(config.num_hidden_layers, teacher.model.config.num_hidden_layers)
    teacher.layers = tuple(theirs for _, theirs in pairs) if settings.hidden_states else ()
    teacher.attention = tuple(theirs - 1 for _, theirs in pairs) if settings.attention else ()
    longest, most = max(len(row) for unit in units for row in unit), teacher.model.config.max_position_embeddings
    if longest > most:
        raise UsageError(
            f"A row has {longest} tokens, and the teacher takes at most {most}: type ", Setting("max_length", most), "."
        )
    projection = _projection(settings, config, teacher.model.config, device_of(opened.model))
    units = with_cache(teacher, units, folder, settings.batch_tokens, processes, note)
    return units, Distillation(objective, teacher, settings, pairs, projection)


def _refuse_without_teacher(settings: Settings) -> None:
    defaults = {field.name: field.default for field in fields(DistillationOptions)}
    for name in _NEEDS_TEACHER:
        if getattr(settings, name) != defaults[name]:
            given = received(name, getattr(settings, name))
            raise UsageError(given, " needs a teacher: type ", Setting("teacher", "..."), f", or leave {name} out.")


def _open(settings: Settings, opened: Opened) -> Teacher:
    """Open the teacher, with its head if its logits are compared."""
    assert settings.teacher is not None
    place = hub.locate(settings.teacher)
    place = weights_place(place)
    config, head = BertConfig.from_pretrained(place), opened.task.head
    tokenizer = tokenizer_of(None, place)
    if tokenizer.get_vocab() != opened.task.tokenizer.get_vocab():
        raise UsageError(
            f"The vocabularies of the teacher {settings.teacher} and of the model {settings.model} differ, so that the teacher "
            "cannot read its tokens: choose a teacher and a model with the same vocabulary."
        )
    classes = None
    if settings.alpha:
        classes = _classes(settings, config, opened)
    kind = head if settings.alpha else "Model"
    own = {"add_pooling_layer": False} if kind == "Model" else {}
    model = model_class(kind).from_pretrained(place, **own).to(device_of(opened.model))
    return Teacher(model, kind, tuple(HEADS[head].outputs) if settings.alpha else (), classes=classes)


def _classes(settings: Settings, config: BertConfig, opened: Opened) -> tuple[int, ...] | None:
    """Return the number of each of the student's labels in the teacher. Raise UsageError if its head or labels differ."""
    head, name = opened.task.head, (config.architectures or ["BertModel"])[0]
    if head_of(name) != head:
        raise UsageError(
            f"The teacher {settings.teacher} is a {name}, which has no logits for {opened.task.name}: choose a teacher that was "
            "trained for the task, or to learn only from hidden states type ",
            Setting("alpha", 0.0),
            " and ",
            Setting("hidden_states", 1.0),
            ".",
        )
    student = opened.model.config
    if head not in LABELLED or (config.num_labels == 1 == student.num_labels):
        return None
    kinds = {kind for kind in (config.problem_type, student.problem_type) if kind}
    theirs, ours = config.label2id, student.id2label
    if len(kinds) > 1 or set(theirs) != set(ours.values()):
        labels = [", ".join(list(names)[:20]) for names in (config.id2label.values(), ours.values())]
        raise UsageError(
            f"The teacher's labels are {labels[0]} ({config.problem_type or 'one for each text'}), and the student's are "
            f"{labels[1]} ({student.problem_type or 'one for each text'}): choose a teacher that was trained for the same labels."
        )
    numbers = tuple(theirs[ours[number]] for number in range(len(ours)))
    return None if numbers == tuple(range(len(numbers))) else numbers


def _projection(settings: Settings, student: BertConfig, teacher: BertConfig, device: torch.device) -> nn.Linear | None:
    """Return a layer from the width of the student to that of the teacher, drawn with the seed, if it is needed."""
    if not settings.hidden_states or student.hidden_size == teacher.hidden_size:
        return None
    if settings.shard:
        raise UsageError(
            f"Hidden states of {student.hidden_size} and {teacher.hidden_size} numbers are compared by a matrix, which cannot be "
            "sharded: leave out ",
            Setting("shard", True),
            ".",
        )
    layer = nn.Linear(student.hidden_size, teacher.hidden_size, bias=False)
    drawn = torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        layer.weight.normal_(std=student.hidden_size**-0.5, generator=drawn)
    return layer.to(device)
