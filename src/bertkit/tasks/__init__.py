"""Tasks: what a BERT is used for, one file each. A task is found by its name or an alias."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bertkit.errors import UsageError, did_you_mean
from bertkit.parameters import HEADS

TASKS = {
    "fill-mask": "FillMask",
    "text-classification": "TextClassification",
    "token-classification": "TokenClassification",
    "question-answering": "QuestionAnswering",
    "zero-shot-classification": "ZeroShotClassification",
    "multiple-choice": "MultipleChoice",
    "next-sentence-prediction": "NextSentencePrediction",
    "feature-extraction": "FeatureExtraction",
    "sentence-similarity": "SentenceSimilarity",
    "sentence-scoring": "SentenceScoring",
}
"""Task -> its class, in the file of its name. The first that a head can do is what it is for."""

ALIASES = {
    "ner": "token-classification",
    "sentiment-analysis": "text-classification",
    "next-sentence": "next-sentence-prediction",
    "nsp": "next-sentence-prediction",
    "embed": "feature-extraction",
    "similarity": "sentence-similarity",
    "scoring": "sentence-scoring",
    "pseudo-perplexity": "sentence-scoring",
}


def task_class(name: str) -> Any:
    """The class of a task.

    >>> task_class("ner").name
    'token-classification'
    """
    if not isinstance(name, str):
        raise UsageError(f'A task is a name, not {name!r}: type pipeline("fill-mask", model), or pipeline(model=...).')
    own = ALIASES.get(name, name)
    if own not in TASKS:
        known = [*TASKS, *ALIASES]
        raise UsageError(f"There is no task {name!r}; the tasks are {', '.join(TASKS)}.{did_you_mean(name, known)}")
    return getattr(import_module(f"bertkit.tasks.{own.replace('-', '_')}"), TASKS[own])


def fits(head: str, task: str) -> bool:
    """Whether a class has what a task reads.

    >>> fits("ForPreTraining", "fill-mask"), fits("ForMultipleChoice", "text-classification")
    (True, False)
    """
    needed = task_class(task).head
    if needed == "Model" or head == needed:
        return True
    return "classifier." not in HEADS[needed] and set(HEADS[needed]) <= set(HEADS[head])


def tasks_of(head: str) -> list[str]:
    """The tasks that a class can do, the one that it is for first.

    >>> tasks_of("ForMaskedLM")
    ['fill-mask', 'sentence-scoring', 'feature-extraction', 'sentence-similarity']
    """
    found = [task for task in TASKS if fits(head, task)]
    return sorted(found, key=lambda task: task_class(task).head == "Model")
