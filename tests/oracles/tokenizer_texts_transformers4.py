"""Whole tokenizers of transformers 4.57.6 beside ours: the ids of every code point and of nasty texts, under random settings.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6"
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/tokenizer_texts_transformers4.py code_points
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/tokenizer_texts_transformers4.py texts 100

`code_points` compares every code point, alone and between two letters. `texts N` compares N tokenizers of each class, of
random settings and added tokens, on 500 texts each, in which those tokens stand in all spellings. Both name the first texts
of each tokenizer that differ, and exit with 1 if there are any. The vocabulary has every character, so that none hides
behind "[UNK]".
"""

from __future__ import annotations

import functools
import logging
import random
import sys
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nasty
import transformers

import bertkit

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ADDED = [
    "[ENT]",
    "[ent]",
    "xyzzy",
    "NEW",
    "new",
    "New York",
    "σας",
    "ΣΑΣ",
    "k",
    "ſtra",
    "don't",
    "İx",
    "i̇x",
    "<a>",
    "<ab>",
    "中x",
    "é",
]
NEVER = ["don't", "c++", "C++", "中文", "café", "naïve", "e.g."]
FLAGS = (
    "single_word",
    "lstrip",
    "rstrip",
)  # the first not for the slow one, which cuts words behind a token that it then leaves
GROUP = 500  # texts
SHOWN = 3


@functools.cache
def vocabulary() -> str:
    """A file with every character that has a name in Unicode 14.0, at the beginning of a word and inside."""
    chars = [chr(code) for code in nasty.code_points() if unicodedata.category(chr(code))[0] not in "CZ"]
    path = Path(tempfile.mkdtemp()) / "vocab.txt"
    path.write_text(
        "".join(f"{token}\n" for token in [*SPECIAL, *chars, *(f"##{char}" for char in chars)]), encoding="utf-8"
    )
    return str(path)


def both(name: str, settings: dict[str, Any], added: Sequence[dict[str, Any]] = ()) -> tuple[Any, Any]:
    """Their tokenizer and ours."""
    pair = []
    for library in (transformers, bertkit):
        tokenizer = getattr(library, name)(vocabulary(), **settings)
        tokenizer.add_tokens([transformers.AddedToken(**token) for token in added])
        pair.append(tokenizer)
    return pair[0], pair[1]


def differ(name: str, pair: tuple[Any, Any], texts: Sequence[str], what: str) -> bool:
    """Whether their ids and ours differ, one text after the other and all at once."""
    theirs, ours = pair
    wanted = theirs(texts, add_special_tokens=False)["input_ids"]
    wrong = 0
    for text, want, got in zip(texts, wanted, ours(texts, add_special_tokens=False)["input_ids"], strict=True):
        alone = ours(text)["input_ids"][1:-1]
        if not want == got == alone:
            wrong += 1
            if wrong <= SHOWN:
                shown = [" ".join(map(str, theirs.convert_ids_to_tokens(ids))) for ids in (want, got, alone)]
                print(f"{name}({what}): {text!a}", *map(ascii, shown), sep="\n    ")
    print(f"{name}({what}): {wrong} of {len(texts):,} texts differ", flush=True)
    return wrong > 0


def code_points(name: str) -> bool:
    """Every code point."""
    alone = [chr(code) for code in nasty.code_points()]
    texts = [*alone, *(f"a{char}a" for char in alone), *(f"Σ{char}" for char in alone)]
    wrong = False
    for lower in (True, False):
        for strip in (None, not lower):
            settings = {"do_lower_case": lower, "strip_accents": strip}
            pair = both(name, settings)
            for start in range(0, len(texts), 200_000):
                wrong |= differ(name, pair, texts[start : start + 200_000], f"{settings}, from {start:,}")
    return wrong


def random_texts(name: str, seed: int) -> bool:
    """One tokenizer of random settings on some texts."""
    rng = random.Random(seed)
    settings: dict[str, Any] = {
        "do_lower_case": rng.random() < 0.7,
        "strip_accents": rng.choice([None, None, True, False]),
        "tokenize_chinese_chars": rng.random() < 0.7,
    }
    if name == "BertTokenizer":
        settings["do_basic_tokenize"] = rng.random() < 0.8
        settings["never_split"] = rng.sample(NEVER, 2) if rng.random() < 0.3 else None
    flags = FLAGS[name == "BertTokenizer" :]
    added = [token(rng, content, flags) for content in rng.sample(ADDED, rng.choice([0, 0, 1, 2, 4]))]
    found = [one["content"] for one in added] + ["[MASK]"]
    texts = [spliced(rng, text, found, settings.get("never_split") or ()) for text in nasty.texts(seed, GROUP)]
    return differ(name, both(name, settings, added), texts, f"seed={seed}, {settings}, {added}")


def token(rng: random.Random, content: str, flags: Sequence[str]) -> dict[str, Any]:
    """An added token of random flags, most of them as they are by default."""
    chosen = {flag: True for flag in flags if rng.random() < 0.15}
    special = rng.random() < 0.3
    return {"content": content, **chosen, "special": special, "normalized": rng.random() < (0.2 if special else 0.8)}


def spliced(rng: random.Random, text: str, found: Sequence[str], whole: Sequence[str]) -> str:
    """A text with some tokens in it, and words between blanks, also in other cases."""
    for place in sorted((rng.randrange(len(text) + 1) for _ in range(rng.randrange(4))), reverse=True):
        content = rng.choice([*found, *whole])
        left, right = (" ", " ") if content in whole else (rng.choice(["", " ", " "]), rng.choice(["", " ", " "]))
        content = rng.choice([content, content, content.lower(), content.upper(), content.title()])
        text = text[:place] + left + content + right + text[place:]
    return text


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    wrong = False
    for name in ("BertTokenizer", "BertTokenizerFast"):
        if sys.argv[1] == "code_points":
            wrong |= code_points(name)
        else:
            for seed in range(int(sys.argv[2])):
                wrong |= random_texts(name, seed)
    sys.exit(wrong)
