"""Loading is exact, or it is an error: what a class needs, what a file has, and the report on both."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bertkit import hub
from bertkit.checkpoint.canonical import Canonical, canonical
from bertkit.checkpoint.dtypes import FLOATS
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.source import Source, open_source
from bertkit.config import FILES, BertConfig, read_json
from bertkit.errors import LoadError, Setting, UsageError
from bertkit.heads import HEADS, PARTS, head_of
from bertkit.parameters import TABLE, UNTIED, Parameter, expand
from bertkit.tensors import Array

logger = logging.getLogger("bertkit")


@dataclass(frozen=True)
class LoadReport:
    """What a file had of what a class needs. Names are those of the parameter table."""

    source: str
    head: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()  # needed, and not in the file
    unexpected: tuple[str, ...] = ()  # in the file, and BERT has no such parameter
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()  # name, shape in the file, shape needed
    fresh: tuple[str, ...] = ()  # of a head or pooler that the file does not have at all
    left_out: tuple[str, ...] = ()  # of a head or pooler that the class does not have
    dropped: tuple[str, ...] = ()  # no parameters: optimizer state, counters, buffers, second copies

    @property
    def exact(self) -> bool:
        """Whether nothing is missing, unexpected or of another shape."""
        return not (self.missing or self.unexpected or self.mismatched)

    def loading_info(self) -> dict[str, list[object]]:
        """The four lists under the names that users of transformers know."""
        return {
            "missing_keys": [*self.missing, *self.fresh],
            "unexpected_keys": [*self.unexpected, *self.left_out],
            "mismatched_keys": list(self.mismatched),
            "error_msgs": [],
        }

    def __str__(self) -> str:
        lines = [f"{self.source} as Bert{self.head}: {len(self.loaded)} tensors loaded"]
        shapes = [f"{name} {list(got)}, needed {list(wanted)}" for name, got, wanted in self.mismatched]
        for what, names in (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", shapes)):
            if names:
                lines.append(f"  {len(names)} {what}: {_some(names)}")
        return "\n".join(lines)


def load_checkpoint(
    name: str | os.PathLike[str] | hub.Place,
    head: str | None = None,
    *,
    config: BertConfig | None = None,
    prefix: str = "",
    formats: Sequence[str] | None = None,
    variant: str | None = None,
    strict: bool = True,
    ignore_mismatched_sizes: bool = False,
    optional: tuple[str, ...] = (),
) -> tuple[Tensors, LoadReport]:
    """Read a checkpoint of any origin into {name in the parameter table: array}, and report what was found.

    name: a directory, a file, a Hub id, or what `hub.locate` made of one of them with a revision, a token and the like.
    head: the class suffix, such as "ForMaskedLM"; None takes the class that config.json names, or all that the file has.
    prefix: what stands before BERT's names when BERT is a part of a larger model, such as "encoder.".
    strict: raise a LoadError when a tensor is missing, unexpected or of another shape; else only report it.
    ignore_mismatched_sizes: take a tensor of another shape for a fresh one, such as a classifier of other labels.
    optional: parts whose absence is no warning, such as "bert.pooler.".

    The arrays are read-only views of the mapped file, matrices as [out, in]. A head or pooler that the file lacks is left to the
    caller, who finds its names in `report.fresh`.
    """
    place = name if isinstance(name, hub.Place) else hub.locate(name)
    config = config or config_of(place, prefix)
    source = open_source(place, formats, variant)
    return load_source(
        source,
        head and head_of(head),
        config,
        prefix=prefix,
        strict=strict,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
        optional=optional,
    )


def load_source(
    source: Source,
    head: str | None,
    config: BertConfig,
    *,
    prefix: str = "",
    strict: bool = True,
    ignore_mismatched_sizes: bool = False,
    optional: tuple[str, ...] = (),
) -> tuple[Tensors, LoadReport]:
    """Read an opened checkpoint; see `load_checkpoint`. `head` is a key of HEADS, or None."""
    if strict:
        check_sizes(source, config)
    tensors, report = match(source, head, config, prefix, ignore_mismatched_sizes)
    if strict and not report.exact:
        if report.mismatched and not (report.missing or report.unexpected):
            again = ("With ", Setting("ignore_mismatched_sizes", True), " those of another shape are drawn anew.")
        else:
            again = ("In Python, load_checkpoint(name, ", Setting("strict", False), ") reads what fits.")
        raise LoadError(f"{report}\nIt was made for another head or another configuration. ", *again)
    fresh = {_group(name) for name in report.fresh} - set(optional)
    if fresh:
        absent = ", ".join(sorted(part.rstrip(".") for part in fresh))
        logger.warning("%s has no %s: fresh in Bert%s, to be trained before use.", source.path, absent, report.head)
    return tensors, report


def check_sizes(source: Source, config: BertConfig) -> None:
    """Refuse a configuration that is far too large for its file, before anything of its sizes is made.

    Each layer has more than one tensor, and each width is a side of one. What is only of another size is left to `fit`, which
    lists all.
    """
    count, largest = len(source.tensors), 1
    for array in source.tensors.values():
        largest = max([largest, *array.shape])
    limits = {"num_hidden_layers": count, "hidden_size": largest, "intermediate_size": largest}
    for name, limit in limits.items():
        if getattr(config, name) > limit:
            raise LoadError(
                f"{name} is {getattr(config, name)} in the configuration, and {source.path} has {count} tensors with sides of "
                f"up to {largest}: they are of different models."
            )


def config_of(place: hub.Place, prefix: str = "") -> BertConfig:
    """The configuration of a place; of a part of a larger model where config.json has one under the part's name."""
    if prefix:
        part = read_json(place.fetch(*FILES)).get(prefix.rstrip("./"))
        if isinstance(part, dict):
            return BertConfig.from_dict(part)
    return BertConfig.from_pretrained(place)


def match(
    source: Source, head: str | None, config: BertConfig, prefix: str = "", ignore_mismatched_sizes: bool = False
) -> tuple[Tensors, LoadReport]:
    """The part of an opened checkpoint that a class needs, complete or not. `head` is a key of HEADS, or None."""
    found = canonical(source.tensors, source.naming, prefix)
    tensors, report = fit(
        found, config, head or head_for(config, found.tensors), str(source.path), ignore_mismatched_sizes
    )
    for name, array in tensors.items():
        if array.dtype.name not in FLOATS:
            raise LoadError(
                f"{name} of {source.path} is of type {array.dtype}, and weights are {', '.join(FLOATS)}: a quantized file "
                "has to be turned back into one of them first."
            )
    return tensors, report


def fit(
    found: Canonical, config: BertConfig, head: str, source: str, ignore_mismatched_sizes: bool = False
) -> tuple[Tensors, LoadReport]:
    """The tensors that a class needs, out of those that a file has."""
    wanted = expand(config, head)
    given = _without_aliases(found, wanted, config.tie_word_embeddings, source)
    absent = [name for name in wanted if name not in given]
    there = {_group(name) for name in wanted if name in given}
    fresh_parts = {_group(name) for name in absent} - there - {""}
    mismatched = tuple(
        (name, given[name].shape, parameter.shape)
        for name, parameter in wanted.items()
        if name in given and given[name].shape != parameter.shape
    )
    reshaped = {name for name, _, _ in mismatched}
    surplus = [name for name in given if name not in wanted]
    tensors = {name: given[name] for name in wanted if name in given and name not in reshaped}
    report = LoadReport(
        source=source,
        head=head,
        loaded=tuple(tensors),
        missing=tuple(name for name in absent if _group(name) not in fresh_parts),
        unexpected=(*found.unknown, *(found.original[name] for name in surplus if not _part(name))),
        mismatched=() if ignore_mismatched_sizes else mismatched,
        fresh=(
            *(name for name in absent if _group(name) in fresh_parts),
            *(reshaped if ignore_mismatched_sizes else ()),
        ),
        left_out=tuple(name for name in surplus if _part(name)),
        dropped=tuple(found.dropped),
    )
    return tensors, report


def _without_aliases(found: Canonical, wanted: dict[str, Parameter], tied: bool, source: str) -> Tensors:
    """Without the second names of tied tensors; where only the second name is there, it becomes the first.

    transformers 5 keeps two biases in a model whose vocabulary projection is not tied, and adds the one with the second name.
    The projection itself is then a matrix of its own, of a head that a class has or leaves out.
    """
    given = dict(found.tensors)
    for row in TABLE:
        if row.alias and row.alias in given and row.alias not in wanted and (tied or row.alias != UNTIED.name):
            array = given.pop(row.alias)
            first = given.get(row.name, array)
            if tied and "cls.predictions.bias" in wanted and first is not array and not _same(first, array):
                raise LoadError(
                    f"{found.original[row.alias]} and {found.original[row.name]} of {source} are tied by the configuration, "
                    "but their values differ: to load both, type ",
                    Setting("tie_word_embeddings", False),
                    ", or delete one of them from the file.",
                )
            given[row.name] = first if tied else array
    return given


def _same(first: Array, second: Array) -> bool:
    """Whether two arrays are equal bit by bit, NaN included."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    bits = f"u{first.dtype.itemsize}"
    return np.array_equal(first.view(bits), second.view(bits))


def head_for(config: BertConfig, given: Iterable[str]) -> str:
    """The class that the configuration names, or else the one whose parts are those that the file has."""
    with contextlib.suppress(UsageError):  # for a class of the user's own, its parts decide
        return head_of((config.architectures or [""])[0])
    there = {_part(name) for name in given} - {""}
    fitting = [head for head, row in HEADS.items() if there <= set(row.parts)]
    if not fitting:
        raise LoadError(
            f"The file has {', '.join(sorted(there))}, which no class has together: say which is meant, head='ForMaskedLM'."
        )
    return min(fitting, key=lambda head: len(set(HEADS[head].parts) - there))


def _part(name: str) -> str:
    """The head or pooler that a name belongs to; empty for the embeddings and layers."""
    return next((part for part in PARTS if name.startswith(part)), "")


def _group(name: str) -> str:
    """What is drawn as a whole where a file has none of it: a head, the pooler, or the cross-attention of all layers."""
    return "bert.encoder.layer.*.crossattention." if ".crossattention." in name else _part(name)


def _some(names: Sequence[str]) -> str:
    """The first ten of many."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def with_own(
    report: LoadReport,
    named: Collection[str],
    own: Mapping[str, tuple[int, ...]],
    given: Tensors,
    ignore_mismatched_sizes: bool = False,
) -> LoadReport:
    """The report on a class of the user's, which has some parameters of the table and others besides.

    named: those of the table. own: the others, with their shapes. given: what the file has, by its own names.
    """
    loaded = [name for name, shape in own.items() if name in given and given[name].shape == shape]
    fresh = [name for name in own if name not in loaded]
    other = [(name, given[name].shape, own[name]) for name in fresh if name in given]
    return replace(
        report,
        loaded=(*(name for name in report.loaded if name in named), *loaded),
        missing=tuple(name for name in report.missing if name in named),
        unexpected=tuple(name for name in report.unexpected if name not in own),
        left_out=tuple(name for name in report.left_out if name not in own),
        mismatched=report.mismatched if ignore_mismatched_sizes else (*report.mismatched, *other),
        fresh=(*(name for name in report.fresh if name in named), *fresh),
    )
