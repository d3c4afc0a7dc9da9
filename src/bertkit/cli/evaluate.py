"""`bertkit evaluate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from bertkit.arguments import Also
from bertkit.cli.job import logged_warnings, print_message
from bertkit.cli.run import name_and_value
from bertkit.cli.shared import device_of
from bertkit.data.json_line import line_of
from bertkit.errors import UsageError
from bertkit.terminal import page_of_stdout, straight

if TYPE_CHECKING:
    from bertkit.training.evaluation import Evaluation


def evaluate(
    *,
    model: Annotated[str | None, "directory or Hub id of the model", Also("model-name-or-path")] = None,
    data: Annotated[
        str | None, "file of examples with their true answers", Also("eval", "validation-file", "predict-file")
    ] = None,
    task: Annotated[str | None, "name of the task (default: the main task of the model)"] = None,
    format: Annotated[str, "format of the file: infer, jsonl, csv, tsv, parquet, conll, squad, mrpc, ..."] = "infer",
    columns: Annotated[str | None, "columns of the file: text=sentence1,text_pair=sentence2,label=gold"] = None,
    on_bad: Annotated[Literal["raise", "skip"], "what to do with an invalid row, or an unknown label"] = "raise",
    limit: Annotated[int | None, "evaluate only the first examples", Also("max-eval-samples")] = None,
    average: Annotated[
        Literal["macro", "micro", "weighted", "binary"] | None,
        "how to combine precision, recall and F1 of labels; binary: those of the second of two labels "
        "(default: micro for entities, else macro)",
    ] = None,
    predictions: Annotated[str | None, "file for the prediction of each example, in JSON lines"] = None,
    json: Annotated[bool, "print the scores as one line of JSON, without intervals"] = False,
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model"] = None,
    device: Annotated[str | None, "cpu, cuda, cuda:1, the number of a GPU, or -1 for the CPU"] = None,
    engine: Annotated[
        Literal["auto", "numpy", "torch", "keras", "flax", "onnx", "openvino"], "library that runs the model"
    ] = "auto",
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16", "int8"], "type of the numbers in the model"] = "auto",
    batch_size: Annotated[
        int | None, "maximum texts or windows per batch (default: a few thousand tokens)", Also("eval-batch-size")
    ] = None,
    on_long: Annotated[
        Literal["truncate", "window", "error"] | None,
        "what to do with a text longer than the model's maximum (default: depends on the task)",
    ] = None,
    max_length: Annotated[int | None, "maximum tokens of a text or window", Also("max-seq-length")] = None,
    option: Annotated[list[str], "option of the task, such as max_answer_len=30; may be repeated"] = [],  # noqa: B006
    seed: Annotated[int, "seed of the resamples for the intervals"] = 0,
    confidence: Annotated[float, "share of resampled scores within an interval"] = 0.95,
    resamples: Annotated[int, "number of resamples"] = 1000,
) -> int:
    """Evaluate a model on a file of examples with true answers.

    Each score has a confidence interval, from resampled examples (bootstrap).
    """
    from bertkit.training.evaluation import evaluate as evaluate_model

    for name, value, what in (("model", model, "its directory or its Hub id"), ("data", data, "a file of examples")):
        if value is None:
            raise UsageError(f"evaluate needs --{name}: type --{name} with {what}.")
    with logged_warnings():
        found = evaluate_model(
            model,
            data,
            task=task,
            format=format,
            columns=columns,
            on_bad=on_bad,
            limit=limit,
            average=average,
            tokenizer=tokenizer,
            device=device_of(device),
            precision=precision,
            engine=engine,
            batch_size=batch_size,
            on_long=on_long,
            max_length=max_length,
            options=dict(map(name_and_value, option)),
            seed=seed,
            confidence=confidence,
            resamples=resamples,
            predictions=predictions,
            progress=sys.stderr.isatty(),
        )
    for note in found.notes:
        print_message(note)
    print(line_of(found.scores).decode().rstrip() if json else "\n".join(_table(found, confidence)))
    print_message(f"{_examples(len(found))} evaluated.{f' Left out: {found.skipped:,}.' * bool(found.skipped)}")
    if predictions is not None:
        print_message(f"the predictions are in {predictions}.")
    return 0


def _examples(count: int) -> str:
    return f"{count:,} example{'s' * (count != 1)}"


def _table(found: Evaluation, confidence: float) -> list[str]:
    """Return the scores and their intervals as lines."""
    page = page_of_stdout()
    header = ("score", "", f"{confidence:.0%} interval")
    rows = [(name, _number(value), _range(found, name)) for name, value in found.scores.items()]
    lines = straight([header, *rows], right=[1], indent="")
    return [page.paint(lines[0], "dim"), *lines[1:]]


def _range(found: Evaluation, name: str) -> str:
    if name not in found.intervals:
        return ""
    low, high = found.intervals[name]
    return f"{_number(low)} to {_number(high)}" if low == low else "undefined"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
