"""Tasks, one file each. `task_class` finds a task by its name or an alias."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bertkit.errors import UsageError, did_you_mean
from bertkit.heads import HEADS, PAIR_TASKS

TASKS = tuple(dict.fromkeys([*(task for head in HEADS.values() for task in head.tasks), *PAIR_TASKS]))
"""Each task is a class in a separate file: fill-mask is FillMask in fill_mask.py."""

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
    """Return the class of a task.

    >>> task_class("ner").name
    'token-classification'
    """
    if not isinstance(name, str):
        raise UsageError(f'A task is a name, not {name!r}: type pipeline("fill-mask", model), or pipeline(model=...).')
    own = ALIASES.get(name, name)
    if own not in TASKS:
        known = [*TASKS, *ALIASES]
        raise UsageError(f"Unknown task {name!r}: choose one of {', '.join(TASKS)}.{did_you_mean(name, known)}")
    module = import_module(f"bertkit.tasks.{own.replace('-', '_')}")
    return getattr(module, own.title().replace("-", ""))
