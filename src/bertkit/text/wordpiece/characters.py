"""Texts to words: BERT's normalization and its split at blanks and punctuation, for a batch at once.

    Normalizer(Rules()).words("Äpfel, 東京!")    ->    ["apfel", ",", "東", "京", "!"]

There are three behaviours in the world, and a checkpoint is at home in one: `compat="fast"` is that of the `tokenizers`
package, "slow" that of transformers' BertTokenizer, "google" that of google-research/bert. steps.py says what they do.
Here it is done fast. A text that is ASCII needs one table of bytes and one replacement for each kind of punctuation.
Any other is translated at once, since nearly every character becomes the same wherever it stands; a text with one of the
few others goes through the steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from bertkit.text.surrogates import HALF, refuse_halves
from bertkit.text.wordpiece.steps import Rules, Steps
from bertkit.text.wordpiece.translation import Translation

__all__ = ["Aligned", "Normalizer", "Rules"]

_BATCH = 256  # texts that are joined: what they become stays in the processor's cache
_NEIGHBOURS = "\ud800"  # stands in the output for a character that looks at its neighbours


class Aligned(NamedTuple):
    """A word, and for each of its characters where in the text it came from: text[starts[i]:ends[i]]."""

    text: str
    starts: list[int]
    ends: list[int]


class Normalizer:
    r"""Splits texts into words by the given rules.

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
        """The normalized words and single punctuation marks of a text, in order."""
        return self.joined([text])[0]

    def joined(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each text."""
        words: list[list[str]] = []
        for start in range(0, len(texts), _BATCH):
            lines = self._lines(texts[start : start + _BATCH])
            if self.rules.clean:
                words += map(str.split, lines)
            else:  # control characters are in the words, and `str.split` parts at some
                words += [[word for word in line.split(" ") if word] for line in lines]
        return words

    def aligned(self, text: str) -> list[Aligned]:
        """The same words, and where their characters are in the text.

        >>> Normalizer(Rules()).aligned("(Ärger)")[1]
        Aligned(text='arger', starts=[1, 2, 3, 4, 5], ends=[2, 3, 4, 5, 6])
        """
        refuse_halves(text)
        parts = groupby(self._steps.aligned(text), lambda item: item[0] == " ")
        return [_word(list(part)) for is_blank, part in parts if not is_blank]

    def keeps(self, word: str) -> bool:
        """Whether cleaning leaves a word as it is: it has no Chinese characters, which are set apart, and no controls."""
        return self._steps.clean(word) == word

    def _lines(self, texts: Sequence[str]) -> Iterable[str]:
        """The words of each text, with blanks between them."""
        plain = [text for text in texts if text.isascii()]
        if len(plain) == len(texts):
            return self._plain(plain)
        lines, others = iter(self._plain(plain)), iter(self._other([text for text in texts if not text.isascii()]))
        return (next(lines if text.isascii() else others) for text in texts)

    def _plain(self, texts: Sequence[str]) -> list[str]:
        """Of texts in ASCII. The character 0 joins them, and becomes the only line break."""
        octets = "\0".join(texts).encode("ascii").translate(self._plain_table, self._plain_removed)
        batch = octets.decode("ascii")
        for mark in self._plain_marks:
            if mark in batch:
                batch = batch.replace(mark, f" {mark} ")
        lines = batch.split("\n")
        return lines if len(lines) == len(texts) else [self._steps.apply(text) for text in texts]

    def _other(self, texts: Sequence[str]) -> list[str]:
        """Of any texts."""
        batch = self._at_once("\0".join(texts))
        lines = batch.split("\n")
        if len(lines) != len(texts):  # a text holds the character 0
            return [self._step_by_step(text) for text in texts]
        if _NEIGHBOURS not in batch:
            return lines
        return [
            self._step_by_step(text) if _NEIGHBOURS in line else line for text, line in zip(texts, lines, strict=True)
        ]

    def _step_by_step(self, text: str) -> str:
        refuse_halves(text)
        return self._steps.apply(text)

    def _character(self, code: int) -> str:
        """What a character becomes wherever it stands."""
        if code == 0:
            return "\n"
        char = chr(code)
        is_alone = not HALF.match(char) and self._steps.is_alone(char)
        return self._steps.apply(char) if is_alone else _NEIGHBOURS


def _word(chars: list[tuple[str, tuple[int, int]]]) -> Aligned:
    text = "".join(char for char, _ in chars)
    return Aligned(text, [start for _, (start, _) in chars], [end for _, (_, end) in chars])
