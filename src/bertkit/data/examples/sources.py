"""Open what has examples: files of all formats, folders, lists, data frames and data sets.

A source is a stream of (place, record). A record is {column: value}, or a DataError for a bad row.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertkit.data.examples.collection import Place, listed
from bertkit.data.examples.conll import conll_sentences, conllu_sentences
from bertkit.data.examples.folders import class_files
from bertkit.data.examples.questions import is_squad, squad_questions
from bertkit.data.lines import checked_lines, shown_name
from bertkit.data.parquet import read_rows
from bertkit.data.records import check_file, ending, json_lines, json_list
from bertkit.data.tables import numbered_rows
from bertkit.errors import DataError, Setting, UsageError, described, did_you_mean, received

Records = Iterator[tuple[Place, Any]]

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "conll", "conllu", "squad", "trec", "folder")

_ENDINGS = {".conllu": "conllu", ".conll": "conll", ".iob": "conll", ".iob2": "conll", ".bio": "conll"}


@dataclass
class Source:
    """A stream of records, and how to name a record."""

    name: str  # for errors, with the folder of a file
    short: str  # for places, without the folder
    unit: str = "line"  # what a place is
    records: Records = field(default_factory=lambda: iter(()))
    columns: Mapping[str, Any] = field(default_factory=dict)  # of a format with fixed columns: the column of each field
    names: dict[Any, list[str]] = field(
        default_factory=dict
    )  # of columns with numbers of labels: the names of the labels
    notes: list[str] = field(default_factory=list)


def open_source(source: Any, format: str, task: str, no_header: bool, encoding: str | None) -> Source:
    """Open a file, a folder, or an object with records.

    Args:
        source: the name of a file, a folder, a list of dictionaries, a data frame or a data set.
        format: one of FORMATS, or "infer".
        task: the name of the task, for formats that only one task has.
        no_header: whether the columns of a table are numbers, so that it has no header.
        encoding: the encoding of a text file; None: UTF-8.
    """
    if not isinstance(source, (str, os.PathLike)):
        if format != "infer":
            raise UsageError(
                received("format", format), " has no effect for a source that is not a file: leave it out."
            )
        return _of_object(source)
    name = os.fspath(source)
    if format == "infer":
        format = _infer(name, task)
    if format != "folder":
        check_file(name)
    found = Source(name if name != "-" else shown_name(name), shown_name(Path(name).name))
    if format in ("csv", "tsv"):
        utf8 = encoding or "utf-8"
        found.records = numbered_rows(name, format, found.notes.append, has_header=not no_header, encoding=utf8)
        return found
    if encoding is not None and format not in _ENCODED:
        raise UsageError(received("encoding", encoding), f" has no effect for {format}: leave it out.")
    _OPEN[format](found, name, encoding)
    if found.columns and task not in _TASKS[format]:
        raise UsageError(
            f"{format} is a format for {_TASKS[format][0]}, not for {task}: type another format for {found.name}."
        )
    return found


def _infer(name: str, task: str) -> str:
    """Return the format of a file by its name and its task."""
    if name != "-" and Path(name).is_dir():
        return "folder"
    check_file(name)
    by_name, compression = ending(name)
    path = Path(name).stem if compression else Path(name).name
    by_name = by_name or _ENDINGS.get(Path(path).suffix.lower(), "")
    if by_name or (task == "token-classification" and name != "-"):
        return by_name or "conll"
    advice = Setting("format", "tsv")
    raise UsageError(
        f"The format of {shown_name(name)} is unknown: type one of {', '.join(FORMATS)}, for example ", advice, "."
    )


def _open_lines(source: Source, name: str, encoding: str | None) -> None:
    source.records = json_lines(name)


def _open_json(source: Source, name: str, encoding: str | None) -> None:
    """Open a JSON list, SQuAD, or a file with an object in each line."""
    try:
        values = json_list(name)
    except DataError:
        if name == "-" or not isinstance(next(json_lines(name), (0, None))[1], dict):
            raise
        source.notes.append(f"{name} has a JSON object in each line.")
        return _open_lines(source, name, encoding)
    if len(values) == 1 and is_squad(values[0]):
        return _set_squad(source, values[0])
    source.records, source.unit = enumerate(values, start=1), "item"
    return None


def _open_squad(source: Source, name: str, encoding: str | None) -> None:
    values = json_list(name)
    if len(values) != 1 or not is_squad(values[0]):
        raise DataError(f'{source.name} is not SQuAD, which is {{"data": [{{"paragraphs": [...]}}]}}.')
    _set_squad(source, values[0])


def _set_squad(source: Source, document: Any) -> None:
    source.records, source.unit = squad_questions(document, source.name), "question"
    source.columns = {name: name for name in ("question", "context", "answers", "is_impossible")}


def _open_parquet(source: Source, name: str, encoding: str | None) -> None:
    source.records, source.unit = enumerate(read_rows(name, lambda schema: None), start=1), "row"


def _open_conll(source: Source, name: str, encoding: str | None) -> None:
    source.records, source.columns = conll_sentences(name, encoding or "utf-8"), {"words": 0, "tags": -1}


def _open_conllu(source: Source, name: str, encoding: str | None) -> None:
    source.records, source.columns = conllu_sentences(name, encoding or "utf-8"), {"words": "form", "tags": "upos"}


def _open_folder(source: Source, name: str, encoding: str | None) -> None:
    source.records, source.unit, source.columns = (
        class_files(name, encoding or "utf-8"),
        "file",
        {"text": "text", "label": "label"},
    )


def _open_trec(source: Source, name: str, encoding: str | None) -> None:
    """Open lines with a label and a text. Without an encoding, a file that is not UTF-8 is Latin-1, as the original."""
    if encoding is None and name != "-" and any(wrong for _, wrong in checked_lines(name)):
        encoding = "latin-1"
        source.notes.append(f"{name} is not UTF-8: it is read as Latin-1, the encoding of TREC.")
    source.records, source.columns = _labelled_lines(name, encoding or "utf-8"), {"text": "text", "label": "label"}


def _labelled_lines(name: str, encoding: str) -> Records:
    """Yield the label and the text of each line. The label is the first word."""
    shown = shown_name(name)
    for number, (line, wrong) in enumerate(checked_lines(name, encoding=encoding), start=1):
        label, space, text = line.partition(" ")
        if wrong is not None:
            yield number, DataError(wrong)
        elif space:
            yield number, {"label": label, "text": text}
        elif line:
            yield number, DataError(f"Line {number} of {shown} has no label and text with a space between them.")


_OPEN = {
    "jsonl": _open_lines,
    "json": _open_json,
    "parquet": _open_parquet,
    "conll": _open_conll,
    "conllu": _open_conllu,
    "squad": _open_squad,
    "trec": _open_trec,
    "folder": _open_folder,
}
_ENCODED = ("conll", "conllu", "trec", "folder")
_TASKS = {
    "conll": ("token-classification",),
    "conllu": ("token-classification",),
    "json": ("question-answering",),
    "squad": ("question-answering",),
    "trec": ("text-classification",),
    "folder": ("text-classification",),
}
"""The tasks that have a format with fixed columns."""


def check_format(format: Any, known: Sequence[str]) -> None:
    """Raise UsageError for an unknown format."""
    if format not in known:
        near = did_you_mean(format, known) if isinstance(format, str) else ""
        raise UsageError(f"Unknown format {format!r}: choose one of {', '.join(known)}.{near}")


def _of_object(source: Any) -> Source:
    """Return the records of a data set, a data frame or a list."""
    if hasattr(source, "column_names") and hasattr(source, "features"):
        names = {column: found for column, own in (source.features or {}).items() if (found := _label_names(own))}
        return Source("the data set", "the data set", "index", enumerate(iter(source)), names=names)
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        rows = source.to_dicts() if hasattr(source, "to_dicts") else source.to_dict("records")
        return Source("the data frame", "the data frame", "index", enumerate(rows))
    if isinstance(source, Mapping):
        split = next(iter(source), "train")
        raise UsageError(
            f"The source is a dictionary with {listed(list(source))}: pass one part of it, for example source[{split!r}], or a "
            "list with a dictionary for each example."
        )
    if isinstance(source, Iterable):
        return Source("the list", "the list", "index", enumerate(iter(source)))
    raise UsageError(
        f"The source is {described(source)}: pass the name of a file, a list of dictionaries, a data frame or a data set."
    )


def _label_names(feature: Any) -> list[str] | None:
    """Return the names of the labels that a feature of a data set has, also for lists of labels."""
    if isinstance(feature, (list, tuple)) and feature:
        feature = feature[0]
    feature = getattr(feature, "feature", feature)
    names = getattr(feature, "names", None)
    return list(names) if isinstance(names, (list, tuple)) else None
