"""Evaluations of a fine-tuned model in training."""

from __future__ import annotations

from typing import Any

import torch

from bertkit.data.examples import Examples
from bertkit.pipelines import Pipeline, pipeline
from bertkit.training.batches import Unit, batches_of
from bertkit.training.distributed import whole_model
from bertkit.training.evaluation import Evaluation, evaluate_pipeline
from bertkit.training.loop import Finetuner
from bertkit.training.objectives import Objective
from bertkit.training.opening import Opened, given_options
from bertkit.training.options import Settings


def eval_loss(tuner: Finetuner, units: list[Unit]) -> float:
    """Return the mean loss on examples, without dropout."""
    objective: Objective = tuner.objective.for_evaluation
    tuner.model.eval()
    total = weight = 0.0
    size = tuner.settings.batch_size if objective.is_joint else max(len(units), 1)
    with torch.no_grad():
        for at in range(0, len(units), size):
            batches = batches_of(
                units[at : at + size], tuner.settings.batch_tokens, objective.head == "ForMultipleChoice"
            )
            objective.begin_step(tuner.model, batches)
            for batch in batches:
                own = objective.weight(batch)
                total, weight = total + own * float(objective(tuner.model, batch)), weight + own
    tuner.model.train()
    return total / weight if weight else float("nan")


def evaluation_of(opened: Opened, model: Any, examples: Examples, settings: Settings, intervals: bool) -> Evaluation:
    """Evaluate a model in training, and store its tuned thresholds in its configuration. All processes call it."""
    model = whole_model(model).eval()
    tune = settings.tune_thresholds is not False and settings.null_score_diff_threshold is None
    whole = pipeline(opened.task.name, model=model, tokenizer=opened.task.tokenizer)
    pipe = Pipeline(opened.task, whole.engine)  # this task knows the files of the original model
    try:
        return evaluate_pipeline(
            pipe,
            examples,
            on_bad=settings.on_bad,
            options=given_options(opened.task, settings),
            average=settings.average,
            intervals=intervals,
            tune_thresholds=tune,
        )
    finally:
        model.train()
