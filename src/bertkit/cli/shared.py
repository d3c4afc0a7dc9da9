"""The options that all commands of the tasks share, and the pipeline that they make."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bertkit import hub
from bertkit.cli.signature import Spell
from bertkit.data.batches import characters
from bertkit.data.records import Format
from bertkit.errors import UsageError
from bertkit.tasks import task_class

if TYPE_CHECKING:
    from bertkit.pipelines import Pipeline

_EXAMPLES, _CHARACTERS = 8, 1000
"""So many examples, with so many characters together, NumPy answers before PyTorch is imported."""

PEEKED = _EXAMPLES + 1
"""Examples that are read before the engine is chosen."""

OF_TASKS = ("on_long", "overlap", "max_length")
"""Those of the shared options that are options of every task."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """model, input and output"""

    model: Annotated[str | None, "a directory or a Hub id"] = None
    config: Annotated[str | None, "where the configuration is, if not with the model"] = None
    tokenizer: Annotated[str | None, "where the tokenizer is, if not with the model"] = None
    device: Annotated[str | None, "cpu, cuda, cuda:1, or a number: 0, -1 for the processor"] = None
    engine: Annotated[
        Literal["auto", "numpy", "torch", "keras", "flax"],
        "what computes (default: numpy for a few short inputs, else torch)",
    ] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], "of the numbers"] = "auto"
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main"
    subfolder: Annotated[str, "folder of the repository that holds the model"] = ""
    input: Annotated[str | None, "a file of inputs, or - for stdin"] = None
    output: Annotated[str | None, "a file for the results: .jsonl, .json, .csv, .tsv, .parquet, .gz of them"] = None
    column: Annotated[str | None, "the columns of the input that count: a,b or field=a,field=b"] = None
    keep: Annotated[str | None, "columns of the input that stand beside the results: id,text"] = None
    format: Annotated[Format, "of the input; pipe is a text a line, with tabs between columns"] = "infer"
    overwrite: Annotated[bool, "replace the output, and what an interrupted run left"] = False
    resume: Annotated[bool, "go on where an interrupted run stopped"] = False
    json: Annotated[bool, "print JSON lines for programs (default: unless to a terminal)"] = False
    batch_size: Annotated[int | None, "the most rows at once (default: as many as make a few thousand tokens)"] = None
    on_long: Annotated[
        Literal["truncate", "window", "error"] | None,
        "what becomes of a text that is longer than the model takes (default: what suits the task)",
    ] = None
    overlap: Annotated[int | None, "tokens that neighbouring windows share"] = None
    max_length: Annotated[int | None, "tokens of a row"] = None
    details: Annotated[bool, "say what was done with each text"] = False
    spell: Spell = str  # words the settings in messages

    def of_task(self) -> dict[str, Any]:
        """The options of the task among them, as far as they are given."""
        return {name: value for name in OF_TASKS if (value := getattr(self, name)) is not None}

    def check(self, task: str) -> str:
        """Refuse options that contradict each other, before anything is read. Returns the task's own name."""
        job = task_class(task)
        if self.model is None:
            what = "any BERT" if job.head == "Model" else f"a Bert{job.head}"
            raise UsageError(f"{job.name} needs {what}: type --model with its directory or its Hub id.")
        if self.keep is not None and self.input is None and sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("--keep takes columns of a file: type --input, with the file.")
        if self.resume and self.output is None:
            raise UsageError("--resume goes on with a file: type --output, with the file that was interrupted.")
        if self.resume and self.overwrite:
            raise UsageError("--resume keeps what --overwrite throws away: leave one of them out.")
        return str(job.name)

    def open(self, task: str, first: Sequence[Any]) -> Pipeline:
        """The pipeline for a task. `first` are the first examples, or all."""
        from bertkit.pipelines.open import open_place

        files = hub.locate(self.model or "", revision=self.revision, subfolder=self.subfolder)
        engine = self._engine(task, first)
        own: dict[str, Any] = {"device": _device(self.device), "dtype": self.precision, "batch_size": self.batch_size}
        return open_place(task, files, self.config, self.tokenizer, engine=engine, **own)

    def _engine(self, task: str, first: Sequence[Any]) -> str:
        on_processor = _device(self.device) in (None, -1, "cpu") and self.precision in ("auto", "fp32")
        if self.engine != "auto" or not on_processor:
            return self.engine
        # Scoring runs a row for each token.
        room = _CHARACTERS // 8 if task == "sentence-scoring" else _CHARACTERS
        few = len(first) <= _EXAMPLES and characters(first) <= room
        return "numpy" if few else "auto"


def _device(given: str | None) -> int | str | None:
    """`--device 0` is a number."""
    try:
        return None if given is None else int(given)
    except ValueError:
        return given
