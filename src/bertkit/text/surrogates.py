"""Half a surrogate pair is no character. The error says where it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertkit.errors import UsageError

HALF = re.compile("[\ud800-\udfff]")


def refuse_halves(text: str, which: str = "The text") -> None:
    """Raise an error for the first half of a pair in a text."""
    if found := HALF.search(text):
        at = found.start()
        near = text[max(at - 10, 0) : at + 10]
        raise UsageError(
            f"{which} has half a surrogate pair, U+{ord(found[0]):X}, at position {at}, near {near!r}. "
            'It is no character: put "\ufffd" in its place. In Python: '
            'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        )


def refuse_halves_of_batch(texts: Sequence[str] | Sequence[Sequence[str]]) -> None:
    """Raise an error for the first of a batch of texts, or of lists of words, that has half a pair."""
    for number, text in enumerate(texts):
        which = "The text" if len(texts) == 1 else f"Text {number} of the batch, counted from 0,"
        if isinstance(text, str):
            refuse_halves(text, which)
            continue
        for place, word in enumerate(text):
            refuse_halves(word, f"{which.rstrip(',')}, word {place},")


def which_has_half(texts: Sequence[str] | Sequence[Sequence[str]], otherwise: UsageError) -> UsageError:
    """The error that names the text of a batch that has half a pair; `otherwise` if there is none."""
    try:
        refuse_halves_of_batch(texts)
    except UsageError as error:
        return error
    return otherwise
