"""`bertkit bench`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from bertkit.cli.examples import Columns
from bertkit.cli.job import logged_warnings, print_message
from bertkit.cli.run import name_and_value
from bertkit.cli.shared import device_of
from bertkit.data.json_line import line_of
from bertkit.data.records import Format, read_records
from bertkit.errors import BertkitError, DataError, UsageError
from bertkit.terminal import page_of_stdout, straight

if TYPE_CHECKING:
    from bertkit.measuring.bench import Bench, Figures


def bench(
    *,
    model: Annotated[str, "directory or Hub id of the model"],
    data: Annotated[str, "file of inputs, as for bertkit run"],
    task: Annotated[str | None, "name of the task (default: the main task of the model)"] = None,
    setting: Annotated[
        list[str], "engine and precision to measure, such as torch:bf16; may be repeated (default: all)"
    ] = [],  # noqa: B006
    out: Annotated[str | None, "directory for bench.json and bench.png"] = None,
    limit: Annotated[int, "inputs to read from the file"] = 256,
    seconds: Annotated[float, "least time for each setting in batches, and again for single inputs"] = 3.0,
    json: Annotated[bool, "print JSON"] = False,
    column: Annotated[str | None, "columns of the input to read: a,b or field=a,field=b"] = None,
    format: Annotated[Format, "format of the input; pipe: one text per line, with tabs between columns"] = "infer",
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model"] = None,
    device: Annotated[str | None, "cpu, cuda, cuda:1, the number of a GPU, or -1 for the CPU"] = None,
    batch_size: Annotated[int | None, "maximum texts or windows per batch (default: a few thousand tokens)"] = None,
    option: Annotated[list[str], "option of the task, such as top_k=3; may be repeated"] = [],  # noqa: B006
) -> int:
    """Measure a model with each engine and precision that is installed, on your own inputs and machine.

    It shows speed, memory, and how much the answers are those of float32, and says which setting to use. A setting whose answers
    differ for more than 0.5% of the inputs is not recommended.
    """
    from bertkit.config import BertConfig
    from bertkit.measuring.bench import bench as measure
    from bertkit.pipelines.open import main_task

    if limit < 1:
        raise UsageError(f"--limit {limit} must be at least 1.")
    if out is not None:  # before minutes of measuring
        try:
            Path(out).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"--out {out} leads to a file: type a folder, which is created if necessary.") from error
    with logged_warnings():
        name = task or main_task(BertConfig.from_pretrained(model), model)
        found = measure(
            model,
            _examples(data, name, column, format, limit),
            task=name,
            settings=setting or None,
            options=dict(map(name_and_value, option)),
            tokenizer=tokenizer,
            device=device_of(device),
            batch_size=batch_size,
            seconds=seconds,
            note=lambda candidate: print_message(f"measuring {candidate}"),
        )
    print(line_of(found.to_dict()).decode().rstrip() if json else "\n".join(_table(found)))
    for candidate, reason in found.refused.items():
        print_message(f"{candidate} was not measured: {reason}")
    print_message(_advice(found))
    if out is not None:
        _write(found, Path(out), model)
    return 0


def _examples(data: str, task: str, column: str | None, format: Format, limit: int) -> list[Any]:
    """The first examples of a file. Raises the error of an invalid one."""
    columns = Columns(task, column)
    found = list(islice(map(columns.example, read_records(data, format, columns.check, print_message)), limit))
    for example in found:
        if isinstance(example, BertkitError):
            raise example
    if not found:
        raise DataError(f"{data} is empty, but at least one input is needed.")
    return found


_HEADER = (
    "setting",
    "tokens/s",
    "faster",
    "one: p50",
    "p95",
    "memory",
    "same answers",
    "mean diff.",
    "worst",
    "cosine",
)


def _table(found: Bench) -> list[str]:
    """A line for each setting."""
    page = page_of_stdout()
    lines = straight([_HEADER, *map(_cells, found.figures)], right=range(1, len(_HEADER)), indent="")
    return [page.paint(lines[0], "dim"), *lines[1:]]


def _cells(one: Figures) -> tuple[str, ...]:
    agreement = one.agreement
    return (
        str(one.setting),
        f"{one.tokens_per_second:,.0f}",
        f"{one.faster:.2f}x",
        f"{one.p50 * 1000:.1f} ms",
        f"{one.p95 * 1000:.1f} ms",
        f"{one.peak_bytes / 2**20:,.0f} MB",
        f"{agreement.same:.1%}",
        f"{agreement.mean:.1e}",
        f"{agreement.worst:.1e}",
        "" if agreement.cosine is None else f"{agreement.cosine:.5f}",
    )


def _advice(found: Bench) -> str:
    many, one = found.fastest.setting, found.quickest.setting
    if many == one:
        return f"use --engine {many.engine} --precision {many.precision}"
    return (
        f"for many texts use --engine {many.engine} --precision {many.precision}, "
        f"and for one at a time --engine {one.engine} --precision {one.precision}"
    )


def _write(found: Bench, folder: Path, model: str) -> None:
    from bertkit.hub.disk import whole_file
    from bertkit.measuring.picture import draw

    with whole_file(folder / "bench.json") as file:
        file.write(line_of(found.to_dict()))
    if draw(found, folder, Path(model).name):
        print_message(f"the figures are in {folder / 'bench.json'} and {folder / 'bench.png'}.")
    else:
        print_message(
            f'the figures are in {folder / "bench.json"}. A picture needs matplotlib: pip install "bertkit[train]"'
        )
