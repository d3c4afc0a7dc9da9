"""The pipelines of transformers by the names of their classes.

TextClassificationPipeline(model=model, tokenizer=tokenizer)    is    pipeline("text-classification", model, ...)
"""

from __future__ import annotations

from typing import Any

from bertkit.errors import UsageError
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.open import pipeline
from bertkit.tasks import task_class


class _OfTask(Pipeline):
    """A pipeline for the task of the class."""

    def __init__(self, model: Any, tokenizer: Any = None, *, task: str = "", **options: Any) -> None:
        assert self.of_task is not None
        if task and task_class(task).name != self.of_task:
            raise UsageError(f"{type(self).__name__} is for {self.of_task}, not for {task!r}: leave task out.")
        opened = pipeline(self.of_task, model, tokenizer=tokenizer, pipeline_class=type(self), **options)
        vars(self).update(vars(opened))


class TextClassificationPipeline(_OfTask):
    """A text -> its label."""

    of_task = "text-classification"


class TokenClassificationPipeline(_OfTask):
    """A text -> its names or other entities."""

    of_task = "token-classification"


class FillMaskPipeline(_OfTask):
    """A text with masks -> words for the masks."""

    of_task = "fill-mask"


class QuestionAnsweringPipeline(_OfTask):
    """A question and a text -> the answer."""

    of_task = "question-answering"


class ZeroShotClassificationPipeline(_OfTask):
    """A text and labels -> a score for each label."""

    of_task = "zero-shot-classification"


class FeatureExtractionPipeline(_OfTask):
    """A text -> vectors."""

    of_task = "feature-extraction"


class TextGenerationPipeline(_OfTask):
    """The beginning of a text -> the text with its continuation."""

    of_task = "text-generation"


class Text2TextGenerationPipeline(_OfTask):
    """A text -> another text."""

    of_task = "text2text-generation"


class SummarizationPipeline(_OfTask):
    """A text -> its summary."""

    of_task = "summarization"


NerPipeline = TokenClassificationPipeline
