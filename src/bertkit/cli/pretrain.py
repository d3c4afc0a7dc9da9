"""`bertkit pretrain`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated

from bertkit.arguments import Also
from bertkit.cli.finetune import check_torch, train_and_show
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
    from bertkit.training.pretrain import pretrain as train

    every = {**asdict(examples), **asdict(teacher), **asdict(optimization), **asdict(run)}
    chosen = {name: value for name, value in every.items() if name in typed}
    return train_and_show(partial(train, data=data, model=model, eval=eval, out=out, **chosen), json)
