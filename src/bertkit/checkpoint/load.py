"""Load the tensors that a class needs, exactly or with an error, and report how the file matches the class."""

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
    """How the tensors of a file match the parameters of a class. Names are those of the parameter table."""

    source: str
    head: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()  # required, but not in the file
    unexpected: tuple[str, ...] = ()  # in the file, but not a parameter of BERT
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()  # name, shape in the file, required shape
    fresh: tuple[str, ...] = ()  # of a head or pooler that the file does not have
    left_out: tuple[str, ...] = ()  # of a head or pooler that the class does not have
    dropped: tuple[str, ...] = ()  # not parameters: optimizer state, counters, buffers, duplicates

    @property
    def exact(self) -> bool:
        """Whether nothing is missing, unexpected or of another shape."""
        return not (self.missing or self.unexpected or self.mismatched)

    def loading_info(self) -> dict[str, list[object]]:
        """Return the lists under the names that transformers uses."""
        return {
            "missing_keys": [*self.missing, *self.fresh],
            "unexpected_keys": [*self.unexpected, *self.left_out],
            "mismatched_keys": list(self.mismatched),
            "error_msgs": [],
        }

    def __str__(self) -> str:
        lines = [f"{self.source} as Bert{self.head}: {len(self.loaded)} tensors loaded"]
        shapes = [f"{name} {list(got)}, expected {list(wanted)}" for name, got, wanted in self.mismatched]
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
    """Read a checkpoint of any origin. Return {name in the parameter table: array} and a report.

    name: a directory, a file, a Hub id, or the result of `hub.locate`, which accepts a revision, a token and other options.
    head: the class suffix, such as "ForMaskedLM". Default: the class that config.json names, or the one that has the same
        parts as the file.
    prefix: the prefix of BERT's names where BERT is part of a larger model, such as "encoder.".
    formats, variant: which files to read, such as ["safetensors"] and "fp16" for model.fp16.safetensors.
    strict: raise LoadError if a tensor is missing, unexpected or of another shape. Otherwise only report it.
    ignore_mismatched_sizes: treat a tensor of another shape as absent, for example a classifier for other labels.
    optional: parts that may be absent without a warning, such as "bert.pooler.".

    The arrays are read-only views of the mapped file, and matrices are [out, in]. The caller initializes a head or pooler
    that the file does not have; `report.fresh` lists its parameters.
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
    """Load an open checkpoint: see `load_checkpoint`. `head` is a key of HEADS, or None."""
    if strict:
        check_sizes(source, config)
    tensors, report = match(source, head, config, prefix, ignore_mismatched_sizes)
    if strict and not report.exact:
        if report.mismatched and not (report.missing or report.unexpected):
            advice = (
                "Type ",
                Setting("ignore_mismatched_sizes", True),
                " to initialize those of another shape at random.",
            )
        else:
            advice = ("In Python, load_checkpoint(name, ", Setting("strict", False), ") loads the matching tensors.")
        raise LoadError(f"{report}\nThe checkpoint is for another head or another configuration. ", *advice)
    fresh = {_group(name) for name in report.fresh} - set(optional)
    if fresh:
        absent = ", ".join(sorted(part.rstrip(".") for part in fresh))
        logger.warning(
            "%s has no %s: initialized at random in Bert%s, train it before use.", source.path, absent, report.head
        )
    return tensors, report


def check_sizes(source: Source, config: BertConfig) -> None:
    """Refuse a configuration that is far too large for its file, before anything of its size is allocated.

    Each layer has several tensors, and each hidden size is a dimension of a tensor. `fit` reports smaller differences.
    """
    count, largest = len(source.tensors), 1
    for array in source.tensors.values():
        largest = max([largest, *array.shape])
    limits = {"num_hidden_layers": count, "hidden_size": largest, "intermediate_size": largest}
    for name, limit in limits.items():
        if getattr(config, name) > limit:
            raise LoadError(
                f"{name} is {getattr(config, name)} in the configuration, but {source.path} has {count} tensors with "
                f"dimensions of up to {largest}: pass the configuration of the same model."
            )


def config_of(place: hub.Place, prefix: str = "") -> BertConfig:
    """The configuration of a place. With a prefix, that of the part of this name, if config.json has one."""
    if prefix:
        part = read_json(place.fetch(*FILES)).get(prefix.rstrip("./"))
        if isinstance(part, dict):
            return BertConfig.from_dict(part)
    return BertConfig.from_pretrained(place)


def match(
    source: Source, head: str | None, config: BertConfig, prefix: str = "", ignore_mismatched_sizes: bool = False
) -> tuple[Tensors, LoadReport]:
    """Return the tensors of an open checkpoint that a class needs, complete or not. `head` is a key of HEADS, or None."""
    found = canonical(source.tensors, source.naming, prefix)
    tensors, report = fit(
        found, config, head or head_for(config, found.tensors), str(source.path), ignore_mismatched_sizes
    )
    for name, array in tensors.items():
        if array.dtype.name not in FLOATS:
            raise LoadError(
                f"{name} in {source.path} is of dtype {array.dtype}, but weights must be {', '.join(FLOATS)}: convert a "
                "quantized file to one of these first."
            )
    return tensors, report


def fit(
    found: Canonical, config: BertConfig, head: str, source: str, ignore_mismatched_sizes: bool = False
) -> tuple[Tensors, LoadReport]:
    """Return the tensors of a file that a class needs, and the report."""
    wanted = expand(config, head)
    given = _without_aliases(found, wanted, config.tie_word_embeddings, source)
    absent = {name: _group(name) for name in wanted if name not in given}
    present = {_group(name) for name in wanted if name in given} if absent else set()
    fresh_parts = set(absent.values()) - present - {""}
    mismatched = tuple(
        (name, given[name].shape, parameter.shape)
        for name, parameter in wanted.items()
        if name in given and given[name].shape != parameter.shape
    )
    reshaped = {name for name, _, _ in mismatched}
    surplus = {name: _part(name) for name in given if name not in wanted}
    tensors = {name: given[name] for name in wanted if name in given and name not in reshaped}
    report = LoadReport(
        source=source,
        head=head,
        loaded=tuple(tensors),
        missing=tuple(name for name, group in absent.items() if group not in fresh_parts),
        unexpected=(*found.unknown, *(found.original[name] for name, part in surplus.items() if not part)),
        mismatched=() if ignore_mismatched_sizes else mismatched,
        fresh=(
            *(name for name, group in absent.items() if group in fresh_parts),
            *(reshaped if ignore_mismatched_sizes else ()),
        ),
        left_out=tuple(name for name, part in surplus.items() if part),
        dropped=tuple(found.dropped),
    )
    return tensors, report


def _without_aliases(found: Canonical, wanted: dict[str, Parameter], tied: bool, source: str) -> Tensors:
    """The tensors without the second names of tied tensors. A tensor that has only its second name gets the first.

    transformers 5 has two biases in a model whose vocabulary projection is not tied, and computes with the one that has the
    second name. Such a projection is a separate matrix of the head, not a second name of the word embedding.
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
    if first.__array_interface__["data"] == second.__array_interface__["data"] and first.strides == second.strides:
        return True  # a pickle stores a tied tensor once
    bits = f"u{first.dtype.itemsize}"
    return np.array_equal(first.view(bits), second.view(bits))


def head_for(config: BertConfig, given: Iterable[str]) -> str:
    """Return the class that the configuration names, or otherwise the one that has the same parts as the file."""
    with contextlib.suppress(UsageError):  # the name is unknown: the parts decide
        return head_of((config.architectures or [""])[0])
    present = {_part(name) for name in given} - {""}
    fitting = [head for head, row in HEADS.items() if present <= set(row.parts)]
    if not fitting:
        raise LoadError(
            f"No class has all parts of the file ({', '.join(sorted(present))}): pass the class, for example ",
            Setting("head", "ForMaskedLM"),
            ".",
        )
    return min(fitting, key=lambda head: len(set(HEADS[head].parts) - present))


def _part(name: str) -> str:
    """The head or pooler of a parameter. Empty for the embeddings and layers."""
    return next((part for part in PARTS if name.startswith(part)), "")


def _group(name: str) -> str:
    """The part that is initialized if a file has no tensor of it: a head, the pooler, or the cross-attention of all layers."""
    return "bert.encoder.layer.*.crossattention." if ".crossattention." in name else _part(name)


def _some(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def with_own(
    report: LoadReport,
    named: Collection[str],
    own: Mapping[str, tuple[int, ...]],
    given: Tensors,
    ignore_mismatched_sizes: bool = False,
) -> LoadReport:
    """Return the report on a user's class, which has some parameters of the table and additional ones.

    named: the parameters of the table that it has. own: its additional parameters, with their shapes. given: the tensors of
    the file by the names in the file.
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
