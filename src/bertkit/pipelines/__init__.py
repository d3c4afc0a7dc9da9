"""Pipelines: a task, a tokenizer and an engine, which turn examples into answers.

examples -> rows of ids -> packed batches of similar length -> outputs -> answers, in the order of the examples
"""

from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.classes import (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    NerPipeline,
    QuestionAnsweringPipeline,
    SummarizationPipeline,
    Text2TextGenerationPipeline,
    TextClassificationPipeline,
    TextGenerationPipeline,
    TokenClassificationPipeline,
    ZeroShotClassificationPipeline,
)
from bertkit.pipelines.open import pipeline

__all__ = [
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "NerPipeline",
    "Pipeline",
    "QuestionAnsweringPipeline",
    "SummarizationPipeline",
    "Text2TextGenerationPipeline",
    "TextClassificationPipeline",
    "TextGenerationPipeline",
    "TokenClassificationPipeline",
    "ZeroShotClassificationPipeline",
    "pipeline",
]
