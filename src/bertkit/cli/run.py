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
    task: Annotated[str, "what to do: fill-mask, ner, question-answering, ..."],
    option: Annotated[list[str], "an option of the task, such as top_k=3; may be given again"] = [],  # noqa: B006
) -> int:
    """Run a task over a file, or over what comes in, and write a line of JSON for each input.

    The input is read as a stream: lines of text, JSON lines, JSON, CSV, TSV or Parquet, and gzip or xz of them. An output appears
    when it is whole; until then, its results are in a file beside it, with which --resume goes on.
    """
    shared.check(task)
    return answer(task, shared, calls_of(task).own(dict(map(_named, option))))


def _named(word: str) -> tuple[str, Any]:
    """`top_k=3` -> "top_k", 3; what is neither JSON nor a truth value of Python is a text."""
    given, equals, value = word.partition("=")
    name = given.strip().replace("-", "_")
    if not equals or not name:
        raise UsageError(f"--option {word!r} has no value: type --option name=value, such as --option top_k=3")
    if name in {field.name for field in fields(Shared)} - {*OF_TASKS, "spell"}:
        raise UsageError(f"{name} is an option of the command, not of the task: type --{name.replace('_', '-')}")
    if name == "return_tensors":
        raise UsageError("return_tensors is for Python, and the command writes numbers: leave it out.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, {"True": True, "False": False}.get(value, value)
