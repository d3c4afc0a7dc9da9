"""Check before the work which options of a run have no effect, or another one than they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bertkit.engines.processor import multiplies_bf16
from bertkit.errors import Setting, UsageError, received
from bertkit.tasks import task_class
from bertkit.training.objectives import device_of
from bertkit.training.opening import Opened
from bertkit.training.options import DataOptions, Settings

_OF_TASK = {
    "label_all_tokens": "token-classification",
    "max_question_len": "question-answering",
    "max_answer_len": "question-answering",
    "null_score_diff_threshold": "question-answering",
    "max_target_length": "summarization",
    "num_beams": "summarization",
    "tie_encoder_decoder": "summarization",
}
"""Options that only one task has."""

_OF_ONE_BERT = ("freeze", "layer_decay", "teacher", "student_layers", "shard")


def check_without_eval(passed: Mapping[str, Any]) -> None:
    """Raise UsageError for a passed option that needs an evaluation file. Recipes have such options for any run.

    Args:
        passed: the options that were passed, without those of a recipe.
    """
    for name in ("metric", "average", "eval_steps", "patience", "tune_thresholds"):
        if passed.get(name):
            given = received(name, passed[name])
            raise UsageError(given, " needs examples for evaluation: type ", Setting("eval", "dev.tsv"), ".")


def check_effects(settings: Settings) -> None:
    """Raise UsageError for an option that has no effect for the task, or together with another option."""
    for name, task in _OF_TASK.items():
        if getattr(settings, name) != getattr(Settings, name) and settings.task != task:
            _refuse(settings, name, f"has no effect for {settings.task}")
    for name in _OF_ONE_BERT if settings.task == "summarization" else ():
        if getattr(settings, name) != getattr(Settings, name):
            _refuse(settings, name, "is not supported for summarization, whose model is two BERTs")
    if settings.tune_thresholds and settings.null_score_diff_threshold is not None:
        _refuse(settings, "tune_thresholds", "has no effect with null_score_diff_threshold")
    if settings.teacher is not None and not settings.alpha and settings.temperature != Settings.temperature:
        _refuse(settings, "temperature", "has no effect with alpha=0")
    _check_windows(settings)
    if settings.lora is not None:
        lora = f"has no effect with lora={settings.lora}, which trains only adapters and the head"
        for name, usual in (("freeze", None), ("layer_decay", 1.0)):
            if getattr(settings, name) != usual:
                _refuse(settings, name, lora)


def _check_windows(settings: Settings) -> None:
    """Raise UsageError for options of windows in a run without windows, or whose windows are examples of their own."""
    job = task_class(settings.task)
    on_long = settings.on_long or job.options_type().on_long
    if on_long != "window":
        advice = (": type ", Setting("on_long", "window"), ", or leave it out.")
        for name, usual in (("overlap", None), ("merge", None), ("max_windows", DataOptions.max_windows)):
            if getattr(settings, name) != usual:
                raise UsageError(received(name, getattr(settings, name)), " has no effect without windows", *advice)
    elif job.head != "ForSequenceClassification":
        for name, usual in (("merge", None), ("max_windows", DataOptions.max_windows)):
            if getattr(settings, name) != usual:
                _refuse(settings, name, f"has no effect for {settings.task}, which trains on all windows")


def check_thresholds(settings: Settings, problem_type: str | None) -> None:
    """Raise UsageError if thresholds are to be tuned for a task that has none."""
    has_thresholds = settings.task == "question-answering" or problem_type == "multi_label_classification"
    if settings.tune_thresholds and not has_thresholds:
        _refuse(
            settings, "tune_thresholds", f"has no effect for {problem_type or settings.task}, which has no thresholds"
        )


def limits_of(settings: Settings, opened: Opened) -> Iterator[str]:
    """Yield sentences about options that the model or the processor limits."""
    most = opened.task.row_length(opened.task.options({}))
    if settings.max_length is not None and settings.max_length > most:
        yield f"max_length={settings.max_length} is above the maximum of the model: a row has at most {most} tokens."
    is_cpu = device_of(opened.model).type == "cpu"
    if settings.precision == "bf16" and is_cpu and not multiplies_bf16():
        yield 'This processor has no fast products in bf16: precision="fp32" is faster, and exact.'


def _refuse(settings: Settings, name: str, reason: str) -> None:
    raise UsageError(received(name, getattr(settings, name)), f" {reason}: leave it out.")
