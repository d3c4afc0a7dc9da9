"""Random examples for training, as packed rows and as the padded batches of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bertkit.data.batches import Group, Row, Target
from bertkit.heads import IGNORED
from bertkit.training.batches import Unit
from bertkit.training.options import Settings

WORDS, LABELS, CHOICES = 50, 3, 3  # the sizes of torch_models


def settings(**options: Any) -> Settings:
    """Return settings for the loop alone, in float32 unless they say otherwise."""
    return Settings(**{"task": "text-classification", "model": "", "train": None, "precision": "fp32", **options})


def units(head: str, count: int, lengths: tuple[int, int] = (3, 16), seed: int = 0) -> list[Unit]:
    """Return random examples for a class. lengths: the smallest and the largest length of a row."""
    rng = np.random.default_rng(seed)
    return [_unit(head, rng, lengths) for _ in range(count)]


def _unit(head: str, rng: np.random.Generator, lengths: tuple[int, int]) -> Unit:
    kind, _, variant = head.partition(" ")
    rows = CHOICES if kind == "ForMultipleChoice" else 1
    group = Group(rows) if rows > 1 else None
    right = int(rng.integers(rows))
    found = []
    for _ in range(rows):
        length = int(rng.integers(lengths[0], lengths[1] + 1))
        ids, types = rng.integers(1, WORDS, length), np.sort(rng.integers(0, 2, length))
        targets = {"labels": Target(right, "group")} if group else _targets(kind, variant, rng, length)
        found.append(Row(ids, types, targets=targets, group=group))
    return found


def _targets(kind: str, variant: str, rng: np.random.Generator, length: int) -> dict[str, Target]:
    if kind == "ForQuestionAnswering":
        start, end = sorted(rng.integers(0, length, 2).tolist())
        return {"start_positions": Target(start, "row"), "end_positions": Target(end, "row")}
    if kind in ("ForTokenClassification", "ForMaskedLM"):
        labels = rng.integers(0, LABELS if kind == "ForTokenClassification" else WORDS, length)
        hidden = rng.random(length) < 0.4
        hidden[0] = False
        return {"labels": Target(np.where(hidden, IGNORED, labels), "token")}
    if variant == "regression":
        return {"labels": Target(np.float32(rng.normal()), "row")}
    if variant == "multi-label":
        return {"labels": Target(rng.integers(0, 2, LABELS).astype(np.float32), "row")}
    return {"labels": Target(int(rng.integers(LABELS)), "row")}


def padded(some: Sequence[Unit]) -> dict[str, torch.Tensor]:
    """Return a batch of examples as transformers takes it, [N, L], or [N, choices, L] for multiple choice."""
    rows = [row for unit in some for row in unit]
    sides = (len(some), -1) if len(some[0]) == 1 else (len(some), len(some[0]), -1)
    longest = max(map(len, rows))

    def filled(columns: Sequence[Any], padding: int = 0) -> torch.Tensor:
        whole = np.full((len(columns), longest), padding)
        for row, own in zip(whole, columns, strict=True):
            row[: len(own)] = own
        return torch.from_numpy(whole)

    batch = {
        "input_ids": filled([row.input_ids for row in rows]),
        "token_type_ids": filled([row.token_type_ids for row in rows]),
        "attention_mask": filled([np.ones(len(row), int) for row in rows]),
    }
    batch = {name: tensor.view(sides) if len(sides) == 3 else tensor for name, tensor in batch.items()}
    for name, target in rows[0].targets.items():
        own = [unit[0].targets[name].values for unit in some]
        batch[name] = filled(own, IGNORED) if target.grain == "token" else torch.from_numpy(np.array(own))
    return batch
