"""Read sentences with tags from CoNLL files, with a word in each line and an empty line between sentences, and from CoNLL-U."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bertkit.data.lines import checked_lines, shown_name
from bertkit.errors import DataError

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of CoNLL-U."""

_START = "-DOCSTART-"
"""The word of a line that starts a document in CoNLL-2003."""

Cells = list[str]
Sentences = Iterator[tuple[int, Any]]
"""The number of the first line of each sentence, and {column: [value of each word]} or a DataError."""


def conll_sentences(name: str, encoding: str = "utf-8") -> Sentences:
    """Yield the sentences of a file with at least two columns. The columns are numbers.

    Columns have tabs between them, or spaces if a line has no tab. Lines that start with # are words, such as hashtags.
    """
    shown, width = shown_name(name), [0, 0]

    def cells(number: int, line: str) -> Cells | None:
        found = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
        if found[0] == _START:
            return None
        if len(found) < 2 or not found[0] or not found[-1]:
            raise DataError(f"Line {number} of {shown} needs a word and a tag with a tab or a space between them.")
        if width == [0, 0]:
            width[:] = len(found), number
        if len(found) != width[0]:
            raise DataError(f"Line {number} of {shown} has {len(found)} columns, but line {width[1]} has {width[0]}.")
        return found

    for number, rows in _sentences(name, encoding, cells):
        yield number, rows if isinstance(rows, DataError) else dict(enumerate(map(list, zip(*rows, strict=True))))


def conllu_sentences(name: str, encoding: str = "utf-8") -> Sentences:
    """Yield the sentences of a CoNLL-U file: {"form": [...], "upos": [...], ...}. An empty value is None.

    The words are syntactic words: lines for multiword tokens, such as 1-2, and for empty nodes, such as 8.1, are left out.
    """
    shown = shown_name(name)

    def cells(number: int, line: str) -> Cells | None:
        if line.startswith("#"):
            return None
        found = line.split("\t")
        if len(found) != len(CONLLU):
            raise DataError(
                f"Line {number} of {shown} has {len(found)} columns, but CoNLL-U has {len(CONLLU)}, with tabs."
            )
        if found[0].isdecimal():
            return found
        if found[0].replace("-", "").replace(".", "").isdecimal():
            return None
        raise DataError(f"Line {number} of {shown} starts with {found[0]!r}, but must start with the number of a word.")

    for number, rows in _sentences(name, encoding, cells):
        if isinstance(rows, DataError):
            yield number, rows
            continue
        columns = dict(zip(CONLLU, map(list, zip(*rows, strict=True)), strict=True))
        yield number, {column: _present(column, values) for column, values in columns.items()}


def _present(column: str, values: Cells) -> list[str | None]:
    """Return the values of a column, with None for an empty one. Only words and lemmas may be an underscore."""
    return [None if value == "_" and column not in ("form", "lemma") else value for value in values]


def _sentences(
    name: str, encoding: str, cells: Callable[[int, str], Cells | None]
) -> Iterator[tuple[int, list[Cells] | DataError]]:
    """Yield the first line and the rows of each sentence. `cells` returns None for a line that is not a word."""
    rows: list[Cells] = []
    first, wrong = 0, None
    for number, (line, invalid) in enumerate(checked_lines(name, encoding=encoding), start=1):
        if line and not line.isspace():
            try:
                found = cells(number, line)
                wrong = wrong or (DataError(invalid) if invalid else None)
            except DataError as error:
                found, wrong = [], wrong or error
            if found is not None:
                first = first or number
                rows.append(found)
        elif rows:
            yield first, wrong or rows
            rows, first, wrong = [], 0, None
    if rows:
        yield first, wrong or rows
