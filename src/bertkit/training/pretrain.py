"""`pretrain`: from shards to a folder with a model, its scores and its report."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bertkit.data.shards import Shards
from bertkit.errors import Setting, UsageError
from bertkit.pipelines import Pipeline, pipeline
from bertkit.training.card import write_card
from bertkit.training.clock import Clock
from bertkit.training.distributed import Processes
from bertkit.training.folder import check_folder, locked
from bertkit.training.job import Job, settings_dict, write_json
from bertkit.training.loop import Loop
from bertkit.training.objectives import device_of
from bertkit.training.options import check_names
from bertkit.training.pretraining.evaluation import HeldOut
from bertkit.training.pretraining.flops import matrix_limit
from bertkit.training.pretraining.objective import MaskedWords, NextSentence, Part, Pretraining
from bertkit.training.pretraining.opening import Opened, open_all, saver
from bertkit.training.pretraining.options import PRETRAINING_GROUPS, PretrainingSettings
from bertkit.training.pretraining.sentence_distance import SentenceDistance
from bertkit.training.pretraining.sentence_vectors import SentenceVectors, compute_vectors
from bertkit.training.pretraining.source import ShardSource
from bertkit.training.record import processor, versions
from bertkit.training.report import write_report

Note = Callable[[str], object]


@dataclass(frozen=True)
class Pretrained:
    """The result of a run."""

    folder: Path
    scores: Mapping[str, float] = field(default_factory=dict)  # of the best checkpoint, on the held-out documents

    def pipeline(self, task: str = "fill-mask", **options: Any) -> Pipeline:
        """Return a pipeline for the trained model."""
        return pipeline(task, model=self.folder, **options)


def pretrain(
    config: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] | None = None,
    eval: str | os.PathLike[str] | None = None,
    on_note: Note = lambda sentence: None,
    command: str | None = None,
    **options: Any,
) -> Pretrained:
    """Train a new model on shards of text with masked words and next sentence prediction, or train a model further.

        pretrain("mini", "my-shards", "my-bert", time_budget="3h")
        pretrain(model="google-bert/bert-base-uncased", data="my-shards", out="my-bert")

    Args:
        config: the size of a new model, "tiny", "mini", "small", "medium", "base" or "large", or the path of a configuration.
        data: the folder of shards that `prepare` wrote.
        out: the output folder.
        model: a folder or the Hub id of a model to train further, instead of `config`.
        eval: a folder of shards for evaluation; None: no evaluation, unless `eval_share` holds out documents.
        on_note: called with sentences about the run.
        command: the command line, for the report.
        options: the options of docs/pretraining.md, for example `epochs`, `lr`, `batch_size` and `seed`.
    """
    check_names(options, "pretrain", PRETRAINING_GROUPS)
    own = {"config": config, "data": data, "out": out, "model": model, "eval": eval}
    for name in ("data", "out"):
        if own[name] is None:
            raise UsageError(f"pretrain needs {name}: type ", Setting(name, "..."), ".")
    given: dict[str, Any] = {name: os.fspath(value) for name, value in own.items() if value is not None}
    settings = PretrainingSettings(**given, **options)
    processes = Processes.of_environment(settings.device)
    folder = Path(settings.out)
    try:
        check_folder(folder, settings)
        with locked(folder) if processes.is_first else nullcontext():
            return _Run(settings, processes, on_note, command).work()
    finally:
        processes.close()


class _Run:
    """What a run reads, opens and writes."""

    def __init__(self, settings: PretrainingSettings, processes: Processes, note: Note, command: str | None) -> None:
        self.settings, self.processes, self.command = settings, processes, command
        self.note: Note = note if processes.is_first else lambda sentence: None
        self.folder, self.clock = Path(settings.out), Clock(settings.seconds)
        self.opened: Opened = open_all(settings)
        seconds = self.clock.seconds()
        self.vectors = None if settings.teacher is None else self._vectors(settings.teacher)
        self.clock.set(seconds)  # the time budget is that of the training
        held = self.opened.held_out
        self.held_out = None if held is None else HeldOut(held, settings, self.opened.tokenizer)
        self.save = saver(self.opened.tokenizer)

    def work(self) -> Pretrained:
        """Train, and write the output folder."""
        loop = self._loop()
        limit = matrix_limit(device_of(self.opened.model), loop.dtype) * self.processes.count
        self._describe(loop, limit)
        evaluate = None if self.held_out is None else partial(self.held_out.score, loop)
        job = Job(self.settings, self.folder, loop, self.save, evaluate, "loss", flops_limit=limit)
        if not job.work(self.note):
            return Pretrained(self.folder)
        return self._finish(job)

    def _vectors(self, teacher: str) -> SentenceVectors:
        """Return the teacher's vectors. The first process computes those that are not in their folder."""
        settings, shards = self.settings, self.opened.shards
        folder = settings.teacher_vectors or self.folder / "vectors"
        if self.processes.is_first:
            self.note(f"The teacher's vectors of sentences are kept in {folder}.")
            documents, shown = settings.teacher_documents, sys.stderr.isatty()
            compute_vectors(shards, teacher, folder, documents=documents, device=settings.device, progress=shown)
        self.processes.wait()
        return SentenceVectors(folder, shards, self.opened.model.config.hidden_size, settings.teacher_documents)

    def _loop(self) -> Loop:
        parts: list[Part] = [MaskedWords()]
        if self.settings.examples == "pairs":
            parts.append(NextSentence())
        if self.vectors is not None:
            parts.append(SentenceDistance(self.settings.teacher_weight))
        model = self.opened.model
        of_spans = None if self.vectors is None else self.vectors.targets
        source = ShardSource(self.opened.shards, self.settings, of_spans)
        return Loop(model, source, Pretraining(model.config, parts), self.settings, self.processes, self.clock)

    def _describe(self, loop: Loop, limit: float) -> None:
        count = sum(parameter.numel() for parameter in self.opened.model.parameters())
        total = loop.total_steps
        steps = (
            "as many steps as the time allows" if total is None else f"{total:,} {'step' if total == 1 else 'steps'}"
        )
        self.note(
            f"{count:,} parameters, {self.opened.shards.tokens:,} tokens of text, {steps}, batch size {loop.source.per_step}. "
            f"Products of matrices reach {limit / 1e9:,.0f} GFLOP/s here."
        )

    def _finish(self, job: Job) -> Pretrained:
        """Write the model, its scores and its report."""
        found = None if self.held_out is None else self.held_out.score(job.tuner)
        scores = {} if found is None else dict(found.scores)
        self.save(job.tuner.model, self.folder)
        record = self._record(job, scores, [] if found is None else list(found.samples))
        write_json(self.folder / "run.json", record)
        write_card(self.folder)
        write_report(self.folder)
        return Pretrained(self.folder, scores)

    def _record(self, job: Job, scores: dict[str, float], samples: list[str]) -> dict[str, Any]:
        data = {"train": _data(self.settings.data, self.opened.shards)}
        if self.opened.held_out is not None:
            data["eval"] = _data(self.settings.eval or self.settings.data, self.opened.held_out)
        return {
            "task": "pretraining",
            "model": self.settings.model,
            "command": self.command,
            "settings": settings_dict(self.settings),
            "data": data,
            "versions": versions(),
            "processor": processor(),
            "device": torch.cuda.get_device_name() if device_of(job.tuner.model).type == "cuda" else "cpu",
            "seconds": job.seconds,
            "steps": job.tuner.position.step,
            "tokens": job.tuner.tokens,
            "best": {"step": job.best.step, "metric": job.metric, "value": job.best.value},
            "flops_limit": job.flops_limit,
            "scores": scores,
            "samples": samples,
        }


def _data(source: Any, shards: Shards) -> dict[str, Any]:
    """Return facts about shards."""
    return {
        "name": os.fspath(source),
        "documents": len(shards),
        "sentences": shards.sentences,
        "tokens": shards.tokens,
    }
