"""What the tasks that write may do on a server: how many words, and in how many versions at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bertkit.errors import UsageError
from bertkit.pipelines import Pipeline
from bertkit.tasks.base import TaskOptions
from bertkit.tasks.writing import WritingOptions

MOST_TEXTS = 32
"""The most beams, and the most texts for an input. Each keeps the keys and values of its words."""


def bounded(pipe: Pipeline, options: TaskOptions, most: int) -> TaskOptions:
    """The options, with at most `most` new words if they name no length. Raise UsageError if they ask for more.

    Args:
        pipe: a pipeline of any task. Options of tasks that do not write are returned unchanged.
        options: the checked options of a request.
        most: the most new words for an input. A window of a long text counts as an input.
    """
    if not isinstance(options, WritingOptions):
        return options
    words, texts = _chosen(pipe, options)
    if texts > MOST_TEXTS:
        raise UsageError(
            f"The request needs {texts:,} beams or texts at the same time, and this server accepts {MOST_TEXTS}: "
            "send smaller num_beams and num_return_sequences."
        )
    if words <= most:
        return options
    if {"max_new_tokens", "max_length"} & options.generation.keys():
        raise UsageError(
            f"The request asks for up to {words:,} new words, and this server accepts {most:,}: send max_new_tokens={most}."
        )
    config: Any = pipe.config
    positions = getattr(config, "decoder", config).max_position_embeddings
    return replace(options, settings={**options.settings, "max_new_tokens": min(most, positions // 2)})


def work_of(pipe: Pipeline, options: TaskOptions) -> int:
    """The most words that are computed for a row besides its own: 0 for a task that does not write."""
    if not isinstance(options, WritingOptions):
        return 0
    words, texts = _chosen(pipe, options)
    return words * texts


def stop_when(pipe: Pipeline, unwanted: Callable[[], bool]) -> None:
    """End the texts that the engine writes next as soon as nobody waits for them."""
    if pipe.task_object.writes:
        engine: Any = pipe.engine
        engine.unwanted = unwanted


def _chosen(pipe: Pipeline, options: WritingOptions) -> tuple[int, int]:
    """The most new words, and the number of texts or beams that are written at the same time."""
    model, writing = pipe.model, pipe.task_object.wanted(options).writing
    chosen = model.current_settings().for_writing(writing)
    words = chosen.max_length if chosen.max_new_tokens is None else chosen.max_new_tokens
    return words, max(chosen.num_beams, chosen.num_return_sequences)
