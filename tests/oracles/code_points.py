"""Every code point and 100,000 nasty texts, normalized by bertkit and by the three that it follows.

transformers 4.57.6 and Google's own module have an environment of their own, with Python 3.11 for Unicode 14.0:

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install transformers==4.57.6 tokenizers==0.22.2 numpy absl-py six tensorflow-cpu==2.21.0
    .venv-transformers4/bin/pip install --no-deps bert-tensorflow==1.0.4
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/code_points.py check
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/code_points.py record

`check` takes half an hour and exits with 1 after naming the first text on which any of them differs. `record` writes
tests/data/normalized.xz, the answers of "slow" and "google", for the tests that have neither beside them.
"""

from __future__ import annotations

import itertools
import lzma
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import nasty
import tokenizers
import transformers
from absl import flags
from bert.tokenization import BasicTokenizer as GoogleTokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertTokenizer

from bertkit.text.wordpiece.characters import Normalizer, Rules

DATA = Path(__file__).parents[1] / "data" / "normalized.xz"
RECORDED = 4000  # texts
Words = Callable[[str], list[str]]


def fast(rules: Rules) -> Words:
    """The `tokenizers` package."""
    normalizer = BertNormalizer(rules.clean, rules.chinese, rules.strip_accents, rules.lowercase)
    split = BertPreTokenizer().pre_tokenize_str
    return lambda text: [word for word, _ in split(normalizer.normalize_str(text))]


def slow(rules: Rules) -> Words:
    """The Python tokenizer of transformers 4, whole but for its pieces: it lowers a text before its BasicTokenizer does."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
        file.flush()
        tokenizer = BertTokenizer(
            file.name,
            do_lower_case=rules.lowercase,
            tokenize_chinese_chars=rules.chinese,
            strip_accents=rules.strip_accents,
        )
    tokenizer.wordpiece_tokenizer.tokenize = lambda word: [word]
    return tokenizer.tokenize


def google(rules: Rules) -> Words:
    """google-research/bert."""
    return GoogleTokenizer(do_lower_case=rules.lowercase, vocab=()).tokenize


ORACLES = {"fast": fast, "slow": slow, "google": google}
PLAIN = [Rules(lowercase, compat=compat) for compat in ("slow", "google") for lowercase in (True, False)]
USUAL = [*PLAIN, Rules(), Rules(lowercase=False)]
SLOW = [
    Rules(*options, compat="slow") for options in itertools.product((True, False), (None, True, False), (True, False))
]
FAST = [
    Rules(*options) for options in itertools.product((True, False), (None, True, False), (True, False), (True, False))
]


def check() -> None:
    """Compare all, and say so."""
    alone = [chr(code) for code in nasty.code_points()]
    between = [f"a{char}a" for char in alone]
    strings = list(nasty.texts(seed=0, count=100_000))
    for rules in [*FAST, *SLOW, *(rules for rules in PLAIN if rules.compat == "google")]:
        corpora = {"between letters": between, "nasty": strings} | ({"alone": alone} if rules in USUAL else {})
        for name, texts in corpora.items():
            compare(rules, texts)
            print(f"{rules}: {len(texts):,} texts equal ({name})", flush=True)


def compare(rules: Rules, texts: Sequence[str]) -> None:
    """Exit with the first text on which they differ."""
    words = ORACLES[rules.compat](rules)
    for text, ours in zip(texts, Normalizer(rules).joined(texts), strict=True):
        if ours != (theirs := words(text)):
            sys.exit(f"{rules}: {text!a} becomes {ours!a} here and {theirs!a} there")


def record() -> None:
    """Write the answers: a line a range of code points with one outcome, and two octets for each nasty text."""
    lines = []
    for rules in PLAIN:
        words = ORACLES[rules.compat](rules)
        lines += [f"{rules.compat} {rules.lowercase}", *outcomes(words)]
        lines.append(b"".join(nasty.digest(words(text)) for text in nasty.texts(seed=1, count=RECORDED)).hex())
    DATA.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{DATA}: {DATA.stat().st_size} bytes")


def outcomes(words: Words) -> Iterable[str]:
    """`62 a=a`: from U+0062 on, "a" + char + "a" is one word of these three, up to the next line."""
    before = ""
    for code in nasty.code_points():
        now = nasty.outcome(code, words(f"a{chr(code)}a"))
        if now != before:
            yield f"{code:X} {now}"
        before = now


if __name__ == "__main__":
    assert (transformers.__version__, tokenizers.__version__) == ("4.57.6", "0.22.2"), (
        "see the first lines of this script"
    )
    assert unicodedata.unidata_version == "14.0.0", "this needs Python 3.11"
    flags.FLAGS(sys.argv[:1])
    {"record": record, "check": check}[sys.argv[1]]()
