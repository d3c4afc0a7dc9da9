"""Pipelines: a task, a tokenizer and an engine, from Python objects to Python objects.

examples -> rows -> batches of similar length, packed -> outputs -> answers, in the order of the examples
"""

from bertkit.pipelines.open import pipeline
from bertkit.pipelines.pipeline import Pipeline

__all__ = ["Pipeline", "pipeline"]
