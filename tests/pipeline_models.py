"""Our pipelines on the tiny models of pipeline_cases."""

from __future__ import annotations

from functools import cache
from typing import Any

import pipeline_cases

from bertkit.engines.numpy import NumpyEngine
from bertkit.pipelines import Pipeline, pipeline
from bertkit.tasks import task_class
from bertkit.text.tokenizer import BertTokenizerFast


@cache
def tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(pipeline_cases.vocabulary(), model_max_length=pipeline_cases.LENGTH)


@cache
def engine(name: str, head: str) -> NumpyEngine:
    return NumpyEngine(pipeline_cases.config(name), head, pipeline_cases.weights(name))


def ours(task: str, name: str, **options: Any) -> Pipeline:
    """A pipeline for a task on a tiny model."""
    return pipeline(task, engine(name, task_class(task).head), tokenizer=tokenizer(), **options)
