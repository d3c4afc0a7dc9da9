"""`bertkit pretrain`."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from typing import Annotated

from bertkit.arguments import Also
from bertkit.cli.finetune import check_torch, show
from bertkit.cli.job import logged_warnings, print_message
from bertkit.cli.signature import Typed
from bertkit.training.pretraining.options import ExampleOptions, PretrainingOptimization, PretrainingRun, TeacherOptions


def pretrain(
    examples: ExampleOptions,
    teacher: TeacherOptions,
    optimization: PretrainingOptimization,
    run: PretrainingRun,
    typed: Typed,
    *,
    data: Annotated[str | None, "directory of shards, from bertkit prepare", Also("input-file")] = None,
    model: Annotated[
        str | None, "directory or Hub id of a model to train further", Also("model-name-or-path", "init-checkpoint")
    ] = None,
    eval: Annotated[str | None, "directory of shards for evaluation"] = None,
    out: Annotated[str | None, "output directory", Also("output-dir")] = None,
    json: Annotated[bool, "print the scores as one line of JSON"] = False,
) -> int:
    """Train a new model on shards of text (--config mini), or train a model further (--model DIR).

    The output directory has the model, its scores and a report (report.html). After Ctrl-C or a crash, the same command with
    --resume continues, and gives the same model as a run without interruption.
    """
    check_torch("pretrain")
    from bertkit.training.job import Stopped
    from bertkit.training.pretrain import pretrain as train

    every = {**asdict(examples), **asdict(teacher), **asdict(optimization), **asdict(run)}
    chosen = {name: value for name, value in every.items() if name in typed}
    command = shlex.join(["bertkit", *sys.argv[1:]])
    try:
        with logged_warnings():
            found = train(data=data, model=model, eval=eval, out=out, on_note=print_message, command=command, **chosen)
    except Stopped as stop:
        print_message(f"stopped. {stop} Run the same command with --resume to continue.")
        return 130
    if os.environ.get("RANK", "0") == "0":  # the first process of torchrun
        show(found, json)
    return 0
