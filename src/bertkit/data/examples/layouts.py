"""Data sets whose columns are known: each name is a format with its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bertkit.data.examples.columns import Columns


class Layout(NamedTuple):
    """How the files of a data set are read."""

    format: str
    columns: Columns
    options: Mapping[str, Any] = {}


def _pair(first: str, second: str, label: str = "label") -> Layout:
    return Layout(
        "tsv", {"text": first, "text_pair": second, "label": label}, {"problem_type": "single_label_classification"}
    )


LAYOUTS = {
    "cola": Layout("tsv", {"text": 3, "label": 1}, {"problem_type": "single_label_classification"}),  # without a header
    "sst2": Layout("tsv", {"text": "sentence", "label": "label"}, {"problem_type": "single_label_classification"}),
    "mrpc": _pair("#1 String", "#2 String", "Quality"),
    "stsb": Layout(
        "tsv", {"text": "sentence1", "text_pair": "sentence2", "label": "score"}, {"problem_type": "regression"}
    ),
    "qqp": _pair("question1", "question2", "is_duplicate"),
    "mnli": _pair("sentence1", "sentence2", "gold_label"),
    "qnli": _pair("question", "sentence"),
    "rte": _pair("sentence1", "sentence2"),
    "wnli": _pair("sentence1", "sentence2"),
    "goemotions": Layout("tsv", {"text": 0, "label": 1}, {"separator": ","}),
    "codah": Layout("tsv", {"text": 1, "choices": [2, 3, 4, 5], "label": 6}),
}


def layout_of(format: str) -> Layout | None:
    """Return the layout with a name such as "mrpc", "glue/mrpc" or "STS-B", or None.

    >>> layout_of("glue/STS-B").options
    {'problem_type': 'regression'}
    """
    name = format.lower().removeprefix("glue/").replace("-", "")
    return LAYOUTS.get({"mnlimatched": "mnli", "mnlimismatched": "mnli"}.get(name.replace("_", ""), name))
