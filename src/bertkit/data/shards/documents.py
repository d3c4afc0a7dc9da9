"""Read documents from files as a stream: text with empty lines between documents, JSON Lines and Parquet."""

from __future__ import annotations

from collections.abc import Iterator

from bertkit.data.lines import OnBytes, read_lines
from bertkit.data.records import format_of
from bertkit.data.texts import texts_of

LONGEST_DOCUMENT = 2**20
"""Characters. A longer document becomes several, cut between lines if possible, so that memory is bounded."""


def read_documents(name: str, field: str = "text", on_bytes: OnBytes = lambda count: None) -> Iterator[str]:
    """Yield the documents of a file. Empty documents are left out.

    In a plain file, empty lines separate documents. In JSON Lines and Parquet, each record is a document.

    Args:
        name: the file; "-" is standard input with plain text.
        field: the key of the text in JSON Lines, or the column in Parquet.
        on_bytes: called with the number of bytes of each read from the file.
    """
    if format_of(name) in ("json", "jsonl", "parquet"):
        for text in texts_of(name, field, on_bytes):
            if text and not text.isspace():
                yield from _parts(text)
        return
    lines: list[str] = []
    size = 0
    for line in read_lines(name, on_bytes):
        blank = not line or line.isspace()
        for part in _parts(line):
            if lines and (blank or size + len(part) >= LONGEST_DOCUMENT):
                yield "\n".join(lines)
                lines, size = [], 0
            if not blank:
                lines.append(part)
                size += len(part) + 1
    if lines:
        yield "\n".join(lines)


def _parts(text: str) -> Iterator[str]:
    """Cut a long document between lines, or else at a space, or else anywhere."""
    start = 0
    while len(text) - start > LONGEST_DOCUMENT:
        limit = start + LONGEST_DOCUMENT
        end = text.rfind("\n", start, limit) + 1 or text.rfind(" ", start, limit) + 1 or limit
        yield text[start:end]
        start = end
    yield text[start:]
