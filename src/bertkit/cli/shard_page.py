"""The page of `bertkit inspect` for a folder of shards."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.shards import Shards
from bertkit.data.shards.layout import TOKENIZER
from bertkit.errors import printable
from bertkit.text.auto import AutoTokenizer

_EXAMPLES = 3
_SHOWN_SENTENCES = 4
_QUANTILES = {"shortest": 0.0, "median": 0.5, "90%": 0.9, "longest": 1.0}


def page(folder: str, as_json: bool) -> str:
    """Return the counts, the lengths and some decoded documents of a folder of shards. Raises DataError if a file is damaged."""
    shards = Shards(folder)
    shards.verify()
    found = {
        "path": folder,
        "shards": len(shards.files),
        "documents": len(shards),
        "sentences": shards.sentences,
        "tokens": shards.tokens,
        "vocab_size": shards.special.vocab_size,
        "dtype": shards.special.dtype.name,
        "tokens_per_sentence": _lengths([np.diff(file.sentence_ends, prepend=np.uint32(0)) for file in shards.files]),
        "sentences_per_document": _lengths(
            [np.diff(file.document_ends, prepend=np.uint32(0)) for file in shards.files]
        ),
        "examples": _examples(shards),
    }
    return json.dumps(found, indent=2, ensure_ascii=False) if as_json else _text(found)


def _lengths(parts: list[NDArray[Any]]) -> dict[str, float]:
    values = np.concatenate(parts)
    shown = np.quantile(values, list(_QUANTILES.values())).tolist()
    return {"mean": round(float(values.mean()), 1), **dict(zip(_QUANTILES, shown, strict=True))}


def _examples(shards: Shards) -> list[list[str]]:
    """Return the first sentences of some documents, evenly spaced."""
    tokenizer = AutoTokenizer.from_pretrained(shards.folder / TOKENIZER)
    numbers = sorted({len(shards) * number // _EXAMPLES for number in range(_EXAMPLES)})
    return [
        [tokenizer.decode(sentence.tolist()) for sentence in shards[number][:_SHOWN_SENTENCES]] for number in numbers
    ]


def _text(found: dict[str, Any]) -> str:
    lines = [f"Shards of tokens in {found['path']}, checksums correct", ""]
    for name in ("shards", "documents", "sentences", "tokens", "vocab_size"):
        lines.append(f"{name:<24}{found[name]:>16,}")
    for name in ("tokens_per_sentence", "sentences_per_document"):
        shown = ", ".join(f"{key} {value:,g}" for key, value in found[name].items())
        lines.append(f"{name.replace('_', ' '):<24}{shown}")
    for number, sentences in enumerate(found["examples"], start=1):
        lines += ["", f"Example {number}", *(f"  {printable(sentence)}" for sentence in sentences)]
    return "\n".join(lines)
