"""What one job must have in common with another to resume it: the same model, computed in the same way, on the same input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from hashlib import blake2b
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bertkit.checkpoint.identity import identity
from bertkit.engines.base import name_of
from bertkit.errors import ConfigError, Setting, UsageError
from bertkit.pipelines.bulk.advice import OR_START_AGAIN
from bertkit.tasks.base import TaskOptions
from bertkit.tasks.embedding import weights_place
from bertkit.text.files.compose import compose
from bertkit.text.files.settings import settings_of

if TYPE_CHECKING:
    from bertkit.pipelines.base import Pipeline
    from bertkit.tasks.base import Task, Tokenizer

About = dict[str, Any]

_DIGESTS = {"config": "configuration", "tokenizer": "tokenizer", "recipe": "pooling in the model's files"}
_TYPED = ("engine", "precision", "device", "batch_size")
"""The settings that a user types, besides the options of the task. An engine that was chosen automatically can be typed, too."""


def about(
    pipe: Pipeline,
    options: TaskOptions,
    batch_size: int | None,
    processes: int | None,
    source: Mapping[str, Any] | None = None,
) -> About:
    """All that determines the bytes of a job's output. Engine, precision and device are those in use, never "auto".

    Args:
        pipe: the opened pipeline.
        options: the options of the task.
        batch_size: the maximum number of rows in a batch.
        processes: the number of processes. All numbers write the same bytes, but not those of a job without processes.
        source: where the examples are from, as front ends name it.
    """
    place = pipe.task_object.place
    described = {
        "bertkit": import_module("bertkit").__version__,
        "task": pipe.task,
        "model": None if place is None else place.where,
        "engine": name_of(pipe.engine),
        "precision": pipe.precision,
        "device": str(pipe.device),
        "batch_size": batch_size or pipe.batch_size,
        "processes": processes is not None,
        "config": _digest({**pipe.config.to_dict(), "generation": _generation(pipe)}),
        "tokenizer": _tokenizer(pipe.tokenizer),
        "recipe": _recipe(pipe.task_object),
        **(source or {}),
        "options": _options(options),
        "files": {} if place is None else identity(weights_place(place)),
    }
    plain: About = json.loads(json.dumps(described, default=repr))
    return plain


def _generation(pipe: Pipeline) -> dict[str, Any] | None:
    """The settings of `generate` of a model that writes."""
    settings = getattr(getattr(pipe.engine, "model", None), "generation_config", None)
    return None if settings is None else settings.to_dict()


def _options(options: TaskOptions) -> dict[str, Any]:
    """The options, each by the name that a user types."""
    found = asdict(options)
    settings = found.pop("settings", {})  # of generate
    return {**found, **settings}


def _digest(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True, default=repr).encode(), digest_size=16).hexdigest()


def _tokenizer(tokenizer: Tokenizer) -> str:
    """A digest of all that determines the ids of a text."""
    files = tokenizer.encoder.files
    return _digest([type(tokenizer).__name__, compose(files), settings_of(files, ())])


def _recipe(task: Task[Any]) -> str | None:
    """A digest of how vectors are pooled; None for other tasks, and if the files are not supported and so are not used."""
    with suppress(ConfigError):
        recipe = getattr(task, "recipe", None)
        return None if recipe is None else str(recipe.digest())
    return None


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: object) -> None:
    """Raises UsageError that names a difference, and what to type instead. `path` is the file of the earlier job."""
    start = f"{path} belongs to another run: "
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if name in ("options", "files") and isinstance(old, dict) and isinstance(new, dict):
            changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            if changed and name == "files":
                raise UsageError(
                    start,
                    f"{', '.join(changed[:4])} of the model changed since. Restore the earlier files",
                    *OR_START_AGAIN,
                )
            if changed:
                key = changed[0]
                raise UsageError(
                    start, *_was(key, old.get(key), new.get(key)), *_typed(key, old.get(key)), *OR_START_AGAIN
                )
        elif old != new:
            raise UsageError(start, *_was(name, old, new), *_advice(name, old), *OR_START_AGAIN)


def _was(name: str, old: Any, new: Any) -> tuple[object, ...]:
    if name in _DIGESTS:
        return (f"the {_DIGESTS[name]} changed since. ",)
    if name == "processes":
        return (f"it was {'' if old else 'not '}computed in processes of one thread each. ",)
    return (f"{name} was {_short(old)} and is now {_short(new)}. ",)


def _advice(name: str, old: Any) -> tuple[object, ...]:
    if name == "processes":
        return ("Type ", Setting(name, 2)) if old else ("Leave processes out",)
    if name in _TYPED:
        return _typed(name, old)
    return ("Pass the earlier one to continue that run",)


def _typed(name: str, old: Any) -> tuple[object, ...]:
    if old is False:  # a switch of the command line may have no opposite
        return ("Pass the earlier one to continue that run",)
    return (f"Leave {name} out",) if old is None else ("Type ", Setting(name, old))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
