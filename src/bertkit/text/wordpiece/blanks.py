"""Splitting at whitespace only, for `do_basic_tokenize=False`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertkit.text.surrogates import check_surrogates
from bertkit.text.wordpiece.characters import Aligned


class Blanks:
    """Splits texts at whitespace and does not normalize them. It has the methods of `Normalizer`.

    >>> Blanks().words("Don't  panic!")
    ["Don't", 'panic!']
    """

    def keeps(self, word: str) -> bool:
        """Return False: never_split is not needed, since words are not split."""
        return False

    def words(self, text: str) -> list[str]:
        """Return the parts of a text between whitespace."""
        check_surrogates(text)
        return text.split()

    def joined(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of each text."""
        return [self.words(text) for text in texts]

    def aligned(self, text: str) -> list[Aligned]:
        """Return the words of a text, with the positions of their characters in the text."""
        check_surrogates(text)
        found = [(match[0], range(*match.span())) for match in re.finditer(r"\S+", text)]
        return [Aligned(word, list(places), [place + 1 for place in places]) for word, places in found]
