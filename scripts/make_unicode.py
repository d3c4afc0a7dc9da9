"""Write src/bertkit/text/wordpiece/unicode.txt, the properties of characters for BERT's three normalizations.

    python3.11 -m venv .venv-unicode
    .venv-unicode/bin/pip install tokenizers==0.22.2
    .venv-unicode/bin/python scripts/make_unicode.py

With this file, all versions of Python normalize alike. Python 3.11 has the tables of Unicode 14.0, as in the recorded answers
of transformers 4.57.6. The tables of `tokenizers` mix several versions of Unicode, so every code point is tested. This takes
a minute.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

import tokenizers
from tokenizers.normalizers import NFD, BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

OUT = Path(__file__).parents[1] / "src" / "bertkit" / "text" / "wordpiece" / "unicode.txt"
HEADER = """\
# What the three normalizations know about characters. Made by scripts/make_unicode.py; do not edit.
# From Unicode 14.0.0 and tokenizers 0.22.2. Numbers are hexadecimal code points, a-b is a range, a-b/2 is every second one.
# A set is a list of ranges. A set such as fast.mark holds the code points in which "fast" differs from the set "mark".
# A map adds :value, which is a list of code points, +distance or, for "combining", a class. fast.lower is added to "lower".
"""
CODES = [code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
Test = Callable[[str], bool]


def main() -> None:
    """Write the file."""
    if unicodedata.unidata_version != "14.0.0" or tokenizers.__version__ != "0.22.2":
        sys.exit(
            "This needs Python 3.11, for Unicode 14.0.0, and tokenizers 0.22.2: see the first lines of this script."
        )
    google = google_sets()
    lines = {name: ranges(codes) for name, codes in google.items()}
    slow_removed = where(lambda char: unicodedata.category(char)[0] == "C" and char not in "\t\n\r") | {0xFFFD}
    lines["slow.removed"] = ranges(slow_removed ^ google["removed"])
    lines |= {f"fast.{name}": ranges(codes ^ google[name]) for name, codes in fast_sets().items()}
    lines |= maps() | fast_maps()
    OUT.write_text(HEADER + "".join(f"{name} {line}\n" for name, line in lines.items()), encoding="ascii")
    sys.stdout.write(f"{OUT}: {OUT.stat().st_size} bytes\n")


def google_sets() -> dict[str, set[int]]:
    """Return the sets of Unicode 14.0, and the characters that Google's rules remove."""
    final_after_it = where(lambda char: f".{char}Σ".lower().endswith("ς"))
    return {
        "removed": where(lambda char: unicodedata.category(char) in ("Cc", "Cf") and char not in "\t\n\r") | {0xFFFD},
        "blank": where(str.isspace),
        "punctuation": where(lambda char: unicodedata.category(char)[0] == "P" or char in "$+<=>^`|~"),
        "mark": where(lambda char: unicodedata.category(char) == "Mn"),
        # A sigma is final after a cased character. Ignorable characters between the two are skipped, cased or not.
        "cased": final_after_it,
        "ignorable": where(lambda char: f"A{char}Σ".lower().endswith("ς")) - final_after_it,
        "excluded": where(lambda char: unicodedata.normalize("NFC", char) != char),
    }


def fast_sets() -> dict[str, set[int]]:
    """Return the sets of `google_sets` for `tokenizers`."""
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    clean = BertNormalizer(**off | {"clean_text": True}).normalize_str
    strip = BertNormalizer(**off | {"strip_accents": True}).normalize_str
    words = {code: len(BertPreTokenizer().pre_tokenize_str(f"a{chr(code)}a")) for code in CODES}
    return {
        "removed": where(lambda char: clean(char) == ""),
        "blank": {code for code, count in words.items() if count == 2},
        "punctuation": {code for code, count in words.items() if count == 3},
        "mark": where(lambda char: strip(char) == ""),
    }


def maps() -> dict[str, str]:
    """Return lowercase letters, canonical decompositions of one step, and combining classes of Unicode 14.0."""
    return {
        "lower": shifts({code: chr(code).lower() for code in CODES}),
        "decomposition": " ".join(f"{code:X}:{','.join(parts)}" for code in CODES if (parts := decomposition(code))),
        "combining": " ".join(
            f"{ranges(where(lambda char, value=value: unicodedata.combining(char) == value), ',')}:{value:X}"
            for value in range(1, 255)
            if any(unicodedata.combining(chr(code)) == value for code in range(0x300, 0x1E000))
        ),
    }


def fast_maps() -> dict[str, str]:
    """Return the letters that `tokenizers` lowercases unlike Unicode 14.0, and the gaps of its older tables for NFD."""
    lower, decompose = Lowercase().normalize_str, NFD().normalize_str
    more = {code: lower(chr(code)) for code in CODES if lower(chr(code)) != chr(code).lower()}
    undecomposed = where(lambda char: decompose(char) != unicodedata.normalize("NFD", char))
    if any(decompose(chr(code)) != chr(code) for code in undecomposed):
        sys.exit("tokenizers decomposes a character unlike Unicode, which the file cannot describe: extend its format.")
    classless = where(lambda char: bool(unicodedata.combining(char)) and not is_ordered(char, decompose))
    return {"fast.lower": shifts(more), "fast.undecomposed": ranges(undecomposed), "fast.classless": ranges(classless)}


def is_ordered(char: str, decompose: Callable[[str], str]) -> bool:
    """Whether `decompose` reorders a mark next to one of the highest or the lowest class."""
    return decompose(f"\u0345{char}") != f"\u0345{char}" or decompose(f"{char}\u0334") != f"{char}\u0334"


def decomposition(code: int) -> list[str]:
    """Return the hexadecimal code points of a canonical decomposition. Compatibility decompositions are left out."""
    parts = unicodedata.decomposition(chr(code)).split()
    return [] if not parts or parts[0].startswith("<") else [part.lstrip("0") for part in parts]


def where(test: Test) -> set[int]:
    """Return the code points whose character passes the test."""
    return {code for code in CODES if test(chr(code))}


def ranges(codes: Iterable[int], separator: str = " ") -> str:
    """Return ranges such as `30-39 41` for the numbers 0x30 to 0x39 and 0x41."""
    runs = [[code for _, code in run] for _, run in groupby(enumerate(sorted(codes)), lambda item: item[1] - item[0])]
    return separator.join(f"{run[0]:X}-{run[-1]:X}" if len(run) > 1 else f"{run[0]:X}" for run in runs)


def shifts(changes: dict[int, str]) -> str:
    """Return a map of code points such as `41-5A:+20 100-12E/2:+1 130:69,307`. Unchanged ones are left out."""
    parts, runs = [], []
    for code, text in sorted(changes.items()):
        if len(text) > 1:
            parts.append(f"{code:X}:{','.join(f'{ord(char):X}' for char in text)}")
        elif distance := ord(text) - code:
            for run in runs[-1:]:
                step = code - run[1]
                if run[3] == distance and step in (1, 2) and run[2] in (0, step):
                    run[1], run[2] = code, step
                    break
            else:
                runs.append([code, code, 0, distance])
    for first, last, step, distance in runs:
        codes = f"{first:X}" if not step else f"{first:X}-{last:X}" + ("/2" if step == 2 else "")
        parts.append(f"{codes}:{distance:+X}")
    return " ".join(parts)


if __name__ == "__main__":
    main()
