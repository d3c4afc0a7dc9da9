"""`bertkit run`."""

from __future__ import annotations

import json
from typing import Annotated, Any

from bertkit.cli.job import answer
from bertkit.cli.shared import Shared
from bertkit.errors import UsageError


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
    return answer(task, shared, dict(map(_named, option)))


def _named(word: str) -> tuple[str, Any]:
    """`top_k=3` -> "top_k", 3; what is not JSON is a text."""
    name, equals, value = word.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--option {word!r} has no value: type --option name=value, such as --option top_k=3")
    try:
        return name.strip().replace("-", "_"), json.loads(value)
    except ValueError:
        return name.strip().replace("-", "_"), value
