"""Random calls of a tokenizer for a seed, with their results in a form that can be stored and compared.

The same code calls transformers' tokenizers (tests/oracles/tokenizers_transformers4.py) and ours. Texts are of characters
on which all tokenizers agree: how text becomes words is tested elsewhere, here it is what happens to the pieces.
"""

from __future__ import annotations

import random
from typing import Any

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNUSED = [f"[unused{index}]" for index in range(4)]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [
    *("the", "un", "want", "run", "low", "new", "is", "do", "not", "it", "say", "to", "be", "or", "here"),
    *("paris", "news", "cafe", "12", "2026"),
]
PIECES = [
    "##aff",
    "##able",
    "##ed",
    "##ning",
    "##er",
    "##est",
    "##s",
    "##n",
    "##t",
    "##ing",
    "##ly",
    "##0",
    "##1",
    "##2",
]
SIGNS = [*".,?!'-#$()", "中", "文", "한", "é", "n't"]
GREEK = "αδοσς"
VOCABULARY = list(
    dict.fromkeys([*SPECIAL, *UNUSED, *WORDS, *PIECES, *SIGNS, *LETTERS, *GREEK, *("##" + c for c in LETTERS + GREEK)])
)

_TEXT = [*WORDS, *WORDS, *LETTERS, "unaffable", "Wanted", "running,", "newest", "don't", "isn't", "it's", "Café", "中文", "文x",
         "xyzzy", "q9", "...", "?!", "(a)", "lowly", "THE", "[MASK]", "[SEP]", "[ENT]", "café", "  ", "\t", "2026", "ΟΔΟΣ",
         "ΑΣ.", "Σ", "οδος"]  # fmt: skip


def words(rng: random.Random, most: int = 14) -> list[str]:
    return [rng.choice(_TEXT) for _ in range(min(rng.randrange(most + 1), rng.randrange(most + 1)))]


def text(rng: random.Random) -> str:
    return " ".join(words(rng))


def options(rng: random.Random) -> dict[str, Any]:
    """Options of a call; most are left out."""
    chosen: dict[str, Any] = {}

    def maybe(name: str, values: list[Any], chance: float) -> None:
        if rng.random() < chance:
            chosen[name] = rng.choice(values)

    maybe("padding", [True, "longest", "max_length", False, "do_not_pad"], 0.6)
    maybe("truncation", [True, "longest_first", "only_first", "only_second", False, "do_not_truncate"], 0.7)
    maybe("max_length", [3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 32], 0.7)
    maybe("stride", [0, 1, 2, 3, 5], 0.3)
    maybe("add_special_tokens", [True, False], 0.2)
    maybe("pad_to_multiple_of", [2, 4, 8], 0.15)
    maybe("padding_side", ["left", "right"], 0.2)
    maybe("return_tensors", ["np", "pt"], 0.15)
    maybe("return_token_type_ids", [True, False], 0.1)
    maybe("return_attention_mask", [True, False], 0.1)
    maybe("return_overflowing_tokens", [True], 0.3)
    maybe("return_special_tokens_mask", [True], 0.3)
    maybe("return_offsets_mapping", [True], 0.2)
    maybe("return_length", [True], 0.2)
    return chosen


def _ids(rng: random.Random, most: int = 12) -> list[int]:
    return [rng.randrange(len(VOCABULARY) + 1) for _ in range(1 + rng.randrange(most))]


def _call(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    chosen = options(rng)
    split, pair, size = rng.random() < 0.2, rng.random() < 0.4, 1 + rng.randrange(4)
    one = words if split else text
    if split:
        chosen["is_split_into_words"] = True
    if rng.random() < 0.3:
        given = [one(rng), *([one(rng)] if pair else [])]
    elif pair and not split and rng.random() < 0.3:
        given = [[[text(rng), text(rng)] for _ in range(size)]]
    else:
        given = [[one(rng) for _ in range(size)] for _ in range(1 + pair)]
    return "__call__", given, chosen


def _of_ids(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    chosen = {k: v for k, v in options(rng).items() if k not in ("return_offsets_mapping", "return_tensors")}
    given = [_ids(rng), *([_ids(rng)] if rng.random() < 0.4 else [])]
    return "prepare_for_model", given, chosen


def _decode(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    chosen: dict[str, Any] = {}
    for name in ("skip_special_tokens", "clean_up_tokenization_spaces"):
        if rng.random() < 0.6:
            chosen[name] = rng.random() < 0.5
    if rng.random() < 0.3:
        return "batch_decode", [[_ids(rng) for _ in range(3)]], chosen
    return "decode", [rng.randrange(len(VOCABULARY)) if rng.random() < 0.1 else _ids(rng, 20)], chosen


def _pad(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    names = ("padding", "max_length", "pad_to_multiple_of", "padding_side", "return_attention_mask", "return_tensors")
    chosen = {k: v for k, v in options(rng).items() if k in names}
    rows = [_ids(rng) for _ in range(1 + rng.randrange(3))]
    columns: dict[str, Any] = {"input_ids": rows}
    if rng.random() < 0.5:
        columns["token_type_ids"] = [[rng.randrange(2) for _ in row] for row in rows]
    if rng.random() < 0.3 and chosen.get("return_attention_mask") is not False:
        columns["attention_mask"] = [[1] * len(row) for row in rows]
    if rng.random() < 0.2:
        columns = {name: column[0] for name, column in columns.items()}
    elif rng.random() < 0.5:
        return "pad", [[{n: c[i] for n, c in columns.items()} for i in range(len(rows))]], chosen
    return "pad", [columns], chosen


def _small(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    pair = [_ids(rng)] if rng.random() < 0.5 else []
    name = rng.choice(
        [
            "build_inputs_with_special_tokens",
            "create_token_type_ids_from_sequences",
            "get_special_tokens_mask",
            "truncate_sequences",
            "tokenize",
            "encode",
            "convert_ids_to_tokens",
            "convert_tokens_to_ids",
            "convert_tokens_to_string",
            "num_special_tokens_to_add",
        ]
    )
    if name == "get_special_tokens_mask":
        return name, [_ids(rng)], {"already_has_special_tokens": True}
    if name == "truncate_sequences":
        strategy = rng.choice(["longest_first", "only_first", *(["only_second"] if pair else [])])
        removed = {
            "num_tokens_to_remove": rng.randrange(8),
            "truncation_strategy": strategy,
            "stride": rng.randrange(3),
        }
        return name, [_ids(rng), *pair], removed
    if name == "tokenize":
        return name, [text(rng)], {}
    if name == "encode":
        return name, [text(rng), *([text(rng) or "a"] if pair else [])], {"add_special_tokens": rng.random() < 0.5}
    if name == "convert_ids_to_tokens":
        return name, [_ids(rng)], {"skip_special_tokens": rng.random() < 0.5}
    if name in ("convert_tokens_to_ids", "convert_tokens_to_string"):
        return name, [[rng.choice([*VOCABULARY, "nothing"]) for _ in range(6)]], {}
    if name == "num_special_tokens_to_add":
        return name, [], {"pair": bool(pair)}
    return name, [_ids(rng), *pair], {}


def case(seed: int) -> dict[str, Any]:
    """A call: the method, its arguments, and the settings of the tokenizer."""
    rng = random.Random(seed)
    make = rng.choices([_call, _of_ids, _decode, _pad, _small], [60, 10, 10, 8, 12])[0]
    method, given, chosen = make(rng)
    sides = ["right", "left"]
    return {
        "seed": seed, "method": method, "given": given, "options": chosen, "added": rng.random() < 0.3,
        "padding_side": rng.choice(sides), "truncation_side": rng.choice(sides),
        "model_max_length": rng.choice([8, 24, 512]),
    }  # fmt: skip


def answer(tokenizers: dict[bool, Any], case: dict[str, Any]) -> Any:
    """Return the result of a call. `tokenizers`: without and with added tokens."""
    tokenizer = tokenizers[case["added"]]
    for name in ("padding_side", "truncation_side", "model_max_length"):
        setattr(tokenizer, name, case[name])
    try:
        result = getattr(tokenizer, case["method"])(*case["given"], **case["options"])
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a Rust panic is not an Exception
        return {"error": type(error).__name__}
    if not hasattr(result, "keys"):
        return _plain(result)
    out = {"columns": {name: _plain(column) for name, column in result.items()}, "order": list(result)}
    if case["method"] == "__call__" and result.is_fast:
        rows = range(len(result.encodings))
        out["rows"] = [
            [result.tokens(row), result.word_ids(row), result.sequence_ids(row), _spans(result, row)] for row in rows
        ]
    return out


def _spans(result: Any, row: int) -> list[Any]:
    """A sample of the mapping of tokens, words and characters."""
    size = len(result.tokens(row))
    chars = [[result.char_to_token(row, char, side) for char in (0, 3, 8)] for side in range(result.n_sequences)]
    span = [[result.word_to_tokens(row, word, side) for word in (0, 2)] for side in range(result.n_sequences)]
    tokens = [(result.token_to_chars(row, at), result.token_to_word(row, at)) for at in (0, size // 2) if at < size]
    return _plain([chars, span, tokens])


def _plain(value: Any) -> Any:
    """Return a result as lists, with the types of arrays."""
    if hasattr(value, "dtype"):
        return {"dtype": str(value.dtype).removeprefix("torch."), "values": _plain(value.tolist())}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
