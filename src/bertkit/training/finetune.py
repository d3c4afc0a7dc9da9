"""`finetune`: from files of examples to a folder with a model, its scores and its report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.data.examples import Examples, read_examples
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import PAIR
from bertkit.pipelines import Pipeline, pipeline
from bertkit.pipelines.calls import options_of
from bertkit.tasks import task_class
from bertkit.tasks.sentence_embedding import SentenceEmbedding
from bertkit.training.card import write_card
from bertkit.training.checks import check_effects, check_thresholds, check_without_eval, limits_of
from bertkit.training.distillation import distilled
from bertkit.training.distributed import Processes
from bertkit.training.embeddings import embedding_objective
from bertkit.training.evaluation import Evaluation
from bertkit.training.evaluation_steps import eval_loss, evaluation_of
from bertkit.training.folder import check_folder, locked
from bertkit.training.job import Best, Job, Scored, settings_dict, write_json
from bertkit.training.loop import Finetuner
from bertkit.training.objectives import LOSS_OPTIONS, Objective, check_options, objective_of
from bertkit.training.opening import LABELLED, given_options, open_for_training, without_adapters
from bertkit.training.options import Settings, check_names, columns_of
from bertkit.training.recipes import read_recipe
from bertkit.training.record import processor, versions
from bertkit.training.report import write_report
from bertkit.training.summaries import Writing
from bertkit.training.teacher import remove_cache
from bertkit.training.weights import class_weights, pos_weights

_METRICS = {
    "single_label_classification": "accuracy",
    "multi_label_classification": "f1",
    "regression": "pearson",
    "token-classification": "f1",
    "question-answering": "f1",
    "sentence-embedding": "spearmanr",
    "summarization": "rougeL",
}
_LISTED = 30
"""The most labels that a message lists."""
_EDGES = (8, 16, 32, 64, 128, 256, 512)

Note = Callable[[str], object]


@dataclass(frozen=True)
class Finetuned:
    """The result of a run."""

    folder: Path
    scores: Mapping[str, float] = field(default_factory=dict)  # of the best checkpoint, on the evaluation file
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def pipeline(self, **options: Any) -> Pipeline:
        """Return a pipeline for the trained model."""
        return pipeline(model=self.folder, **options)


def finetune(
    task: str | None = None,
    model: str | os.PathLike[str] | None = None,
    train: Any = None,
    eval: Any = None,
    out: str | os.PathLike[str] | None = None,
    *,
    recipe: str | None = None,
    labels: Sequence[str] | None = None,
    on_note: Note = lambda sentence: None,
    command: str | None = None,
    **options: Any,
) -> Finetuned:
    """Train a model for a task on examples, and write it, its scores and a report to a folder.

        finetune("text-classification", "bert-base-uncased", "train.tsv", "dev.tsv", "my-model", epochs=3)

    Args:
        task: "text-classification", "token-classification", "question-answering", "multiple-choice", "next-sentence-prediction",
            "sentence-embedding" or "summarization".
        model: a folder, or the Hub id of a model.
        train: a file of examples, a list of dicts, or a `datasets` object; see docs/data.md.
        eval: the same for evaluation; None: no evaluation, and the last checkpoint is the result.
        out: the output folder.
        recipe: the name or file of a recipe, whose arguments are the defaults.
        labels: the labels of the model, in this order; None: those of the training file, sorted.
        on_note: called with sentences about what was inferred.
        command: the command line, for the report.
        options: the options of docs/fine_tuning.md, for example `epochs`, `lr`, `batch_size` and `seed`.
    """
    check_names(options)
    own = {"task": task, "model": model, "train": train, "eval": eval, "out": out, "labels": labels}
    settings, labels = settings_of(recipe, own, options)
    processes = Processes.of_environment(settings.device)
    note = on_note if processes.is_first else lambda sentence: None
    folder = Path(settings.out)
    try:
        check_folder(folder, settings)
        with locked(folder) if processes.is_first else nullcontext():
            return _Run(settings, labels, note, processes, command).work()
    finally:
        processes.close()


def settings_of(
    recipe: str | None, own: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Settings, Sequence[str] | None]:
    """Return the settings of a recipe with the arguments that were passed, and the labels of the model."""
    values = {} if recipe is None else read_recipe(recipe)
    values |= {name: value for name, value in own.items() if value is not None} | dict(options)
    labels = values.pop("labels", None)
    for name in ("task", "model", "train", "out"):
        if values.get(name) is None:
            raise UsageError(f"finetune needs {name}: type ", Setting(name, "..."), ".")
    if values.get("eval") is None:
        check_without_eval(options)
    values["task"] = task_class(values["task"]).name
    settings = Settings(**{**values, "model": os.fspath(values["model"]), "out": os.fspath(values["out"])})
    check_effects(settings)
    return settings, labels


class _Run:
    """What a run reads, opens and writes."""

    def __init__(
        self, settings: Settings, labels: Sequence[str] | None, note: Note, processes: Processes, command: str | None
    ) -> None:
        self.settings, self.note, self.processes, self.command = settings, note, processes, command
        self.folder = Path(settings.out)
        self.began = time.monotonic()
        self.train = self._read(settings.train, settings.limit)
        self.eval = None if settings.eval is None else self._read(settings.eval)
        _check_names(labels, settings.task, self.train)
        self.labels = list(labels or self.train.labels)
        self.train = _with_known_labels(self.labels, self.train, "training", settings.on_bad)
        if self.eval is not None:
            self.eval = _with_known_labels(self.labels, self.eval, "evaluation", settings.on_bad)
        check_thresholds(settings, self.train.problem_type)
        for sentence in self.train.notes:
            note(sentence)
        for sentence in [] if self.eval is None else self.eval.notes:
            if sentence not in self.train.notes:
                note(f"Evaluation: {sentence}")
        self.opened = open_for_training(settings, self.labels or _numbers(self.train), self.train.problem_type)
        names = self.opened.labels
        if self.opened.task.head in LABELLED and self.labels and names != self.labels:
            note(f"The head of the model is kept, with its labels in their order: {', '.join(names[:20])}.")
            self.labels = names
        for sentence in limits_of(settings, self.opened):
            note(sentence)

    def work(self) -> Finetuned:
        """Train, evaluate the best checkpoint, and write the output folder."""
        job = self._job()
        if not job.work(self.note):
            return Finetuned(self.folder)
        return self._finish(job)

    def _job(self) -> Job:
        settings, opened = self.settings, self.opened
        units = opened.units(self.train, settings)
        self.units, objective = distilled(
            opened, units, self._objective(units), settings, self.folder, self.processes, self.note
        )
        tuner = Finetuner(opened.model, self.units, objective, settings, self.processes)
        self.eval_units = [] if self.eval is None else opened.units(self.eval, settings)
        self._check_scores(tuner.model)
        evaluate = None if self.eval is None else partial(self._scored, tuner)
        return Job(settings, self.folder, tuner, self._save_model, evaluate, self._metric(), opened.labels)

    def _scored(self, tuner: Finetuner) -> Scored:
        """Evaluate the model in training."""
        loss = eval_loss(tuner, self.eval_units)
        return Scored({"loss": loss, **self._evaluation(tuner.model, intervals=False).scores})

    def _save_model(self, model: Any, folder: Path) -> None:
        """Write a normal model folder, with adapters merged."""
        without_adapters(model).save_pretrained(folder)
        task = self.opened.task
        task.tokenizer.save_pretrained(folder)
        task.save(folder, options_of(task.name, given_options(task, self.settings)))

    def _objective(self, units: Any) -> Objective:
        settings = self.settings
        if isinstance(self.opened.task, SentenceEmbedding):
            return embedding_objective(self.opened.task, units, settings)
        head, problem = self.opened.task.head, self.train.problem_type
        check_options(head, problem, {name: getattr(settings, name) for name in LOSS_OPTIONS})
        if head == PAIR:
            return Writing(settings.label_smoothing)
        names = self.opened.task.config.id2label
        return objective_of(
            head,
            problem,
            class_weights=class_weights(settings.class_weights, names, units),
            pos_weight=pos_weights(settings.pos_weight, names, units),
            label_smoothing=settings.label_smoothing,
            merge=settings.merge,
        )

    def _metric(self) -> str:
        if self.settings.metric is not None:
            return self.settings.metric
        examples = self.train if self.eval is None else self.eval
        if self.settings.task == "sentence-embedding" and examples.answers[0] is None:
            return "accuracy"
        is_tagging = any(label[:2] in ("B-", "I-") for label in self.labels)
        if self.settings.task == "token-classification" and not is_tagging:
            return "accuracy"
        return _METRICS.get(self.train.problem_type or self.settings.task, "accuracy")

    def _check_scores(self, model: Any) -> None:
        """Raise UsageError before the training if the evaluation has no score with the name of the metric."""
        if self.eval is None:
            return
        without_answer = next((number for number, truth in enumerate(self.eval.references) if truth == []), 0)
        few = self.eval.take({0, without_answer})  # questions without an answer have further scores
        options = replace(self.settings, tune_thresholds=False)
        known = ("loss", *evaluation_of(self.opened, model, few, options, intervals=False).scores)
        if self._metric() not in known:
            advice = Setting("metric", "loss")
            raise UsageError(
                f"There is no score {self._metric()!r}: choose one of {', '.join(known)}, for example ", advice, "."
            )

    def _finish(self, job: Job) -> Finetuned:
        """Write the model, its scores and its report."""
        evaluation = None if self.eval is None else self._evaluation(job.tuner.model, intervals=True)
        self._save_model(job.tuner.model, self.folder)
        remove_cache(self.folder)
        write_json(self.folder / "run.json", self._record(job, evaluation))
        if evaluation is not None:
            evaluation.write(self.folder / "predictions.jsonl")
        write_card(self.folder)
        write_report(self.folder)
        if evaluation is None:
            return Finetuned(self.folder)
        return Finetuned(self.folder, evaluation.scores, evaluation.intervals)

    def _evaluation(self, model: Any, intervals: bool) -> Evaluation:
        assert self.eval is not None
        return evaluation_of(self.opened, model, self.eval, self.settings, intervals)

    def _record(self, job: Job, evaluation: Evaluation | None) -> dict[str, Any]:
        best: Best = job.best
        return {
            "task": self.settings.task,
            "model": self.settings.model,
            "command": self.command,
            "settings": settings_dict(self.settings),
            "data": {
                "train": _data(self.settings.train, self.train, self.units),
                "eval": None if self.eval is None else _data(self.settings.eval, self.eval, self.eval_units),
            },
            "labels": self.labels,
            "problem_type": self.train.problem_type,
            "versions": versions(),
            "processor": processor(),
            "seconds": job.seconds,
            "best": {"step": best.step, "metric": job.metric, "value": best.value},
            "scores": {} if evaluation is None else dict(evaluation.scores),
            "intervals": {} if evaluation is None else {k: list(v) for k, v in evaluation.intervals.items()},
            "thresholds": {} if evaluation is None else evaluation.thresholds,
        }

    def _read(self, source: Any, limit: int | None = None) -> Examples:
        options = self.settings
        return read_examples(
            options.task,
            source,
            format=options.format,
            columns=columns_of(options.columns),
            on_bad=options.on_bad,
            problem_type=options.problem_type,
            separator=options.separator,
            label_names=options.label_names,
            scheme=options.scheme,
            repair=options.repair,
            encoding=options.encoding,
            limit=limit,
        )


def _numbers(examples: Examples) -> list[str]:
    """Return a name for each number that a regression predicts, and nothing for other tasks."""
    if examples.problem_type != "regression":
        return []
    first = examples.answers[0]
    return [f"LABEL_{number}" for number in range(len(first) if isinstance(first, (list, tuple)) else 1)]


def _check_names(labels: Sequence[str] | None, task: str, examples: Examples) -> None:
    """Raise UsageError for invalid labels of the model, and if neither they nor the examples have any."""
    if labels is None:
        if examples.problem_type == "multi_label_classification" and not examples.labels:
            advice = Setting("labels", ["first", "second"])
            raise UsageError("No training example has a label: pass those of the model, for example ", advice, ".")
    elif task_class(task).head not in LABELLED or examples.problem_type == "regression":
        kind = examples.problem_type or task
        raise UsageError(received("labels", list(labels)), f" has no effect for {kind}: leave it out.")
    elif not labels or len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise UsageError(received("labels", list(labels)), " has an empty or a repeated label: write each label once.")


def _with_known_labels(labels: Sequence[str], examples: Examples, what: str, on_bad: str) -> Examples:
    """Return the examples whose labels the model will have. Without `on_bad="skip"`, refuse others."""
    if not len(examples):
        raise UsageError(f"The {what} file has no examples.")
    known = set(labels)
    unknown = [label for label in examples.labels if label not in known]
    if not unknown or not labels:
        return examples
    shown = ", ".join(map(repr, unknown[:5]))
    kept = [number for number, answer in enumerate(examples.answers) if not _names_of(answer) & set(unknown)]
    if on_bad == "skip" and kept:
        left_out = len(examples) - len(kept)
        note = f"Left out, as the model does not have their labels ({shown}): {left_out}."
        return replace(examples.take(kept), skipped=examples.skipped + left_out, notes=[*examples.notes, note])
    lacking = "the training file" if what == "evaluation" else "the option labels"
    every = [*labels, *unknown]
    advice = [": ", Setting("labels", every), "."] if len(every) <= _LISTED else [" as labels."]
    raise UsageError(
        f"The {what} file has labels that {lacking} lacks: {shown}. Remove these examples, or pass all labels", *advice
    )


def _names_of(answer: Any) -> set[Any]:
    return set(answer) if isinstance(answer, (list, tuple)) else {answer}


def _data(source: Any, examples: Examples, units: Any) -> dict[str, Any]:
    """Return facts about examples, with a histogram of the tokens of their rows."""
    lengths = np.array([sum(map(len, unit)) for unit in units])
    counts = np.histogram(lengths, [0, *_EDGES, np.inf])[0]
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__
    return {
        "name": name,
        "examples": len(examples),
        "skipped": examples.skipped,
        "tokens": int(lengths.sum()),
        "lengths": counts.tolist(),
        "edges": [0, *_EDGES],
    }
