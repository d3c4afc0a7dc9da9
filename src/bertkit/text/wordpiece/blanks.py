"""Words as the blanks in a text make them: what is left of BERT's rules with `do_basic_tokenize=False`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertkit.text.surrogates import refuse_halves
from bertkit.text.wordpiece.characters import Aligned


class Blanks:
    """Splits texts at blanks and changes nothing. It has the methods of `Normalizer`.

    >>> Blanks().words("Don't  panic!")
    ["Don't", 'panic!']
    """

    def keeps(self, word: str) -> bool:
        """No word has to be kept from being split: blanks alone split a text."""
        return False

    def words(self, text: str) -> list[str]:
        """What stands between blanks."""
        refuse_halves(text)
        return text.split()

    def joined(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each text."""
        return [self.words(text) for text in texts]

    def aligned(self, text: str) -> list[Aligned]:
        """The same words, and where their characters are in the text."""
        refuse_halves(text)
        found = [(match[0], range(*match.span())) for match in re.finditer(r"\S+", text)]
        return [Aligned(word, list(places), [place + 1 for place in places]) for word, places in found]
