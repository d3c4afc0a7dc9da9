"""What the two tokenizers of transformers 4.57.6 answer to random calls, for the tests that cannot have it beside them.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/tokenizers_transformers4.py record
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/tokenizers_transformers4.py check 20000

`record` writes tests/data/tokenizers_transformers4.json.xz: the answers of both to the calls of `tokenizer_cases.case(0)`, `case(1)`, ...
`check N` compares both with ours on N other calls, and prints those that differ.
"""

from __future__ import annotations

import json
import logging
import lzma
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import tokenizer_cases
import transformers

DATA = Path(__file__).parents[1] / "data" / "tokenizers_transformers4.json.xz"
COUNT = 1_000
SHOWN = 12


def theirs(name: str) -> dict[bool, Any]:
    """One of their tokenizers, without and with added tokens."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("".join(f"{token}\n" for token in tokenizer_cases.VOCABULARY), encoding="utf-8")
        pair = {added: getattr(transformers, name)(str(path)) for added in (False, True)}
    pair[True].add_special_tokens({"additional_special_tokens": ["[ENT]"]})
    pair[True].add_tokens(["xyzzy"])
    return pair


def record() -> None:
    """Store their answers."""
    tokenizers = {name: theirs(name) for name in ("BertTokenizer", "BertTokenizerFast")}
    answers = {
        name: [tokenizer_cases.answer(pair, tokenizer_cases.case(seed)) for seed in range(COUNT)]
        for name, pair in tokenizers.items()
    }
    text = json.dumps(answers, separators=(",", ":"), ensure_ascii=False)
    DATA.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{DATA}: {DATA.stat().st_size} bytes")


def check(count: int) -> None:
    """Compare with ours."""
    from tokenizer_answers import agree, ours

    for name in ("BertTokenizer", "BertTokenizerFast"):
        pair, own = theirs(name), ours(name)
        different = 0
        for seed in range(COUNT, COUNT + count):
            case = tokenizer_cases.case(seed)
            wanted, got = tokenizer_cases.answer(pair, case), tokenizer_cases.answer(own, case)
            if not agree(name, case, wanted, got):
                different += 1
                if different <= SHOWN:
                    print(name, json.dumps(case, ensure_ascii=False), "theirs", wanted, "ours", got, sep="\n  ")
        print(f"{name}: {different} of {count} calls differ")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    record() if sys.argv[1] == "record" else check(int(sys.argv[2]))
