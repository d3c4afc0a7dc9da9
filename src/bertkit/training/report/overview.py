"""The sections that every task has: scores, curves, lengths, data, settings and the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeGuard

from bertkit.training.record import Record, is_finite, is_number
from bertkit.training.report import drawings
from bertkit.training.report.markup import Section, element, escaped, facts, folded, number, paragraph, table, text
from bertkit.training.report.pictures import Pictures

_MOST_LINES = 8  # of a picture that can be read
_SPEED = ("flops_per_second", "flops_utilization")
_HEADINGS = {"flops_per_second": "GFLOP/s"}  # of numbers that are too large to read
_NO_SCORES = {"event", "step", "epoch", "loss", "seconds"}


def scores(record: Record, pictures: Pictures) -> Iterator[Section]:
    """The scores of the best checkpoint with their intervals."""
    best, intervals = record.part("best"), record.part("intervals")
    found = {name: value for name, value in record.part("scores").items() if value is None or is_number(value)}
    if not found:
        yield Section("scores", "Scores", paragraph("No scores: the run had no evaluation file. Pass one with --eval."))
        return
    order = sorted(found, key=lambda name: name != best.get("metric"))
    tiles = "".join(_tile(name, found[name], intervals.get(name), name == best.get("metric")) for name in order)
    body = f'<div class="tiles">{tiles}</div>'
    if is_number(best.get("step")):
        body += paragraph(
            f"The checkpoint of step {number(best['step'])} was kept, which has the best {best.get('metric')} "
            f"({number(best.get('value'))}).",
            "muted",
        )
    if intervals:
        body += paragraph("Intervals: 95% of bootstrap resamples of the evaluation examples.", "muted")
    yield Section("scores", "Scores", body)


def _tile(name: str, value: object, interval: object, is_best: bool) -> str:
    between = " to ".join(map(number, interval)) if is_interval(interval) else ""
    body = escaped(name) + element("b", number(value)) + element("span", between, "muted")
    return element("div", body, "best" if is_best else "")


def is_interval(value: object) -> TypeGuard[list[float]]:
    """Return whether a value of run.json is a lower and an upper number."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def curves(record: Record, pictures: Pictures) -> Iterator[Section]:
    """Loss, learning rate and scores over the steps."""
    if not record.steps and not record.evaluations:
        return
    names = score_names(record)
    parts = [
        pictures.draw("loss", "Loss", _losses(record)),
        _lines(pictures, "learning_rate", "Learning rate", record.steps, ["learning_rate"]),
        _lines(pictures, "scores", "Scores of the evaluations", record.evaluations, names["one"]),
        _lines(pictures, "percentages", "Scores of the evaluations, in percent", record.evaluations, names["hundred"]),
    ]
    body = f'<div class="figures">{"".join(parts)}</div>' if pictures.available else ""
    shown = [name for name in ("loss", *names["one"], *names["hundred"]) if points(record.evaluations, name)[0]]
    if record.evaluations:
        rows = [[line["step"], line.get("epoch"), *map(line.get, shown)] for line in record.evaluations]
        body += folded("Every evaluation", table(["step", "epoch", *shown], rows), not pictures.available)
    if record.steps:
        columns = [
            name
            for name in ("loss", "mlm_loss", "nsp_loss", "learning_rate", "grad_norm", "tokens_per_second", *_SPEED)
            if points(record.steps, name)[0]
        ]
        rows = [
            [line["step"], line.get("epoch"), *(_shown(line, name) for name in columns)]
            for line in _some(record.steps, 20)
        ]
        headings = [_HEADINGS.get(name, name) for name in columns]
        body += folded("Some steps", table(["step", "epoch", *headings], rows), not pictures.available)
    yield Section("curves", "Training", body)


def _shown(line: Mapping[str, Any], name: str) -> object:
    value = line.get(name)
    return value / 1e9 if name in _HEADINGS and is_number(value) else value


def _losses(record: Record) -> Callable[[Any], None]:
    return partial(drawings.loss, steps=points(record.steps, "loss"), evaluations=points(record.evaluations, "loss"))


def _lines(
    pictures: Pictures, name: str, caption: str, lines: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> str:
    found = {column: own for column in columns if (own := points(lines, column))[0]}
    if not found:
        return ""
    y = name.replace("_", " ") if len(found) > 1 else next(iter(found)).replace("_", " ")
    return pictures.draw(name, caption, partial(drawings.lines, curves=found, y=y))


def points(lines: Sequence[Mapping[str, Any]], name: str) -> drawings.Points:
    """Return the steps, and the values there of one name."""
    found = [(float(line["step"]), float(line[name])) for line in lines if is_number(line.get(name))]
    return [step for step, _ in found], [value for _, value in found]


def score_names(record: Record) -> dict[str, list[str]]:
    """Return the names of the scores of evaluations: those up to 1, and those in percent."""
    names = list(dict.fromkeys(name for line in record.evaluations for name in line if name not in _NO_SCORES))
    final = record.part("scores")
    names = [name for name in names if name in final] or names
    largest = {
        name: max(map(abs, values), default=0) for name in names if (values := points(record.evaluations, name)[1])
    }
    return {
        "one": [name for name, value in largest.items() if value <= 1][:_MOST_LINES],
        "hundred": [name for name, value in largest.items() if 1 < value <= 100][:_MOST_LINES],
    }


def _some(lines: Sequence[dict[str, Any]], most: int) -> Sequence[dict[str, Any]]:
    """Return at most `most` lines at equal distances, and the last one."""
    return lines if len(lines) <= most else [*lines[:: -(-len(lines) // (most - 1))], lines[-1]]


def samples(record: Record, pictures: Pictures) -> Iterator[Section]:
    """Texts whose masks the model filled."""
    found = record.facts.get("samples")
    if isinstance(found, list) and found:
        items = "".join(element("li", text(str(one))) for one in found)
        yield Section("samples", "Filled sentences", element("ul", items))


def lengths(record: Record, pictures: Pictures) -> Iterator[Section]:
    """How many tokens the examples have."""
    files: dict[str, dict[str, float]] = {}
    for name, file in record.part("data").items():
        counts, edges = (file.get("lengths"), file.get("edges")) if isinstance(file, dict) else (None, None)
        if _are_numbers(counts) and _are_numbers(edges) and 0 <= len(edges) - len(counts) <= 1 and any(counts):
            files[name] = dict(zip(_bins(edges, len(counts)), counts, strict=True))
    if not files:
        return
    names = list(dict.fromkeys(name for counts in files.values() for name in counts))
    while not any(counts.get(names[-1]) for counts in files.values()):
        names.pop()
    columns = {file: [counts.get(name, 0) for name in names] for file, counts in files.items()}
    paint = partial(drawings.histogram, names=names, files=columns)
    picture = pictures.draw("lengths", "Share of the examples by their number of tokens", paint)
    rows = [[name, *counts] for name, *counts in zip(names, *columns.values(), strict=True)]
    numbers = table(["tokens", *files], rows, "The number of examples.")
    yield Section("lengths", "Length of texts", picture + folded("Numbers", numbers, not picture))


def _bins(edges: Sequence[float], count: int) -> list[str]:
    """Return the name of each bin. Without an upper edge, the last bin has all longer texts.

    >>> _bins([0, 8, 16], 3)
    ['0 to 7', '8 to 15', '16 or more']
    """
    closed = [f"{low:,.0f} to {high - 1:,.0f}" for low, high in pairwise(edges)]
    return closed if count < len(edges) else [*closed, f"{edges[-1]:,.0f} or more"]


def _are_numbers(value: object) -> TypeGuard[list[float]]:
    return isinstance(value, list) and all(map(is_finite, value))


def data(record: Record, pictures: Pictures) -> Iterator[Section]:
    """The files of examples."""
    files = {name: file for name, file in record.part("data").items() if isinstance(file, dict)}
    if not files:
        return
    columns = record.columns()
    rows = [[name, *(file.get(key) for key in ("name", *columns))] for name, file in files.items()]
    body = table(["part", "file", *columns], rows)
    if record.labels:
        body += folded(f"{len(record.labels):,} labels", paragraph(", ".join(record.labels)), len(record.labels) < 20)
    yield Section("data", "Data", body)


def reproduction(record: Record, pictures: Pictures) -> Iterator[Section]:
    """The command, the settings and the versions."""
    body = ""
    if record.facts.get("command"):
        body += f"<h3>Command</h3><pre>{escaped(record.facts['command'])}</pre>"
    named = {"Settings": record.part("settings"), "Versions": record.part("versions")}
    named["Versions"] |= {"processor": record.facts["processor"]} if record.facts.get("processor") else {}
    for title, values in named.items():
        if values:
            body += f"<h3>{title}</h3>{facts((name, _setting(value)) for name, value in values.items())}"
    if body:
        yield Section("settings", "Settings", body)


def _setting(value: object) -> str:
    """Return a setting as it was typed, without rounding."""
    return "none" if value is None else str(value)
