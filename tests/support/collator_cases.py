"""The same batches for the collators of bertkit and of transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

WORDS = [*(f"w{number}" for number in range(40)), *(f"##x{number}" for number in range(30))]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
FIRST_PIECE = VOCABULARY.index("##x0")
CLS, SEP, MASK, FIRST = 2, 3, 4, 5
LENGTHS = (12, 5, 9, 3)


def rows(**more: Any) -> list[dict[str, Any]]:
    """Return four examples of different lengths. more: further columns, as functions of an example's number and length."""
    random = np.random.default_rng(0)
    found = []
    for number, length in enumerate(LENGTHS):
        ids = [CLS, *random.integers(FIRST, len(VOCABULARY), length - 2).tolist(), SEP]
        types = [0] * (length // 2) + [1] * (length - length // 2)
        row = {"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * length}
        found.append(row | {name: value(number, length) for name, value in more.items()})
    return found


def of_one_length(**more: Any) -> list[dict[str, Any]]:
    """Return three examples of five tokens."""
    return [
        {"input_ids": [CLS, 7, 8 + number, 9, SEP], "attention_mask": [1] * 5, "text": "left out", "nothing": None}
        | {name: value(number) for name, value in more.items()}
        for number in range(3)
    ]


def choices() -> list[dict[str, Any]]:
    """Return two questions with two choices each."""
    flat = rows()
    return [
        {name: [flat[2 * number][name], flat[2 * number + 1][name]] for name in flat[0]} | {"label": number}
        for number in range(2)
    ]


def _token_labels(number: int, length: int) -> list[int]:
    return [-100, *[number + place for place in range(length - 2)], -100]


def _special(number: int, length: int) -> list[int]:
    return [1, *[0] * (length - 2), 1]


CASES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "pad": ("DataCollatorWithPadding", {}, lambda: rows()),
    "pad, label": ("DataCollatorWithPadding", {}, lambda: rows(label=lambda n, _: n)),
    "pad, number": ("DataCollatorWithPadding", {}, lambda: rows(label=lambda n, _: n / 2)),
    "pad, several numbers": ("DataCollatorWithPadding", {}, lambda: rows(labels=lambda n, _: [1.0, 0.0, n / 4])),
    "pad, label_ids": ("DataCollatorWithPadding", {}, lambda: rows(label_ids=lambda n, _: n)),
    "pad, 8": ("DataCollatorWithPadding", {"pad_to_multiple_of": 8}, lambda: rows(label=lambda n, _: n)),
    "pad, 20": ("DataCollatorWithPadding", {"padding": "max_length", "max_length": 20}, lambda: rows()),
    "tokens": ("DataCollatorForTokenClassification", {}, lambda: rows(labels=_token_labels)),
    "tokens, 8": ("DataCollatorForTokenClassification", {"pad_to_multiple_of": 8}, lambda: rows(labels=_token_labels)),
    "tokens, -1": ("DataCollatorForTokenClassification", {"label_pad_token_id": -1}, lambda: rows(labels=_token_labels)),
    "tokens, no labels": ("DataCollatorForTokenClassification", {}, lambda: rows()),
    "choices": ("DataCollatorForMultipleChoice", {}, choices),
    "choices, 8": ("DataCollatorForMultipleChoice", {"pad_to_multiple_of": 8}, choices),
    "default": ("DefaultDataCollator", {}, lambda: of_one_length(label=lambda n: n)),
    "default, number": ("DefaultDataCollator", {}, lambda: of_one_length(label=lambda n: n / 2)),
    "default, label_ids": ("DefaultDataCollator", {}, lambda: of_one_length(label_ids=lambda n: [n, 1, 2])),
    "default, label_ids, numbers": ("DefaultDataCollator", {}, lambda: of_one_length(label_ids=lambda n: [n / 2, 1.0])),
    "default, labels": ("DefaultDataCollator", {}, lambda: of_one_length(labels=lambda n: n)),
    "default, places": (
        "DefaultDataCollator",
        {},
        lambda: of_one_length(start_positions=lambda n: n, end_positions=lambda n: n + 1),
    ),
    "default, arrays": ("DefaultDataCollator", {}, lambda: of_one_length(extra=lambda n: np.array([n, 0.5]))),
    "masks": ("DataCollatorForLanguageModeling", {"seed": 1}, lambda: rows()),
    "masks, 8": ("DataCollatorForLanguageModeling", {"seed": 1, "pad_to_multiple_of": 8}, lambda: rows()),
    "masks, special": ("DataCollatorForLanguageModeling", {"seed": 2}, lambda: rows(special_tokens_mask=_special)),
    "masks, shares": (
        "DataCollatorForLanguageModeling",
        {"seed": 3, "mlm_probability": 0.5, "mask_replace_prob": 0.4, "random_replace_prob": 0.5},
        lambda: rows(),
    ),
    "masks, others alone": (
        "DataCollatorForLanguageModeling",
        {"seed": 4, "mlm_probability": 0.5, "mask_replace_prob": 0, "random_replace_prob": 1},
        lambda: rows(),
    ),
    "masks, masks alone": (
        "DataCollatorForLanguageModeling",
        {"seed": 4, "mlm_probability": 0.5, "mask_replace_prob": 1, "random_replace_prob": 0},
        lambda: rows(),
    ),
    "masks, lists": ("DataCollatorForLanguageModeling", {"seed": 5}, lambda: [row["input_ids"] for row in rows()]),
    "causal": ("DataCollatorForLanguageModeling", {"mlm": False}, lambda: rows()),
}  # fmt: skip


def answer(library: Any, tokenizer: Any, name: str, kind: str) -> list[list[Any]]:
    """Return [column, dtype, values] for the columns of two batches."""
    kind_of_collator, options, examples = CASES[name]
    collate = getattr(library, kind_of_collator)(
        *(() if kind_of_collator == "DefaultDataCollator" else (tokenizer,)), **options, return_tensors=kind
    )
    found = []
    for _ in range(2):
        for column, tensor in collate(examples()).items():
            array = np.asarray(tensor)
            found.append([column, str(array.dtype), array.tolist()])
    return found


def whole_words(library: Any, tokenizer: Any, seed: int) -> dict[str, float]:
    """Mask 400 long rows with DataCollatorForWholeWordMask, and return the shares of chosen and of replaced tokens."""
    random = np.random.default_rng(seed)
    collate = library.DataCollatorForWholeWordMask(tokenizer, return_tensors="np", seed=seed + 1)
    counts = np.zeros(5)
    for _ in range(50):
        examples = [
            {"input_ids": [CLS, FIRST, *random.integers(FIRST, len(VOCABULARY), 97).tolist(), SEP]} for _ in range(8)
        ]
        before = np.array([example["input_ids"] for example in examples])
        batch = collate(examples)
        chosen, after = batch["labels"] != -100, batch["input_ids"]
        counts += [
            before.size,
            chosen.sum(),
            (chosen & (after == MASK)).sum(),
            (chosen & (after == before)).sum(),
            _broken(before, chosen),
        ]
    return {
        "chosen": counts[1] / counts[0],
        "mask": counts[2] / counts[1],
        "same": counts[3] / counts[1],
        "broken": counts[4],
    }


def _broken(before: np.ndarray, chosen: np.ndarray) -> int:
    """Return how many pieces are masked without the token before them, or the other way round."""
    pieces = before[:, 1:] >= FIRST_PIECE
    return int((pieces & (chosen[:, 1:] != chosen[:, :-1])).sum())
