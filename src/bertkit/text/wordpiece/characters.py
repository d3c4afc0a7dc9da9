"""Texts -> words: BERT's normalization, and splitting at whitespace and punctuation, for a whole batch.

    Normalizer(Rules()).words("Äpfel, 東京!")    ->    ["apfel", ",", "東", "京", "!"]

Checkpoints were trained with one of three implementations, which differ in rare characters: `compat="fast"` is the
`tokenizers` package, "slow" transformers' BertTokenizer, "google" google-research/bert. steps.py defines what they do; this
module does it fast. ASCII texts are translated as bytes, and each kind of punctuation is surrounded by spaces with one
replacement. Other texts are translated character by character, since the result of nearly every character does not depend
on its neighbours. Texts with one of the few other characters go through the steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from bertkit.text.surrogates import SURROGATE, check_surrogates
from bertkit.text.wordpiece.steps import Rules, Steps
from bertkit.text.wordpiece.translation import Translation

__all__ = ["Aligned", "Normalizer", "Rules"]

_BATCH = 256  # texts that are joined: small enough for the processor's cache
_NEIGHBOURS = "\ud800"  # marks in the output a character whose result depends on its neighbours


class Aligned(NamedTuple):
    """A word. Its character i was made from `text[starts[i]:ends[i]]` of the original text."""

    text: str
    starts: list[int]
    ends: list[int]


class Normalizer:
    r"""Splits texts into words.

    >>> Normalizer(Rules()).words("Don't panic!")
    ['don', "'", 't', 'panic', '!']
    >>> Normalizer(Rules(lowercase=False, compat="slow")).words("Cafe\u0301")
    ['Café']
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._steps = Steps(rules)
        self._at_once = Translation(self._character)
        singles = [self._steps.apply(chr(code)) for code in range(1, 128)]
        self._plain_removed = bytes(code for code, text in enumerate(singles, 1) if text == "")
        self._plain_table = b"\n" + b"".join(text.strip(" ").encode() or b" " for text in singles) + bytes(128)
        self._plain_marks = [text.strip(" ") for text in singles if len(text) == 3]

    def __reduce__(self) -> tuple[type[Normalizer], tuple[Rules]]:
        return Normalizer, (self.rules,)

    def words(self, text: str) -> list[str]:
        """Return the normalized words and punctuation marks of a text, in order."""
        return self.joined([text])[0]

    def joined(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of each text."""
        words: list[list[str]] = []
        for start in range(0, len(texts), _BATCH):
            lines = self._lines(texts[start : start + _BATCH])
            if self.rules.clean:
                words += map(str.split, lines)
            else:  # words may contain control characters, and `str.split()` would split at some of them
                words += [[word for word in line.split(" ") if word] for line in lines]
        return words

    def aligned(self, text: str) -> list[Aligned]:
        """Return the words of a text, with the positions of their characters in the text.

        >>> Normalizer(Rules()).aligned("(Ärger)")[1]
        Aligned(text='arger', starts=[1, 2, 3, 4, 5], ends=[2, 3, 4, 5, 6])
        """
        check_surrogates(text)
        parts = groupby(self._steps.aligned(text), lambda item: item[0] == " ")
        return [_word(list(part)) for is_blank, part in parts if not is_blank]

    def keeps(self, word: str) -> bool:
        """Whether cleaning does not change a word: it has no Chinese characters and no control characters."""
        return self._steps.clean(word) == word

    def _lines(self, texts: Sequence[str]) -> Iterable[str]:
        """Return the words of each text, separated by spaces."""
        plain = [text for text in texts if text.isascii()]
        if len(plain) == len(texts):
            return self._plain(plain)
        lines, others = iter(self._plain(plain)), iter(self._other([text for text in texts if not text.isascii()]))
        return (next(lines if text.isascii() else others) for text in texts)

    def _plain(self, texts: Sequence[str]) -> list[str]:
        """`_lines` for ASCII texts. They are joined by the character 0, which the table turns into the only line breaks."""
        octets = "\0".join(texts).encode("ascii").translate(self._plain_table, self._plain_removed)
        batch = octets.decode("ascii")
        for mark in self._plain_marks:
            if mark in batch:
                batch = batch.replace(mark, f" {mark} ")
        lines = batch.split("\n")
        return lines if len(lines) == len(texts) else [self._steps.apply(text) for text in texts]

    def _other(self, texts: Sequence[str]) -> list[str]:
        """`_lines` for any texts."""
        batch = self._at_once("\0".join(texts))
        lines = batch.split("\n")
        if len(lines) != len(texts):  # a text contains the character 0
            return [self._step_by_step(text) for text in texts]
        if _NEIGHBOURS not in batch:
            return lines
        return [
            self._step_by_step(text) if _NEIGHBOURS in line else line for text, line in zip(texts, lines, strict=True)
        ]

    def _step_by_step(self, text: str) -> str:
        check_surrogates(text)
        return self._steps.apply(text)

    def _character(self, code: int) -> str:
        """Return the result for a character, or `_NEIGHBOURS` if it depends on the characters around it."""
        if code == 0:
            return "\n"
        char = chr(code)
        is_independent = not SURROGATE.match(char) and self._steps.is_independent(char)
        return self._steps.apply(char) if is_independent else _NEIGHBOURS


def _word(chars: list[tuple[str, tuple[int, int]]]) -> Aligned:
    text = "".join(char for char, _ in chars)
    return Aligned(text, [start for _, (start, _) in chars], [end for _, (_, end) in chars])
