"""Report the contents of a checkpoint, its class and its tasks, without loading it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bertkit import hub
from bertkit.checkpoint.canonical import canonical
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.load import LoadReport, config_of, fit, head_for
from bertkit.checkpoint.source import open_source
from bertkit.config import BertConfig
from bertkit.errors import printable
from bertkit.heads import HEADS, PARTS

_LONGEST_LINE = 1_000


@dataclass(frozen=True)
class Group:
    """Some tensors of a checkpoint: the embeddings, one layer, several equal layers, the pooler, or a head."""

    name: str
    tensors: int
    parameters: int
    bytes: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect`. `str()` returns the page that `bertkit inspect` prints."""

    path: str
    format: str
    config: BertConfig
    groups: tuple[Group, ...]
    report: LoadReport

    @property
    def task(self) -> str:
        """The main task of the class."""
        return HEADS[self.report.head].tasks[0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = asdict(self)
        values["config"] = self.config.to_dict()
        return {**values, "class": f"Bert{self.report.head}", "task": self.task}

    def __str__(self) -> str:
        c = self.config
        rows = [(g.name, f"{g.tensors}", f"{g.parameters:,}", _size(g.bytes), ", ".join(g.dtypes)) for g in self.groups]
        dtypes = sorted({dtype for g in self.groups for dtype in g.dtypes})
        tensors, parameters, size = (
            sum(getattr(g, of) for g in self.groups) for of in ("tensors", "parameters", "bytes")
        )
        rows.append(("total", f"{tensors}", f"{parameters:,}", _size(size), ", ".join(dtypes)))
        lines = [
            f"{self.path} ({self.format})",
            f"  class   Bert{self.report.head}",
            f"  tasks   {', '.join(HEADS[self.report.head].tasks)}",
            f"  shape   {_shape(c)}",
            f"  labels  {_labels(c)}",
            "",
            *_table(("part", "tensors", "parameters", "size", "dtype"), rows),
            "",
            *_findings(self.report),
        ]
        return "\n".join(printable(line, _LONGEST_LINE) for line in lines)


def inspect(name: str | os.PathLike[str] | hub.Place, *, prefix: str = "") -> Inspection:
    """Inspect a checkpoint of any origin: its configuration, tensors, missing and unused tensors, class and tasks.

    Only names, shapes and dtypes are read, so a large file takes no longer than a small one.
    """
    place = name if isinstance(name, hub.Place) else hub.locate(name)
    config = config_of(place, prefix)
    source = open_source(place)
    found = canonical(source.tensors, source.naming, prefix)
    _, report = fit(found, config, head_for(config, found.tensors), str(source.path))
    return Inspection(str(source.path), source.format, config, _groups(found.tensors), report)


def _groups(tensors: Tensors) -> tuple[Group, ...]:
    """The tensors by part of the model. Consecutive layers of the same size are one group."""
    parts: dict[str, Tensors] = {}
    for name, array in tensors.items():
        parts.setdefault(_group_name(name), {})[name] = array
    groups = [_group(name, part) for name, part in sorted(parts.items(), key=lambda item: _order(item[0]))]
    layers = [g for g in groups if g.name.startswith("layer")]
    numbers = [int(g.name.split()[1]) for g in layers]
    in_a_row = len(layers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1))
    if in_a_row and len({(g.tensors, g.bytes, g.dtypes) for g in layers}) == 1:
        n, one = len(layers), layers[0]
        name = f"layers {numbers[0]} to {numbers[-1]}"
        merged = Group(name, n * one.tensors, n * one.parameters, n * one.bytes, one.dtypes)
        groups = [g for g in groups if g not in layers]
        groups.insert(1, merged)
    return tuple(groups)


def _group(name: str, tensors: Tensors) -> Group:
    dtypes = Counter(str(array.dtype) for array in tensors.values())
    arrays = tensors.values()
    return Group(name, len(tensors), sum(a.size for a in arrays), sum(a.nbytes for a in arrays), tuple(sorted(dtypes)))


def _group_name(name: str) -> str:
    layer = re.match(r"bert\.encoder\.layer\.(\d+)\.", name)
    if layer:
        return f"layer {layer[1]}"
    return next((part.rstrip(".").removeprefix("bert.") for part in PARTS if name.startswith(part)), "embeddings")


def _order(group: str) -> tuple[int, int, str]:
    if group.startswith("layer "):
        return (1, int(group.split()[1]), "")
    return (0 if group == "embeddings" else 2, 0, group)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if 1 <= i <= 3 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    rule = "  " + "  ".join("-" * width for width in widths)
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _shape(c: BertConfig) -> str:
    sizes = f"hidden size {c.hidden_size:,}, intermediate size {c.intermediate_size:,}, vocabulary {c.vocab_size:,}"
    layers = f"{c.num_hidden_layers:,} layers, {c.num_attention_heads} heads"
    return f"{layers}, {sizes}, {c.max_position_embeddings:,} positions"


def _labels(config: BertConfig) -> str:
    shown = ", ".join(str(label) for _, label in sorted(config.id2label.items())[:8])
    return f"{config.num_labels}: {shown}{', ...' if config.num_labels > 8 else ''}"


def _findings(report: LoadReport) -> list[str]:
    lists = (
        ("missing", "required by the class, but not in the file", [*report.missing, *report.fresh]),
        ("unexpected", "in the file, but not parameters of BERT", [*report.unexpected]),
        (
            "of another shape",
            "different from the shape that config.json requires",
            [f"{n} {list(got)}, expected {list(want)}" for n, got, want in report.mismatched],
        ),
        ("unused", "of parts that the class does not have", [*report.left_out]),
        ("ignored", "not parameters: optimizer state, counters, buffers, duplicates", [*report.dropped]),
    )
    lines = []
    for what, meaning, names in lists:
        if names:
            lines.append(f"  {len(names)} {what} ({meaning}):")
            lines += [f"    {name}" for name in names[:12]] + (
                [f"    and {len(names) - 12} more"] if len(names) > 12 else []
            )
    return lines or ["  complete: no tensors are missing or unused"]


def _size(count: int) -> str:
    """A number of bytes with a unit, such as 438.0 MB."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}"
    return f"{count} B"
