"""Split text into sentences by rules for Latin, Cyrillic, Greek, Korean, Japanese, Chinese, Arabic and Indic scripts.

A line never continues a sentence of the line before. In a line, a sentence ends

- after 。！？ or another mark of East Asian or Indic scripts, with the closing quotes that follow it;
- after . ! ? … and their closing quotes, if a blank follows, and the next word may start a sentence. A word in lower case may
  not, and nothing may after a known abbreviation, an initial such as "J." or a number at the start of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLOSING = "\"'”’»)\\]）」』】》〉"

_END = re.compile(rf"[。！？｡．।॥۔؟][。！？｡．।॥۔؟!?…]*+[{_CLOSING}]*+|(?<![.!?…])[.!?…]++[{_CLOSING}]*+(?=\s)")
"""The end of a sentence, if `_ends` agrees."""

_WIDE = frozenset("。！？｡．।॥۔؟")
_QUOTES = frozenset("」』”’】》〉）")
_PARTICLES = frozenset("とっなのはがをにもで、，,")
"""Characters that continue a sentence after a quotation: 「行く。」と言った。"""

_OPENING = "\"'“‘«([（「『【《〈¿¡-–—•*"

_LISTED = """
mr mrs ms dr prof rev hon gen col capt lt sgt maj st sr jr messrs mme mlle vs viz cf eg ie e.g i.e etc al ca approx
inc ltd co corp bros dept univ assn est fig figs no nos vol vols pp ed eds ch sec art op cit
jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun
a.m p.m u.s u.k u.n ph.d b.a m.a d.c bzw usw vgl z.b d.h u.a str nr hr fr sra srta ud uds av bd rue
"""
_ABBREVIATIONS = frozenset(_LISTED.split())
_MAY_END = frozenset(
    ["etc", "a.m", "p.m", "u.s", "u.k", "u.n", "ph.d", "inc", "ltd", "co", "corp", "jr", "sr", "d.c", "al"]
)
"""Abbreviations that may also end a sentence. They end one if the next word starts with an upper-case letter."""

_LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]*$")
_LONGEST_WORD = 24


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, without blanks around them. Empty lines are left out.

    >>> split_sentences("Dr. Ito left at 3.30 p.m. on Monday. Did she say why? 彼は「行く。」と言った。雨だ。")
    ['Dr. Ito left at 3.30 p.m. on Monday.', 'Did she say why?', '彼は「行く。」と言った。', '雨だ。']
    >>> split_sentences("영화가 재미있다. 또 보고 싶다!")
    ['영화가 재미있다.', '또 보고 싶다!']
    """
    return [sentence for line in text.splitlines() for sentence in _of_line(line)]


def _of_line(line: str) -> Iterator[str]:
    """Yield the sentences of one line."""
    start = 0
    for match in _END.finditer(line):
        if _ends(line, start, match):
            if sentence := line[start : match.end()].strip():
                yield sentence
            start = match.end()
    if sentence := line[start:].strip():
        yield sentence


def _ends(line: str, start: int, match: re.Match[str]) -> bool:
    """Return whether a sentence that starts at `start` ends with the marks of `match`."""
    mark = match[0]
    if mark[0] in _WIDE:
        return not (
            mark[-1] in _QUOTES and line[match.end() : match.end() + 1] in _PARTICLES and match.end() < len(line)
        )
    following = line[match.end() : match.end() + 80].lstrip().lstrip(_OPENING)[:1]
    if following.islower():
        return False
    return not mark.startswith(".") or mark.startswith("..") or not _abbreviates(line, start, match.start(), following)


def _abbreviates(line: str, start: int, dot: int, following: str) -> bool:
    """Return whether the dot at `dot` belongs to an abbreviation, an initial or a number in a list."""
    found = _LAST_WORD.search(line, max(start, dot - _LONGEST_WORD), dot)
    word = found[0] if found else ""
    if len(word) == 1 and word.isupper():
        return word != "I"
    if word.isdecimal() and not line[start : dot - len(word)].strip():
        return True
    word = word.lower()
    return word in _ABBREVIATIONS and not (word in _MAY_END and following.isupper())
