"""`bertkit run`."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Annotated, Any

from bertkit.cli.job import answer
from bertkit.cli.shared import OF_TASKS, Shared
from bertkit.errors import UsageError
from bertkit.pipelines.calls import calls_of


def run(
    shared: Shared,
    *,
    task: Annotated[str, "name of the task: fill-mask, ner, question-answering, ..."],
    option: Annotated[list[str], "option of the task, such as top_k=3; may be repeated"] = [],  # noqa: B006
) -> int:
    """Run a task over a file or stdin, and write one line of JSON for each input.

    The input is read as a stream: lines of text, JSON lines, JSON, CSV, TSV or Parquet, also compressed with gzip or xz.
    The output file appears when it is complete. Until then, the results are in OUTPUT.part, and --resume continues an
    interrupted run.
    """
    shared.check(task)
    return answer(task, shared, calls_of(task).own(dict(map(name_and_value, option))))


def name_and_value(word: str) -> tuple[str, Any]:
    """`top_k=3` -> ("top_k", 3). The value is JSON, True or False, or else a string."""
    given, equals, value = word.partition("=")
    name = given.strip().replace("-", "_")
    if not equals or not name:
        raise UsageError(f"--option {word!r} has no value: type --option name=value, such as --option top_k=3")
    if name in {field.name for field in fields(Shared)} - {*OF_TASKS, "spell"}:
        raise UsageError(f"{name} is an option of the command, not of the task: type --{name.replace('_', '-')}")
    if name == "return_tensors":
        raise UsageError("return_tensors works only in Python: leave it out.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, {"True": True, "False": False}.get(value, value)
