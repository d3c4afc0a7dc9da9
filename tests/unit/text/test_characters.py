"""Words equal those of the three original tokenizers, for all kinds of characters and any version of Python."""

from __future__ import annotations

import functools
import hashlib
import itertools
import lzma
import pickle
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

import nasty
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

import bertkit.text.wordpiece.unicode
from bertkit.errors import UsageError
from bertkit.text.wordpiece.characters import Aligned, Normalizer, Rules

RECORDED = Path(__file__).parents[2] / "data" / "normalized.xz"
ALL_RULES = [
    Rules(*flags) for flags in itertools.product((True, False), (None, True, False), (True, False), (True, False))
]
COMPATS = [Rules(lowercase, compat=compat) for compat in ("fast", "slow", "google") for lowercase in (True, False)]
BETWEEN = {code: f"a{chr(code)}a" for code in nasty.sample()}
TEXTS = list(nasty.texts(seed=2, count=3000))


normalizer_of = functools.cache(Normalizer)  # so that tests of the same rules share the cache


def fast_words(rules: Rules) -> Callable[[str], list[str]]:
    """The words of a text according to `tokenizers`."""
    normalizer = BertNormalizer(rules.clean, rules.chinese, rules.strip_accents, rules.lowercase)
    split = BertPreTokenizer().pre_tokenize_str
    return lambda text: [word for word, _ in split(normalizer.normalize_str(text))]


@pytest.fixture(scope="module")
def recorded() -> dict[str, tuple[list[tuple[int, str]], bytes]]:
    """Recorded results for keys such as "slow True" (compat and lowercase): by first code point, and digests for texts."""
    answers: dict[str, tuple[list[tuple[int, str]], bytes]] = {}
    for line in lzma.decompress(RECORDED.read_bytes()).decode().splitlines():
        first, _, rest = line.partition(" ")
        if first in ("slow", "google"):
            name, outcomes = line, []
        elif rest:
            outcomes.append((int(first, 16), rest))
        else:
            answers[name] = outcomes, bytes.fromhex(line)
    return answers


@pytest.mark.parametrize("rules", [Rules(*flags) for flags in itertools.product((True, False), repeat=2)], ids=str)
def test_fast_on_code_points(rules: Rules) -> None:
    """A tenth of all code points, where tests/oracles/code_points.py compares every one.

    With strip_accents=None the same happens as with one of these; that it does is seen on the texts below.
    """
    words = fast_words(rules)
    ours = normalizer_of(rules).joined(list(BETWEEN.values()))
    assert [hex(code) for (code, text), got in zip(BETWEEN.items(), ours, strict=True) if got != words(text)] == []


@pytest.mark.parametrize("rules", COMPATS[2:], ids=str)
def test_slow_and_google_on_code_points(rules: Rules, recorded: dict[str, tuple[list[tuple[int, str]], bytes]]) -> None:
    outcomes, _ = recorded[f"{rules.compat} {rules.lowercase}"]
    starts = [start for start, _ in outcomes]
    ours = normalizer_of(rules).joined(list(BETWEEN.values()))
    wrong = [
        (hex(code), got, wanted)
        for code, got in zip(BETWEEN, ours, strict=True)
        if nasty.outcome(code, got) != (wanted := outcomes[bisect_right(starts, code) - 1][1])
    ]
    assert wrong == []


@pytest.mark.parametrize("rules", ALL_RULES, ids=str)
def test_fast_on_texts(rules: Rules) -> None:
    words = fast_words(rules)
    ours = normalizer_of(rules).joined(TEXTS)
    assert [(text, got) for text, got in zip(TEXTS, ours, strict=True) if got != words(text)] == []


@pytest.mark.parametrize("rules", COMPATS[2:], ids=str)
def test_slow_and_google_on_texts(rules: Rules, recorded: dict[str, tuple[list[tuple[int, str]], bytes]]) -> None:
    _, digests = recorded[f"{rules.compat} {rules.lowercase}"]
    texts = list(nasty.texts(seed=1, count=len(digests) // 2))
    ours = normalizer_of(rules).joined(texts)
    wanted = zip(digests[::2], digests[1::2], strict=True)
    wrong = [
        (text, got) for text, got, pair in zip(texts, ours, wanted, strict=True) if nasty.digest(got) != bytes(pair)
    ]
    assert wrong == []


# Each row: a text, and the words of uncased fast, slow and google, then of the cased ones.
DIFFERENCES = {
    "accents that are composed or not": ("Cafe\u0301", ["cafe"] * 3, ["Cafe\u0301", "Caf\u00e9", "Cafe\u0301"]),
    "the end of a Greek word": ("ΟΔΟΣ", ["οδοσ", "οδοσ", "οδος"], ["ΟΔΟΣ"] * 3),
    "Hangul": ("한", ["\u1112\u1161\u11ab"] * 3, ["한"] * 3),
    "Hangul in jamo": ("\u1112\u1161\u11ab", ["\u1112\u1161\u11ab"] * 3, ["\u1112\u1161\u11ab", "한", "\u1112\u1161\u11ab"]),
    "dotted capital I": ("İ", ["i"] * 3, ["İ"] * 3),
    "Kelvin sign": ("\u212a", ["k"] * 3, ["\u212a", "K", "\u212a"]),
    "Greek question mark": ("a\u037eb", ["a ; b"] * 3, ["a \u037e b", "a ; b", "a \u037e b"]),
    "private use": ("a\ue000b", ["ab", "ab", "a\ue000b"], ["ab", "ab", "a\ue000b"]),
    "unassigned": ("a\u0378b", ["a\u0378b", "ab", "a\u0378b"], ["a\u0378b", "ab", "a\u0378b"]),
    "an emoji of Unicode 15": ("\U0001fae8", ["\U0001fae8", "", "\U0001fae8"], ["\U0001fae8", "", "\U0001fae8"]),
    "extension E of CJK": ("a\U0002b820b", ["a\U0002b820b", *["a \U0002b820 b"] * 2], ["a\U0002b820b", *["a \U0002b820 b"] * 2]),
    "new punctuation": ("a\u2e52b", ["a\u2e52b", *["a \u2e52 b"] * 2], ["a\u2e52b", *["a \u2e52 b"] * 2]),
    "a new mark": ("a\u08d4b", ["a\u08d4b", "ab", "ab"], ["a\u08d4b"] * 3),
    "a line separator": ("a\u2028b", ["a b"] * 3, ["a b"] * 3),
    "a zero-width joiner": ("e\u200d\u0301", ["e"] * 3, ["e\u0301", "\u00e9", "e\u0301"]),
}  # fmt: skip


@pytest.mark.parametrize("text", DIFFERENCES)
def test_differences(text: str) -> None:
    text, uncased, cased = DIFFERENCES[text]
    for lowercase, wanted in ((True, uncased), (False, cased)):
        got = [Normalizer(Rules(lowercase, compat=compat)).words(text) for compat in ("fast", "slow", "google")]
        assert got == [words.split() for words in wanted]


@pytest.mark.parametrize(("compat", "word"), [("fast", "j\u030c"), ("slow", "\u01f0"), ("google", "j\u030c")])
def test_lower_case_comes_before_composition(compat: bertkit.text.wordpiece.unicode.Compat, word: str) -> None:
    """In slow: Unicode has a small j with a caron, but no capital one."""
    normalizer = Normalizer(Rules(strip_accents=False, compat=compat))
    assert normalizer.words("J\u030c") == normalizer.joined(["a", "J\u030c"])[1] == [word]
    assert "".join(aligned.text for aligned in normalizer.aligned("J\u030c")) == word


@pytest.mark.parametrize("rules", ALL_RULES, ids=str)
def test_offsets_are_those_of_tokenizers(rules: Rules) -> None:
    """With a vocabulary of characters, each character is a token with offsets."""
    texts = [text for text in TEXTS if len(text) < 50][:500]  # their WordPiece takes the cube of a word's length
    normalizer = normalizer_of(rules)
    ours = [normalizer.aligned(text) for text in texts]
    chars = sorted({char for words in ours for word in words for char in word.text})
    pieces = ["[UNK]", *chars, *(f"##{char}" for char in chars)]
    tokenizer = Tokenizer(
        WordPiece({piece: number for number, piece in enumerate(pieces)}, max_input_chars_per_word=10**6)
    )
    tokenizer.normalizer = BertNormalizer(rules.clean, rules.chinese, rules.strip_accents, rules.lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    for text, words, theirs in zip(texts, ours, tokenizer.encode_batch(texts), strict=True):
        assert [span for word in words for span in zip(word.starts, word.ends, strict=True)] == theirs.offsets, text


def grouped(words: list[Aligned]) -> Iterator[tuple[str, int, int]]:
    """Join neighbouring characters that have the same span."""
    for word in words:
        places = zip(word.text, word.starts, word.ends, strict=True)
        for (start, end), part in itertools.groupby(places, lambda place: place[1:]):
            yield "".join(char for char, _, _ in part), start, end


@pytest.mark.parametrize("rules", COMPATS[2:], ids=str)
def test_spans_contain_the_original_characters(rules: Rules) -> None:
    normalizer = normalizer_of(rules)
    for text in TEXTS[:2000]:
        before = 0
        for piece, start, end in grouped(normalizer.aligned(text)):
            assert before <= start < end <= len(text)
            # The result for a sigma depends on characters after its span.
            assert "".join(normalizer.words(text[start:end])).replace("ς", "σ") == piece.replace("ς", "σ"), text
            before = start


@pytest.mark.parametrize(
    "rules", [*COMPATS, Rules(clean=False), Rules(False, True, clean=False, compat="slow")], ids=str
)
def test_one_text_or_many(rules: Rules) -> None:
    texts = [*TEXTS[:1500], "", "a\0b", "plain text.", "\0", "é\0"]
    together = Normalizer(rules).joined(texts)
    normalizer = Normalizer(rules)
    assert together == [normalizer.words(text) for text in texts]
    assert together == [[word.text for word in normalizer.aligned(text)] for text in texts]
    assert normalizer.joined([]) == []


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(COMPATS))
def test_words_are_whole(text: str, rules: Rules) -> None:
    """No word is empty or contains whitespace."""
    words = normalizer_of(rules).words(text)
    assert all(word and not any(char.isspace() for char in word) for word in words)


@pytest.mark.parametrize("compat", ["fast", "slow", "google"])
@pytest.mark.parametrize("text", ["ab\ud800c", "日\udfff", "\udc80" * 500])
def test_a_lone_surrogate_is_refused(compat: bertkit.text.wordpiece.unicode.Compat, text: str) -> None:
    normalizer = Normalizer(Rules(compat=compat))
    position = next(place for place, char in enumerate(text) if "\ud800" <= char <= "\udfff")
    for act in (normalizer.words, normalizer.aligned, lambda text: normalizer.joined(["fine", text, "é"])):
        with pytest.raises(UsageError, match=f"lone surrogate, U\\+D.* at position {position}, near .* replace it by"):
            act(text)


def test_rules_are_checked() -> None:
    with pytest.raises(
        UsageError, match='compat=\'quick\' is unknown: type compat="fast", compat="slow" or compat="google"'
    ):
        Rules(compat="quick")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="do_lower_case=None is invalid: True or False is expected"):
        Rules(lowercase=None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="strip_accents='no' is invalid: True, False or None is expected"):
        Rules(strip_accents="no")  # type: ignore[arg-type]


def test_a_normalizer_can_be_pickled() -> None:
    normalizer = pickle.loads(pickle.dumps(Normalizer(Rules(compat="google"))))
    assert normalizer.words("ΟΔΟΣ") == ["οδος"]


def test_tables_have_not_changed() -> None:
    """The tables determine all ids, so a change of them has to be intended."""
    digest = hashlib.sha256(bertkit.text.wordpiece.unicode._FILE.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    assert digest.startswith("bf435b1e976c79db")
