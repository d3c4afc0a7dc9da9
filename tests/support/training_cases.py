"""A tiny model, rows with labels and settings for the tests of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch_models

from bertkit import BertConfig
from bertkit.data.batches import Group, Row, Target
from bertkit.engines.torch import model_class
from bertkit.training.batches import Unit, units_of
from bertkit.training.job import Job
from bertkit.training.loop import Finetuner
from bertkit.training.objectives import objective_of
from bertkit.training.options import Settings

LABELLED = "ForSequenceClassification"


def settings(**options: Any) -> Settings:
    """Return settings of a run on rows, whose files are never read."""
    return Settings(
        **{"task": "text-classification", "model": "m", "train": "t", "lr": 1e-3, "batch_size": 4, **options}
    )


def model(head: str = LABELLED, **config: Any) -> Any:
    """Return a tiny model with random weights, the same in every call."""
    torch.manual_seed(1)
    return model_class(head)(BertConfig(**torch_models.settings("Bert" + head, **config)))


def rows(count: int = 20, windows: int = 1, seed: int = 0) -> list[list[Row]]:
    """Return the rows of examples with one of three labels. The first token decides the label, so that it can be learnt."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        label, group = int(rng.integers(3)), Group(windows)
        own = []
        for _ in range(windows):
            ids = np.concatenate([[2, 5 + label], rng.integers(10, 50, rng.integers(1, 14)), [3]])
            target = {"labels": Target(np.array(label), "row")}
            own.append(Row(ids, np.zeros_like(ids), targets=target, group=group))
        found.append(own)
    return found


def units(count: int = 20, windows: int = 1) -> list[Unit]:
    """Return the units of `rows`."""
    return units_of(rows(count, windows), LABELLED)


def tuner(count: int = 20, windows: int = 1, config: dict[str, Any] | None = None, **options: Any) -> Finetuner:
    """Return a Finetuner of a tiny classifier."""
    objective = objective_of(
        LABELLED, "single_label_classification", label_smoothing=options.get("label_smoothing", 0.0)
    )
    return Finetuner(model(**(config or {})), units(count, windows), objective, settings(**options))


@contextmanager
def killed_after_a_checkpoint() -> Iterator[None]:
    """Let the run in a block end with an error after its first checkpoint."""
    save = Job.save

    def stop(self: Job) -> None:
        save(self)
        raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "save", stop)
        with pytest.raises(RuntimeError, match="killed"):
            yield
