"""The steps from a text to words. They are the specification; characters.py does the same faster.

    clean       remove control characters, replace whitespace by " ", put spaces around Chinese characters; "slow": lower-case
    sigma       "google": replace Σ by ς at the end of a word (σ elsewhere, by lower-casing)
    canonical   NFD if accents are stripped; NFC if compat is "slow" and accents are kept
    finish      lower-case, strip accents, put spaces around punctuation

Words are then separated by spaces. The first and the last step map each character independently. So do the other two
steps for all characters for which `Steps.is_independent` is True.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bertkit.errors import Setting, UsageError, received
from bertkit.text.wordpiece.canonical import Canonical
from bertkit.text.wordpiece.translation import Memo
from bertkit.text.wordpiece.unicode import Compat, tables

Span = tuple[int, int]

_COMPATS = ("fast", "slow", "google")
_SWITCHES = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "chinese": "tokenize_chinese_chars",
    "clean": "clean_text",
}
"""Fields of `Rules` by the names that users type."""

# The blocks of Chinese characters in BERT's code. Japanese kana and Korean Hangul are not included.
_CHINESE = [range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xF900, 0xFB00), range(0x20000, 0x2A6E0)]
_CHINESE += [range(0x2A700, 0x2B820), range(0x2F800, 0x2FA20)]
_EXTENSION_E = range(0x2B820, 0x2CEB0)
_FAST_EXTENSION_E = range(0x2B920, 0x2CEB0)  # in `tokenizers` the block begins 256 characters later


@dataclass(frozen=True)
class Rules:
    """The settings for splitting a text into words."""

    lowercase: bool = True
    strip_accents: bool | None = None  # None: same as `lowercase`
    chinese: bool = True  # whether each Chinese character is a word
    clean: bool = True  # whether control characters are removed
    compat: Compat = "fast"

    def __post_init__(self) -> None:
        if self.compat not in _COMPATS:
            fast, slow, google = (Setting("compat", name) for name in _COMPATS)
            raise UsageError(
                received("compat", self.compat), " is unknown: type ", fast, ", ", slow, " or ", google, "."
            )
        for field, name in _SWITCHES.items():
            value = getattr(self, field)
            if not isinstance(value, bool) and not (name == "strip_accents" and value is None):
                accepted = "True, False or None" if name == "strip_accents" else "True or False"
                raise UsageError(received(name, value), f" is invalid: {accepted} is expected.")

    @property
    def strips(self) -> bool:
        """Whether accents are stripped."""
        return self.lowercase if self.strip_accents is None else self.strip_accents


class Steps:
    """Applies the steps to texts, with the given settings."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tables = tables(rules.compat)
        self._canonical = Canonical(self._tables)
        self._form = self._form_of(rules)
        self._cleaned = Memo(self._clean)
        self._formed = Memo(self._form)
        self._formed_words = Memo(self._form_word)
        self._finished = Memo(self._finish)

    def apply(self, text: str) -> str:
        """Return the words of a text, separated by spaces."""
        text = self._sigmas(self.clean(text))
        if self._form is not str:
            # Spaces do not combine with characters, and words repeat. The cache is a hundred times as fast as the pattern.
            known = self._formed_words
            text = " ".join([known[word] if len(word) < 50 else self._form_word(word) for word in text.split(" ")])
        return text.translate(self._finished)

    def aligned(self, text: str) -> Iterator[tuple[str, Span]]:
        """Yield the characters of `apply(text)`, each with the start and the end of its original in the text."""
        cleaned = [(char, (at, at + 1)) for at, old in enumerate(text) for char in self._cleaned[ord(old)]]
        spans = [span for _, span in cleaned]
        chars = self._sigmas("".join(char for char, _ in cleaned))
        for char, span in self._join_spans(chars, spans):
            for new in self._finished[ord(char)]:
                yield new, span

    def is_independent(self, char: str) -> bool:
        """Whether the result for a character never depends on the characters around it."""
        if char == "Σ":
            return not self._has_final_sigma
        if self._rules.strips:  # marks are removed; a combining character that is not a mark may be reordered
            return not any(
                self._canonical.combining(part) and ord(part) not in self._tables.mark
                for part in self._canonical.decompose(char)
            )
        return self._form is str or not self._canonical.joins(char)

    # Step 1: clean.

    def clean(self, text: str) -> str:
        """Apply the step "clean" to a text."""
        return text.translate(self._cleaned)

    def _clean(self, code: int) -> str:
        if self._rules.clean and code in self._tables.removed:
            return ""
        if code in self._tables.blank:
            return " "
        if self._rules.chinese and self._is_chinese(code):
            return f" {chr(code)} "
        return self._tables.lower.get(code, chr(code)) if self._lowers_first else chr(code)

    @property
    def _lowers_first(self) -> bool:
        """Whether to lower-case before composing, as transformers' BertTokenizer does: J and a caron become ǰ."""
        return self._rules.lowercase and self._rules.compat == "slow"

    def _is_chinese(self, code: int) -> bool:
        extension = _FAST_EXTENSION_E if self._rules.compat == "fast" else _EXTENSION_E
        return code in extension or any(code in block for block in _CHINESE)

    # Step 2: sigma.

    @property
    def _has_final_sigma(self) -> bool:
        """Google's code lower-cases whole words, where `str.lower` makes a final ς; the others lower-case single characters."""
        return self._rules.lowercase and self._rules.compat == "google"

    def _sigmas(self, text: str) -> str:
        return self._final_sigma.sub(r"\1ς", text) if "Σ" in text and self._has_final_sigma else text

    @functools.cached_property
    def _final_sigma(self) -> re.Pattern[str]:
        """A pattern for Σ after a cased letter and not before one. Marks, apostrophes and similar characters are ignored."""
        cased, ignorable = f"[{self._tables.cased.pattern()}]", f"[{self._tables.ignorable.pattern()}]*"
        return re.compile(f"({cased}{ignorable})Σ(?!{ignorable}{cased})")

    # Step 3: canonical.

    def _form_of(self, rules: Rules) -> Callable[[str], str]:
        if rules.strips:
            return self._canonical.decompose
        if rules.compat == "slow":
            return lambda text: self._canonical.compose(self._canonical.decompose(text))
        return str

    @functools.cached_property
    def _clusters(self) -> re.Pattern[str]:
        return self._canonical.clusters()

    def _form_word(self, word: str) -> str:
        return self._clusters.sub(lambda match: self._form_cluster(match[0]), word)

    def _form_cluster(self, cluster: str) -> str:
        # Long clusters, which may have a million marks, are not cached.
        return self._formed[cluster] if len(cluster) < 9 else self._form(cluster)

    def _join_spans(self, text: str, spans: list[Span]) -> Iterator[tuple[str, Span]]:
        """Yield the characters of the text in canonical form, with the span of each in the original text."""
        place = 0
        for match in self._clusters.finditer(text) if self._form is not str else ():
            yield from zip(text[place : match.start()], spans[place : match.start()], strict=True)
            place = match.end()
            yield from self._join_cluster(match[0], spans[match.start() : place])
        yield from zip(text[place:], spans[place:], strict=True)

    def _join_cluster(self, cluster: str, spans: list[Span]) -> list[tuple[str, Span]]:
        if self._rules.compat == "fast":
            return [(char, spans[place]) for char, place in self._canonical.traced(cluster)]
        formed = self._form_cluster(cluster)
        if formed.translate(self._finished) == cluster.translate(self._finished):
            return list(zip(cluster, spans, strict=True))
        same = int(formed[0] == cluster[0])  # if only the marks change, the first character keeps its span
        changed = spans[same][0], spans[-1][1]
        return [*zip(cluster[:same], spans[:same], strict=True), *((char, changed) for char in formed[same:])]

    # Step 4: finish.

    def _finish(self, code: int) -> str:
        formed = text = self._form(chr(code))
        if self._rules.lowercase:
            text = "".join([self._tables.lower.get(ord(char), char) for char in formed])
        if self._rules.strips:
            parts = text if text == formed else self._canonical.decompose(text)
            text = "".join([char for char in parts if ord(char) not in self._tables.mark])
        return "".join([f" {char} " if ord(char) in self._tables.punctuation else char for char in text])
