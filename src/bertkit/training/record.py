"""Read what a run wrote to its folder: run.json, metrics.jsonl and predictions.jsonl.

The report and the model card need only these files, so that they can be written again at any time.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeGuard

from bertkit.errors import DataError
from bertkit.tasks import ALIASES

PRETRAINING = "pretraining"
LONGEST_TEXT = 20_000
"""Characters of a text that are kept for the report."""

_COUNTS = ("examples", "documents", "sentences", "skipped", "tokens")

Kind = Literal["classes", "labels", "numbers", "tags", "answers", "choices", "texts"]
"""What the model predicts for an example: a label, several labels, a number, a tag per word, words of the text, a choice, or a
new text."""

_KINDS: Mapping[str, Kind] = {
    "token-classification": "tags",
    "question-answering": "answers",
    "multiple-choice": "choices",
    "sentence-embedding": "numbers",
    "summarization": "texts",
}
_PROBLEMS: Mapping[str, Kind] = {"multi_label_classification": "labels", "regression": "numbers"}


@dataclass
class Prediction:
    """An example of the evaluation file with the answer of the model."""

    input: Any
    truth: Any
    answer: Any
    score: float | None  # the probability of the answer
    correct: bool | None
    where: str
    scores: Mapping[str, float] = field(default_factory=dict)  # the probability of each label


@dataclass
class Record:
    """A run of fine-tuning or pretraining."""

    folder: Path
    facts: Mapping[str, Any]  # run.json
    steps: list[dict[str, Any]]  # logged steps
    evaluations: list[dict[str, Any]]
    predictions: list[Prediction]

    @property
    def task(self) -> str:
        """The name of the task."""
        name = str(self.facts.get("task", "unknown task"))
        return ALIASES.get(name, name)

    @property
    def training(self) -> str:
        """How the model was trained, before the name of the model that it was trained from."""
        if self.task != PRETRAINING:
            return "fine-tuned from"
        return "pretrained further from" if self.facts.get("model") else "pretrained from random weights"

    @property
    def kind(self) -> Kind:
        """What the model predicts for an example."""
        return _KINDS.get(self.task) or _PROBLEMS.get(str(self.facts.get("problem_type")), "classes")

    @property
    def labels(self) -> list[str]:
        """The names of the labels."""
        return [str(label) for label in self.facts.get("labels") or []]

    @property
    def thresholds(self) -> dict[str, Any]:
        """The tuned thresholds by label, or by the name of the setting if there is one for all."""
        found = self.part("thresholds")
        by_label = found.get("thresholds")
        return dict(by_label) if isinstance(by_label, Mapping) else found

    def columns(self) -> list[str]:
        """Return the counts that the files of examples have."""
        files = [file for file in self.part("data").values() if isinstance(file, Mapping)]
        return [name for name in _COUNTS if any(name in file for file in files)]

    def part(self, name: str) -> dict[str, Any]:
        """Return an object of run.json, such as "settings", or an empty one."""
        found = self.facts.get(name)
        return dict(found) if isinstance(found, Mapping) else {}


def read_record(folder: str | os.PathLike[str]) -> Record:
    """Read the files of a run. Only run.json is required."""
    path = Path(folder)
    logged = [line for line in _lines(path / "metrics.jsonl") if isinstance(line.get("step"), (int, float))]
    return Record(
        path,
        _facts(path / "run.json"),
        _by_step(logged, "step"),
        _by_step(logged, "eval"),
        [_prediction(line) for line in _lines(path / "predictions.jsonl")],
    )


def _facts(path: Path) -> dict[str, Any]:
    try:
        found = _clean(json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} does not exist: pass the output folder of bertkit finetune or pretrain.") from None
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}): repeat the run.") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is not a JSON object: repeat the run.")
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines. An incomplete last line, which a killed process leaves, is skipped."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                found = _clean(json.loads(line))
            except ValueError as error:
                if not line.endswith("\n"):
                    return
                raise DataError(f"Line {number} of {path} is not valid JSON ({error}): delete the line.") from None
            if isinstance(found, dict):
                yield found


def _by_step(lines: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    """Return the lines of one event, in the order of their steps. A resumed run repeats some steps: the last line counts."""
    found = {line["step"]: line for line in lines if line.get("event") == event}
    return [found[step] for step in sorted(found)]


def _prediction(line: Mapping[str, Any]) -> Prediction:
    scores = line.get("scores")
    correct, score = line.get("correct"), line.get("score")
    if correct is None and line.get("truth") is not None and not is_number(line.get("truth")):
        correct = line.get("truth") == line.get("answer")
    return Prediction(
        line.get("input"),
        line.get("truth"),
        line.get("answer"),
        float(score) if is_finite(score) else None,
        correct,
        str(line.get("where", "")),
        {name: value for name, value in scores.items() if is_finite(value)} if isinstance(scores, dict) else {},
    )


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of a JSON file is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Return whether a value of a JSON file is a number, and neither nan nor infinite."""
    return is_number(value) and math.isfinite(value)


def _clean(value: Any) -> Any:
    r"""Shorten the texts of a JSON value, and replace what HTML and UTF-8 cannot represent.

    >>> _clean({"a\x00": ["\ud800", 1]})
    {'a�': ['�', 1]}
    """
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean_text(name): _clean(one) for name, one in value.items()}
    return value


def _clean_text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]} … ({len(text) - LONGEST_TEXT:,} more characters)"
    if text.isprintable():
        return text
    return "".join("\ufffd" if _is_forbidden(character) else character for character in text)


def _is_forbidden(character: str) -> bool:
    code = ord(character)
    return (
        (code < 32 and character not in "\t\n\r")
        or 0x7F <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or code & 0xFFFE == 0xFFFE
    )


def versions() -> dict[str, str]:
    """Return the versions of the libraries that a run used."""
    import torch

    from bertkit import __version__

    return {
        "bertkit": __version__,
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "python": platform.python_version(),
    }


def processor() -> str:
    """Return the name of the CPU."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
