"""`bertkit finetune`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from bertkit.arguments import Also
from bertkit.cli.job import logged_warnings, print_message
from bertkit.cli.signature import Typed
from bertkit.data.json_line import line_of
from bertkit.errors import MissingExtraError, UsageError
from bertkit.training.options import GROUPS, DataOptions, DistillationOptions, OptimizationOptions, RunOptions

_CHANNELS = {"train": ("TRAIN", "TRAINING"), "eval": ("EVAL", "VALIDATION", "TEST")}


def words_of_environment(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the options that a container of SageMaker training gets as environment variables.

    >>> words_of_environment({"SM_MODEL_DIR": "/opt/ml/model", "SM_HPS": '{"epochs": 3, "resume": true}'})
    ['--out', '/opt/ml/model', '--epochs', '3', '--resume']
    """
    words = []
    for option, names in _CHANNELS.items():
        folder = next(
            (environment[f"SM_CHANNEL_{name}"] for name in names if f"SM_CHANNEL_{name}" in environment), None
        )
        if folder is not None:
            words += [f"--{option}", _file_in(Path(folder))]
    if "SM_MODEL_DIR" in environment:
        words += ["--out", environment["SM_MODEL_DIR"]]
    try:
        values = json.loads(environment.get("SM_HPS", "{}"))
    except ValueError as error:
        raise UsageError(f"The environment variable SM_HPS is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise UsageError('The environment variable SM_HPS is not a JSON object: write for example {"epochs": 3}.')
    both_ways = {option.name for group in GROUPS for option in fields(group) if "bool | None" in str(option.type)}
    for name, value in values.items():
        if value is True or value is None:
            words += [f"--{name}"] if value else []
        elif value is not False:
            words += [f"--{name}", str(value)]
        elif name.replace("-", "_") in both_ways:
            words += [f"--no-{name.replace('_', '-')}"]
    return words


def _file_in(folder: Path) -> str:
    """Return the only file of a folder, or the folder."""
    found = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return str(found[0] if len(found) == 1 else folder)


@dataclass(frozen=True, kw_only=True)
class GoogleOptions:
    """accepted from Google's scripts"""

    do_train: Annotated[bool, "no effect: finetune always trains"] = False
    do_eval: Annotated[bool, "no effect: --eval names the file for evaluation"] = False
    do_predict: Annotated[bool, "no effect: the answers to the evaluation file are always written"] = False
    version_2_with_negative: Annotated[bool, "no effect: questions without an answer are found in the data"] = False
    n_best_size: Annotated[int | None, "no effect: all spans of a text are compared"] = None

    def check(self) -> None:
        """Raise UsageError if only answers are requested."""
        if self.do_predict and not self.do_train:
            raise UsageError(
                "--do-predict without --do-train trains no model: type bertkit evaluate, or bertkit predict."
            )


def finetune(
    data: DataOptions,
    optimization: OptimizationOptions,
    run: RunOptions,
    distillation: DistillationOptions,
    google: GoogleOptions,
    typed: Typed,
    *,
    task: Annotated[str | None, "text-classification, ner, question-answering, ..."] = None,
    model: Annotated[
        str | None, "directory or Hub id of the model", Also("model-name-or-path", "init-checkpoint")
    ] = None,
    train: Annotated[str | None, "file of training examples", Also("train-file")] = None,
    eval: Annotated[
        str | None, "file of examples for evaluation", Also("validation-file", "predict-file", "eval-file")
    ] = None,
    out: Annotated[str | None, "output directory", Also("output-dir")] = None,
    data_dir: Annotated[str | None, "folder with train.tsv and dev.tsv, instead of --train and --eval"] = None,
    recipe: Annotated[
        str | None, "name or file of a recipe with these options, for example mrpc", Also("task-name")
    ] = None,
    labels: Annotated[str | None, "labels of the model, in this order: bad,good"] = None,
    seeds: Annotated[int | None, "train with this number of seeds, and keep the best model"] = None,
    sweep: Annotated[
        bool, "train with all batch sizes, learning rates and epochs of BERT's paper, and keep the best"
    ] = False,
    json: Annotated[bool, "print the scores as one line of JSON"] = False,
) -> int:
    """Train a model for a task on a file of examples.

    The output directory has the model, its scores, a report (report.html) and all predictions on the evaluation file. After
    Ctrl-C or a crash, the same command with --resume continues, and gives the same model as a run without interruption.
    """
    check_torch("finetune")
    google.check()
    if data_dir is not None:
        train, eval = train or str(Path(data_dir, "train.tsv")), eval or str(Path(data_dir, "dev.tsv"))
    from bertkit.training.sweep import finetune_all

    every = {**asdict(data), **asdict(optimization), **asdict(run), **asdict(distillation)}
    chosen = {name: value for name, value in every.items() if name in typed}
    given: dict[str, Any] = {"task": task, "model": model, "train": train, "eval": eval, "out": out, "recipe": recipe}
    names = None if labels is None else [label.strip() for label in labels.split(",")]
    return train_and_show(partial(finetune_all, **given, labels=names, seeds=seeds, sweep=sweep, **chosen), json)


def train_and_show(train: Callable[..., Any], as_json: bool) -> int:
    """Call a function that trains, with `on_note` and `command`, and print its scores. Return the exit code."""
    from bertkit.training.job import Stopped

    command = shlex.join(["bertkit", *sys.argv[1:]])
    try:
        with logged_warnings():
            found = train(on_note=print_message, command=command)
    except Stopped as stop:
        print_message(f"stopped. {stop} Run the same command with --resume to continue.")
        return 130
    if os.environ.get("RANK", "0") == "0":  # the first process of torchrun
        show(found, as_json)
    return 0


def check_torch(command: str) -> None:
    """Raise MissingExtraError if PyTorch is not installed."""
    if find_spec("torch") is None:
        raise MissingExtraError("PyTorch", "train", command)


def show(found: Any, as_json: bool) -> None:
    """Print the scores of a run, with their intervals if it has some."""
    if as_json:
        print(line_of(dict(found.scores)).decode().rstrip())
        return
    intervals = getattr(found, "intervals", {})
    for name, value in found.scores.items():
        low, high = intervals.get(name, (None, None))
        between = "" if low is None else f"  ({low:.4f} to {high:.4f})"
        print(f"{name:<24}{value:8.4f}{between}")
    print_message(f"the model is in {found.folder}, and its report in {found.folder / 'report.html'}.")
