"""Tokens that are found in the raw text, before it is split into words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from bertkit.text.vocabulary import AddedToken
from bertkit.text.wordpiece.characters import Rules
from bertkit.text.wordpiece.unicode import tables


class Finder:
    """Finds any of some patterns, the first of those that match at a place, and says whose id it is.

    >>> finder = Finder([("<ab>", 7), ("<a", 8)])
    >>> list(finder.split("x<ab> <a"))
    [('x', 0, None), ('<ab>', 1, 7), (' ', 5, None), ('<a', 6, 8), ('', 8, None)]
    """

    def __init__(self, patterns: Iterable[tuple[str, int]]) -> None:
        spelled, self._ids = zip(*patterns, strict=True)
        self._any = re.compile("|".join(spelled))  # without groups, which would make the search slow
        self._each = re.compile("|".join(f"({pattern})" for pattern in spelled))
        self.search = self._any.search

    def split(self, text: str) -> Iterator[tuple[str, int, int | None]]:
        """The text in parts, with where each begins, and its id where it was found."""
        end = 0
        for match in self._any.finditer(text):
            which = self._each.match(text, match.start())
            assert which is not None
            assert which.lastindex is not None
            yield text[end : match.start()], end, None
            yield match[0], match.start(), self._ids[which.lastindex - 1]
            end = match.end()
        yield text[end:], end, None


class Spellings:
    """The spellings in which a token is found.

    Where text is lowered, as `lower` does it to each character, a token that is in lower case itself is found in any case.
    One that is not is found as it stands: transformers' BertTokenizer then spares it when it lowers the text, unless it is
    an ordinary token that is not to be found in normalized text.
    """

    def __init__(self, rules: Rules, basic: bool = True) -> None:
        lowers = basic and rules.lowercase and rules.compat != "fast"
        self._lower: Mapping[int, str] = tables(rules.compat).lower if lowers else {}
        self._inside = r"\w" if rules.compat == "fast" else "[^ ]"  # what may not stand beside a single word

    def of_tokens(self, added: Mapping[int, AddedToken]) -> list[tuple[str, int]]:
        """Patterns and ids of added tokens, the longest first, and what is spared before what is in any case."""
        order = sorted(added.items(), key=lambda item: (-len(item[1].content), self._is_lowered(item[1].content)))
        return [(self._pattern(token), index) for index, token in order if self._is_findable(token)]

    def of_words(self, words: Mapping[str, int]) -> list[tuple[str, int]]:
        """Those of words between blanks."""
        findable = (word for word in words if self._is_lowered(word))
        return [(rf"(?<!\S){self._in_any_case(word)}(?!\S)", words[word]) for word in findable]

    def _is_lowered(self, content: str) -> bool:
        return content.translate(self._lower) == content

    def _is_findable(self, token: AddedToken) -> bool:
        return bool(token.special or token.normalized or self._is_lowered(token.content))

    def _pattern(self, token: AddedToken) -> str:
        text = self._in_any_case(token.content) if self._lower else re.escape(token.content)
        if token.single_word:
            text = f"(?<!{self._inside}){text}(?!{self._inside})"
        return (r"\s*" if token.lstrip else "") + text + (r"\s*" if token.rstrip else "")

    @cached_property
    def _capitals(self) -> dict[str, str]:
        """What is lowered to the same, by what it is lowered to."""
        capitals: dict[str, str] = {}
        for code, lowered in self._lower.items():
            capitals[lowered] = capitals.get(lowered, "") + chr(code)
        return capitals

    def _in_any_case(self, content: str) -> str:
        """A pattern for all texts that are lowered to this one, or for this one alone where it has capitals."""
        if not self._is_lowered(content):
            return re.escape(content)
        pattern = "".join(map(self._char, content))
        for lowered, capitals in self._capitals.items():
            if len(lowered) > 1:  # İ becomes an i and a dot
                apart = "".join(map(self._char, lowered))
                pattern = pattern.replace(apart, f"(?:{apart}|[{capitals}])")
        return pattern

    def _char(self, char: str) -> str:
        capitals = self._capitals.get(char)
        return f"[{char}{capitals}]" if capitals else re.escape(char)
