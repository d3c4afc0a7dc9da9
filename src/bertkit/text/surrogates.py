"""Half a surrogate pair is no character. Who has one in a text is told where it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bertkit.errors import UsageError

HALF = re.compile("[\ud800-\udfff]")


def refuse_halves(text: str, which: str = "The text") -> None:
    """An error for the first half of a pair in a text."""
    if found := HALF.search(text):
        at = found.start()
        near = text[max(at - 10, 0) : at + 10]
        raise UsageError(
            f"{which} has half a surrogate pair, U+{ord(found[0]):X}, at position {at}, near {near!r}. "
            'It is no character. To put "\ufffd" in its place: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        )


def refuse_halves_of_batch(texts: Sequence[str] | Sequence[Sequence[str]]) -> None:
    """An error for the first of a batch of texts, or of lists of words, that has half a pair."""
    for number, text in enumerate(texts):
        which = "The text" if len(texts) == 1 else f"Text {number} of the batch, counted from 0,"
        if isinstance(text, str):
            refuse_halves(text, which)
            continue
        for place, word in enumerate(text):
            refuse_halves(word, f"{which.rstrip(',')}, word {place},")


@contextmanager
def said_of_which(texts: Sequence[str] | Sequence[Sequence[str]]) -> Iterator[None]:
    """Where a batch of texts, or of lists of words, is refused: say which of them it is."""
    refused = None
    try:
        yield
    except UsageError as error:
        refused = error
    if refused:
        refuse_halves_of_batch(texts)
        raise refused
