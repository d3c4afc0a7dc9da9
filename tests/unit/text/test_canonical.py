"""NFD and NFC equal those of `unicodedata` for all characters that both versions of Unicode have."""

from __future__ import annotations

import unicodedata

import nasty

from bertkit.text.wordpiece.canonical import Canonical
from bertkit.text.wordpiece.unicode import tables

TABLES = tables("slow")
CANONICAL = Canonical(TABLES)


def known(text: str) -> bool:
    """Whether the running Python and Unicode 14.0 both have the characters, whose canonical forms then never change."""
    return all(
        ord(char) not in TABLES.removed and unicodedata.combining(char) == TABLES.combining.get(ord(char), 0)
        for char in text
    )


def test_every_code_point() -> None:
    for code in nasty.code_points():
        char = chr(code)
        decomposed = unicodedata.normalize("NFD", char)
        if decomposed != char and known(char + decomposed):
            assert CANONICAL.decompose(char) == decomposed
            assert CANONICAL.compose(decomposed) == unicodedata.normalize("NFC", char)


def test_texts() -> None:
    for text in filter(known, nasty.texts(seed=3, count=3000)):
        assert CANONICAL.decompose(text) == unicodedata.normalize("NFD", text)
        assert CANONICAL.compose(CANONICAL.decompose(text)) == unicodedata.normalize("NFC", text)


def test_clusters_contain_all_combining_characters() -> None:
    """Normalizing a text equals normalizing its clusters and the other characters separately."""
    pattern = CANONICAL.clusters()
    for text in filter(known, nasty.texts(seed=4, count=2000)):
        whole = unicodedata.normalize("NFC", text)
        parts = pattern.sub(lambda match: unicodedata.normalize("NFC", match[0]), text)
        assert "".join(unicodedata.normalize("NFC", char) for char in parts) == whole
