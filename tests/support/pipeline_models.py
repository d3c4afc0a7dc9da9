"""bertkit's pipelines with the tiny models of pipeline_cases, for any engine."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_cases

from bertkit.checkpoint import save_checkpoint
from bertkit.engines.base import Engine, engine_class
from bertkit.engines.numpy import NumpyEngine
from bertkit.hub import locate
from bertkit.pipelines import Pipeline, pipeline
from bertkit.pipelines.open import Weights
from bertkit.tasks import task_class
from bertkit.text.tokenizer import BertTokenizerFast

_FOLDER = tempfile.TemporaryDirectory()


@cache
def tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(pipeline_cases.vocabulary(), model_max_length=pipeline_cases.LENGTH)


@cache
def folder(name: str) -> Path:
    """Save a tiny model and return its folder."""
    path = Path(_FOLDER.name) / name
    save_checkpoint(path, pipeline_cases.weights(name), pipeline_cases.config(name), pipeline_cases.MODELS[name][0])
    tokenizer().save_pretrained(path)
    return path


@cache
def engine(name: str, head: str, kind: str = "numpy") -> Engine:
    weights = Weights.read(locate(folder(name)), pipeline_cases.config(name), head)
    opened: Engine = engine_class(kind).open(weights.tensors, weights.config, head, device="cpu", precision="fp32")
    return opened


@cache
def exact_engine(name: str, head: str) -> NumpyEngine:
    """Return the NumPy engine in float64: float32 answers differ between processors, and with the place in the batch."""
    rounded = engine(name, head)
    assert isinstance(rounded, NumpyEngine)
    return NumpyEngine(rounded.config, head, {own: np.float64(x) for own, x in rounded.parameters.items()})


def ours(task: str, name: str, kind: str = "numpy", **options: Any) -> Pipeline:
    """Return a pipeline for a task with a tiny model."""
    return pipeline(task, engine(name, task_class(task).head, kind), tokenizer=tokenizer(), **options)
