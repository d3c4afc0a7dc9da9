"""Lone surrogates (U+D800 to U+DFFF) are not characters. They are refused with an error that gives their position."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertkit.errors import UsageError

SURROGATE = re.compile("[\ud800-\udfff]")


def check_surrogates(text: str, which: str = "The text") -> None:
    """Raise UsageError for the first lone surrogate in a text."""
    if found := SURROGATE.search(text):
        at = found.start()
        near = text[max(at - 10, 0) : at + 10]
        raise UsageError(
            f"{which} has a lone surrogate, U+{ord(found[0]):X}, at position {at}, near {near!r}. "
            'It is not a character: replace it by "\ufffd". In Python: '
            'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        )


def check_surrogates_of_batch(texts: Sequence[str] | Sequence[Sequence[str]]) -> None:
    """Raise UsageError for the first lone surrogate in a batch of texts or of lists of words."""
    for number, text in enumerate(texts):
        which = "The text" if len(texts) == 1 else f"Text {number} of the batch, counted from 0,"
        if isinstance(text, str):
            check_surrogates(text, which)
            continue
        for place, word in enumerate(text):
            check_surrogates(word, f"{which.rstrip(',')}, word {place},")


def surrogate_error(texts: Sequence[str] | Sequence[Sequence[str]], otherwise: UsageError) -> UsageError:
    """Return the error that names the text with a lone surrogate in a batch, or `otherwise` if no text has one."""
    try:
        check_surrogates_of_batch(texts)
    except UsageError as error:
        return error
    return otherwise
