"""Finding added tokens in the raw text, before it is split into words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from bertkit.text.vocabulary import AddedToken
from bertkit.text.wordpiece.characters import Rules
from bertkit.text.wordpiece.unicode import tables


class Finder:
    """Finds patterns and their ids in a text. If several match at one position, the first of them is used.

    >>> finder = Finder([("<ab>", 7), ("<a", 8)])
    >>> list(finder.split("x<ab> <a"))
    [('x', 0, None), ('<ab>', 1, 7), (' ', 5, None), ('<a', 6, 8), ('', 8, None)]
    """

    def __init__(self, patterns: Iterable[tuple[str, int]]) -> None:
        spelled, self._ids = zip(*patterns, strict=True)
        self._any = re.compile("|".join(spelled))  # without groups, since they make the search slow
        self._each = re.compile("|".join(f"({pattern})" for pattern in spelled))
        self.search = self._any.search

    def split(self, text: str) -> Iterator[tuple[str, int, int | None]]:
        """Yield the parts of a text: (part, start, id), where id is None for text between matches."""
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
    """The patterns for tokens, which follow transformers' BertTokenizer.

    If texts are lower-cased, a token in lower case is found in any case. A token with capitals is found only as it is
    written, and not at all if it is neither special nor normalized.
    """

    def __init__(self, rules: Rules, basic: bool = True) -> None:
        lowers = basic and rules.lowercase and rules.compat != "fast"
        self._lower: Mapping[int, str] = tables(rules.compat).lower if lowers else {}
        # Characters that may not be next to a single_word token.
        self._inside = r"\w" if rules.compat == "fast" else "[^ ]"

    def of_tokens(self, added: Mapping[int, AddedToken]) -> list[tuple[str, int]]:
        """Return the patterns and ids of added tokens: longer tokens first, and of equal length, those with capitals first."""
        order = sorted(added.items(), key=lambda item: (-len(item[1].content), self._is_lowered(item[1].content)))
        return [(self._pattern(token), index) for index, token in order if self._is_findable(token)]

    def of_words(self, words: Mapping[str, int]) -> list[tuple[str, int]]:
        """Return the patterns and ids of words between whitespace."""
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
        """Lower-cased character -> the characters with that lower case."""
        capitals: dict[str, str] = {}
        for code, lowered in self._lower.items():
            capitals[lowered] = capitals.get(lowered, "") + chr(code)
        return capitals

    def _in_any_case(self, content: str) -> str:
        """Return a pattern for all texts whose lower case is `content`, or for `content` only if it has capitals."""
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
