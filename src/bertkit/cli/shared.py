"""The options that the commands of all tasks share, and the pipeline that they configure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bertkit import hub
from bertkit.cli.signature import Spell
from bertkit.data.batches import characters
from bertkit.data.records import Format
from bertkit.errors import UsageError
from bertkit.heads import a_class
from bertkit.tasks import task_class

if TYPE_CHECKING:
    from bertkit.pipelines import Pipeline

_EXAMPLES, _CHARACTERS = 8, 1000
"""The most examples, and the most characters of all of them, for which the engine is NumPy, so that PyTorch is not imported."""

PEEKED = _EXAMPLES + 1
"""The number of examples to read before the engine is chosen."""

OF_TASKS = ("on_long", "overlap", "max_length")
"""The shared options that are options of every task."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """model, input and output"""

    model: Annotated[
        str | None, "directory or Hub id of the model (default: the built-in model, if there is one for the task)"
    ] = None
    config: Annotated[str | None, "path or Hub id of the configuration, if not with the model"] = None
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model"] = None
    device: Annotated[str | None, "cpu, cuda, cuda:1, the number of a GPU, or -1 for the CPU"] = None
    engine: Annotated[
        Literal["auto", "numpy", "torch", "keras", "flax", "onnx", "openvino"],
        "library that runs the model (default: numpy for a few short inputs, else torch, openvino or onnx)",
    ] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16", "int8"], "type of the numbers in the model"] = "auto"
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main"
    subfolder: Annotated[str, "folder of the model in the repository"] = ""
    input: Annotated[str | None, "file of inputs, or - for stdin"] = None
    output: Annotated[
        str | None, "file for results: .jsonl, .json, .csv, .tsv, .parquet, also with .gz or .xz, or .npy"
    ] = None
    column: Annotated[str | None, "columns of the input to read: a,b or field=a,field=b"] = None
    keep: Annotated[str | None, "columns of the input to copy to the results: id,text"] = None
    format: Annotated[Format, "format of the input; pipe: one text per line, with tabs between columns"] = "infer"
    overwrite: Annotated[bool, "replace the output and the results of an interrupted run"] = False
    resume: Annotated[bool, "continue an interrupted run"] = False
    processes: Annotated[
        int | None, "number of processes with one thread each, for --output (default: one process with all threads)"
    ] = None
    json: Annotated[bool, "print JSON lines (default: unless stdout is a terminal)"] = False
    batch_size: Annotated[int | None, "maximum texts or windows per batch (default: a few thousand tokens)"] = None
    on_long: Annotated[
        Literal["truncate", "window", "error"] | None,
        "what to do with a text longer than the model's maximum (default: depends on the task)",
    ] = None
    overlap: Annotated[int | None, "number of tokens that neighbouring windows share"] = None
    max_length: Annotated[int | None, "maximum tokens of a text or window"] = None
    details: Annotated[bool, "also show whether each text was truncated, its windows and its tokens"] = False
    spell: Spell = str  # formats the settings in messages

    def task_options(self) -> dict[str, Any]:
        """The shared options that every task takes, without those at their default."""
        return {name: value for name in OF_TASKS if (value := getattr(self, name)) is not None}

    def check(self, task: str) -> str:
        """Raises UsageError for missing or contradictory options, before anything is read. Returns the task's main name."""
        job = task_class(task)
        if self.model is None and self.with_default(task).model is None:
            what = "any BERT" if job.head == "Model" else a_class(job.head)
            raise UsageError(f"{job.name} needs {what}: type --model with its directory or its Hub id.")
        if self.keep is not None and self.input is None and sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("--keep copies columns of a file: type --input with the file.")
        if self.processes is not None and (self.output is None or self.processes < 1):
            what = "is for files: type --output, too" if self.output is None else "is invalid: type a number above 0"
            raise UsageError(f"--processes {self.processes} {what}.")
        return str(job.name)

    def with_default(self, task: str) -> Shared:
        """The same options with the built-in model, if there is one for the task."""
        from bertkit.pipelines.open import default_model

        return replace(self, model=default_model(task))

    def open(self, task: str, first: Sequence[Any], device: Any = None) -> Pipeline:
        """Open the pipeline for a task. `first` has up to PEEKED examples, by which the engine is chosen.

        `device` is that of a process; None: the value of --device.
        """
        from bertkit.pipelines.open import exported_for, open_place
        from bertkit.tasks.embedding import weights_place

        files = hub.locate(self.model or "", revision=self.revision, subfolder=self.subfolder)
        engine = self.engine if exported_for(weights_place(files), self.engine) else self._engine(task, first)
        own: dict[str, Any] = {"dtype": self.precision, "batch_size": self.batch_size}
        own["device"] = device_of(self.device) if device is None else device
        return open_place(task, files, self.config, self.tokenizer, engine=engine, **own)

    def _engine(self, task: str, first: Sequence[Any]) -> str:
        on_cpu = device_of(self.device) in (None, -1, "cpu") and self.precision in ("auto", "fp32")
        if self.engine != "auto" or not on_cpu or task_class(task).writes:
            return self.engine
        # Sentence scoring runs the model once for each token.
        most = _CHARACTERS // 8 if task == "sentence-scoring" else _CHARACTERS
        few = len(first) <= _EXAMPLES and characters(first) <= most
        return "numpy" if few else "auto"


def device_of(given: str | None) -> int | str | None:
    """The value of --device. Digits become a number."""
    try:
        return None if given is None else int(given)
    except ValueError:
        return given
