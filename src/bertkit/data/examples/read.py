"""Read the examples of a task with their answers: open the source, find its columns, convert each record, then all answers."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import chain, islice
from typing import Any, Literal

from bertkit.data.examples.bad_rows import BadRows
from bertkit.data.examples.collection import Examples, Place
from bertkit.data.examples.columns import Columns, flat
from bertkit.data.examples.layouts import LAYOUTS, Layout, layout_of
from bertkit.data.examples.reader import Options, Reader
from bertkit.data.examples.sources import FORMATS, Source, check_format, open_source
from bertkit.data.lines import read_lines
from bertkit.errors import DataError, Setting, UsageError, described, did_you_mean, one_of, received

READERS = {
    "text-classification": "classification.TextClassificationReader",
    "token-classification": "tags.TokenClassificationReader",
    "question-answering": "questions.QuestionReader",
    "multiple-choice": "choices.ChoiceReader",
    "next-sentence-prediction": "classification.NextSentenceReader",
    "sentence-embedding": "embedding.EmbeddingReader",
    "summarization": "summaries.SummaryReader",
}
"""Task -> the class in this package that reads its examples."""

_FIRST = 100
"""The number of records whose columns are considered."""


def read_examples(
    task: str,
    source: Any,
    *,
    format: str = "infer",
    columns: Columns | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
    problem_type: str | None = None,
    separator: str | None = None,
    label_names: Sequence[str] | str | os.PathLike[str] | None = None,
    scheme: str | None = None,
    repair: bool = False,
    encoding: str | None = None,
    limit: int | None = None,
) -> Examples:
    """Read examples with their answers from a file, a folder or an object.

    >>> rows = [{"text": "A joy.", "label": "good"}, {"text": "Dull.", "label": "bad"}]
    >>> examples = read_examples("text-classification", rows)
    >>> examples.inputs, examples.answers, examples.labels, examples.where(1)
    (['A joy.', 'Dull.'], ['good', 'bad'], ['bad', 'good'], 'index 1 of the list')

    Args:
        task: "text-classification", "token-classification", "question-answering", "multiple-choice",
            "next-sentence-prediction", "sentence-embedding" or "summarization".
        source: the name of a file or a folder, a list of dictionaries, a DataFrame or a data set of the package datasets.
        format: "jsonl", "json", "csv", "tsv", "parquet", "conll", "conllu", "squad", "trec" or "folder", or a data set with known
            columns: a task of GLUE such as "mrpc", or "goemotions" or "codah". "infer": by the name of the file.
        columns: field -> column, such as `{"text": "sentence1", "text_pair": "sentence2", "label": "gold"}`. A number from 0 is a
            column of a file without a header. Missing fields are found by usual names.
        on_bad: whether a bad row raises DataError, or is left out and counted.
        problem_type: "single_label_classification", "multi_label_classification" or "regression". None: by the labels.
        separator: the text between several labels in a cell.
        label_names: the names of the labels 0, 1, ..., as a list or as a file with a name in each line.
        scheme: the scheme of tags: "IOB1", "IOB2", "IOBES", "BILOU", "IOE1", "IOE2", or "none" for tags that are not entities.
            None: by the tags. Tags in IOB1, IOE1 and IOE2 are converted to IOB2.
        repair: whether invalid sequences of tags are repaired. By default they are bad rows.
        encoding: the encoding of CSV, TSV, CoNLL, TREC and folders. None: UTF-8.
        limit: the maximum number of examples.
    """
    reader_class, layout = _reader_class(task), _layout(format)
    _check(on_bad, encoding, limit)
    options = Options(problem_type, separator, _names(label_names), scheme, repair)
    options.check(task, reader_class.options)
    known = {name: value for name, value in layout.options.items() if getattr(options, name) is None}
    options = replace(options, plural="labels" in (columns or ()), **known)
    chosen = reader_class.fields.check(
        {**layout.columns, **({} if columns is None else reader_class.fields.check(columns))}
    )
    no_header = any(isinstance(column, int) for column in flat(list(chosen.values())))
    opened = open_source(source, layout.format, task, no_header, encoding)
    bad = BadRows(opened, on_bad)
    records = _good(opened, bad)
    first = list(islice(records, min(limit or _FIRST, _FIRST)))
    mapping, notes = _columns(reader_class, {**opened.columns, **chosen}, first, bad)
    reader = reader_class(options, mapping, opened.names)
    found: list[tuple[Place, Any, Any]] = []
    for place, record in chain(first, records):
        if limit is not None and len(found) == limit:
            break
        try:
            found.append((place, *reader.example(record)))
        except DataError as error:
            bad.add(place, error)
    return _collected(task, reader, found, bad, notes)


def _collected(
    task: str, reader: Reader, found: list[tuple[Place, Any, Any]], bad: BadRows, notes: list[str]
) -> Examples:
    """Return the examples, without those whose answers are bad."""
    answers = reader.answers([answer for _, _, answer in found])
    good = []
    for index, ((place, _, _), answer) in enumerate(zip(found, answers.values, strict=True)):
        if isinstance(answer, DataError):
            bad.add(place, answer)
        else:
            good.append(index)
    source = bad.source
    if not good:
        raise DataError(f"{source.name} has no examples: ", *bad.notes())
    references = answers.values if answers.references is None else answers.references
    inputs, values, references, places = (
        [own[index] for index in good]
        for own in ([one for _, one, _ in found], answers.values, references, [place for place, _, _ in found])
    )
    notes = [*source.notes, *notes, *answers.notes, *bad.notes()]
    kept = (answers.labels, answers.problem_type, notes, bad.count)
    return Examples(task, inputs, values, references, *kept, places, source.unit, source.short)


def _columns(
    reader: type[Reader], chosen: Mapping[str, Any], first: Sequence[tuple[Place, Any]], bad: BadRows
) -> tuple[dict[str, Any], list[str]]:
    """Return the column of each field, and notes about them. The known columns are those of the first records."""
    name = bad.source.name
    if not first:
        raise DataError(f"{name} has no examples: ", *(bad.notes() or ["it is empty."]))
    known = list(dict.fromkeys(column for _, record in first for column in record))
    return reader.fields.find(chosen, known, name)


def _good(source: Source, bad: BadRows) -> Iterator[tuple[Place, Any]]:
    """Yield the records that are valid."""
    for place, record in source.records:
        if isinstance(record, DataError):
            bad.add_placed(record)
        elif isinstance(record, Mapping):
            yield place, record
        elif isinstance(record, (list, tuple)):
            yield place, dict(enumerate(record))
        else:
            bad.add(place, DataError(f"{described(record)} is not an object with columns, such as {{'text': ...}}."))


def _reader_class(task: Any) -> type[Reader]:
    if task not in READERS:
        near = did_you_mean(task, READERS) if isinstance(task, str) else ""
        raise UsageError(f"Examples of the task {task!r} cannot be read: choose one of {', '.join(READERS)}.{near}")
    module, _, name = READERS[task].partition(".")
    found: type[Reader] = getattr(import_module(f"bertkit.data.examples.{module}"), name)
    return found


def _layout(format: Any) -> Layout:
    """Return the layout of a data set, or a format with the columns of the option."""
    layout = layout_of(format) if isinstance(format, str) else None
    if layout is None:
        check_format(format, ("infer", *FORMATS, *LAYOUTS))
        return Layout(format, {})
    return layout


def _check(on_bad: str, encoding: str | None, limit: int | None) -> None:
    """Raise UsageError for an invalid option."""
    one_of("on_bad", on_bad, ("raise", "skip"))
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(
            received("limit", limit), " is not an integer of at least 1: type for example ", Setting("limit", 1), "."
        )
    try:
        by_lines = encoding is None or "a\n".encode(codecs.lookup(encoding).name) == b"a\n"
    except (LookupError, TypeError):
        by_lines = False
    if not by_lines:
        advice = Setting("encoding", "latin-1")
        raise UsageError(received("encoding", encoding), ' is invalid: type "utf-8", or for example ', advice, ".")


def _names(names: Sequence[str] | str | os.PathLike[str] | None) -> list[str] | None:
    """Return the names of labels. A string is the name of a file."""
    if names is None:
        return None
    if isinstance(names, (str, os.PathLike)):
        found = [name for name in read_lines(os.fspath(names)) if name]
    else:
        found = list(names) if isinstance(names, (list, tuple)) else []
    if not found or not all(isinstance(name, str) for name in found) or len(set(found)) < len(found):
        raise UsageError(
            received("label_names", names), " is not a list of different names, or a file with a name in each line."
        )
    return found
