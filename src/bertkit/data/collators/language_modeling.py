"""The collators for language modelling, which choose the tokens to predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.collators.default import Examples, checked_kind
from bertkit.data.collators.draws import Draws, Flags, Ints, draws_of
from bertkit.data.masking import mask_words
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import IGNORED
from bertkit.tensors import to_array, with_dtype

_NOT_FOR_MODELS = ("offset_mapping", "chinese_ref")


@dataclass
class DataCollatorForLanguageModeling:
    """Pad examples and mask some of their tokens. The labels are the original tokens at the masks, and -100 elsewhere.

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    >>> collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=1, mask_replace_prob=1, random_replace_prob=0)
    >>> batch = collate([tokenizer("a b"), tokenizer("a")], return_tensors="np")
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[2, 4, 4, 3], [2, 4, 3, 0]], [[-100, 5, 6, -100], [-100, 5, -100, -100]])

    Args:
        tokenizer: a tokenizer with a mask token and `pad`.
        mlm: whether to mask tokens; if False, all tokens except padding are labels.
        whole_word_mask: whether to mask all pieces of a word together, as in DataCollatorForWholeWordMask.
        mlm_probability: the probability of each token to be chosen.
        mask_replace_prob: the share of the chosen tokens that are replaced by [MASK].
        random_replace_prob: the share of the chosen tokens that are replaced by a random token. The others do not change.
        pad_to_multiple_of: pad to a length that is a multiple of this number.
        return_tensors: "pt", "np" or "tf".
        seed: the seed of the masks. None: use the framework's global generator.
        tf_experimental_compile: must be False.
    """

    tokenizer: Any
    mlm: bool = True
    whole_word_mask: bool = False
    mlm_probability: float | None = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"
    seed: int | None = None
    tf_experimental_compile: bool = False
    _draws: dict[str, Draws] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tf_experimental_compile:
            raise UsageError(
                "Masking cannot be compiled to a TensorFlow graph: leave ",
                Setting("tf_experimental_compile", True), " out.",
            )  # fmt: skip
        if self.mlm and self.tokenizer.mask_token is None:
            raise UsageError(
                "The tokenizer has no mask token: set tokenizer.mask_token, or type ", Setting("mlm", False),
                " for causal language modelling.",
            )  # fmt: skip
        if self.whole_word_mask and not self.mlm:
            raise UsageError("whole_word_mask needs masking: type ", Setting("mlm", True), ".")
        shares = ("mask_replace_prob", "random_replace_prob")
        for name in ("mlm_probability", *shares) if self.mlm else shares:
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise UsageError(received(name, value), " is not between 0 and 1.")
            setattr(self, name, float(value))
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise UsageError(
                received("mask_replace_prob", self.mask_replace_prob), " and ",
                received("random_replace_prob", self.random_replace_prob), " have a sum above 1.",
            )  # fmt: skip

    def __call__(self, examples: Examples, return_tensors: str | None = None) -> Any:
        """Return the batch of a list of examples, or of lists of ids."""
        kind = checked_kind(return_tensors or self.return_tensors)
        continuing = [_continuing(row) for row in examples]
        batch = self._padded(examples, kind)
        ids = to_array(batch["input_ids"])
        special = batch.pop("special_tokens_mask", None)
        if not self.mlm:
            padding = self.tokenizer.pad_token_id
            labels = ids.copy() if padding is None else np.where(ids == padding, IGNORED, ids)
            batch["labels"] = with_dtype(labels.astype(ids.dtype), kind)
            return batch
        ids = ids.astype(np.int64)
        special = self._special(ids) if special is None else to_array(special).astype(bool)
        if kind not in self._draws:
            self._draws[kind] = draws_of(kind, self.seed)
        if self.whole_word_mask:
            masked, labels = self._mask_words(ids, special, continuing, self._draws[kind])
        else:
            masked, labels = self._mask_tokens(ids, special, self._draws[kind])
        batch["input_ids"], batch["labels"] = with_dtype(masked, kind), with_dtype(labels, kind)
        return batch

    def _padded(self, examples: Examples, kind: str) -> Any:
        if isinstance(examples[0], Mapping):
            rows = [{key: row[key] for key in row if key not in _NOT_FOR_MODELS} for row in examples]
            return self.tokenizer.pad(rows, return_tensors=kind, pad_to_multiple_of=self.pad_to_multiple_of)
        rows = [{"input_ids": to_array(row).tolist()} for row in examples]
        batch = self.tokenizer.pad(rows, return_tensors="np", pad_to_multiple_of=self.pad_to_multiple_of)
        return {"input_ids": with_dtype(batch["input_ids"], kind)}

    def _special(self, ids: Ints) -> Flags:
        """Return the mask of special tokens [B, L]."""
        mask = [self.tokenizer.get_special_tokens_mask(row, already_has_special_tokens=True) for row in ids.tolist()]
        return np.array(mask, bool)

    def _mask_tokens(self, ids: Ints, special: Flags, draws: Draws) -> tuple[Ints, Ints]:
        """Return the masked ids [B, L] and the labels [B, L]."""
        chosen = draws.flags(np.where(special, 0.0, self.mlm_probability or 0.0)) & ~special
        labels = np.where(chosen, ids, IGNORED)
        hidden = draws.flags(np.full(ids.shape, self.mask_replace_prob)) & chosen
        masked = np.where(hidden, self.tokenizer.mask_token_id, ids)
        if self.mask_replace_prob < 1 and self.random_replace_prob > 0:
            share = self.random_replace_prob / (
                1 - self.mask_replace_prob
            )  # among the chosen tokens that are not [MASK]
            other = draws.flags(np.full(ids.shape, share)) & chosen & ~hidden
            masked[other] = draws.ids(len(self.tokenizer), other)
        return masked, labels

    def _mask_words(self, ids: Ints, special: Flags, continuing: list[set[int]], draws: Draws) -> tuple[Ints, Ints]:
        """Return the same with all pieces of a word masked together."""
        masked, labels = ids.copy(), np.full(ids.shape, IGNORED)
        if not self.mlm_probability:
            return masked, labels
        key = int(draws.ids(2**31, np.ones(1, bool))[0])
        for number, row in enumerate(ids):
            ordinary = np.flatnonzero(~special[number])
            found = mask_words(
                row[ordinary],
                self.tokenizer.all_special_ids,
                np.random.default_rng((key, number)),
                mask_id=self.tokenizer.mask_token_id,
                vocab_size=len(self.tokenizer),
                words=self._words(row, continuing[number])[ordinary],
                share=self.mlm_probability,
                mask_replace_prob=self.mask_replace_prob,
                random_replace_prob=self.random_replace_prob,
            )
            masked[number, ordinary] = found.input_ids
            labels[number, ordinary[found.positions]] = found.labels
        return masked, labels

    def _words(self, ids: Ints, continuing: set[int]) -> NDArray[np.int64]:
        """Return the number of the word of each token [L]."""
        prefix = getattr(self.tokenizer, "wordpieces_prefix", "##")
        tokens = self.tokenizer.convert_ids_to_tokens(ids.tolist())
        begins = [
            not (token or "").startswith(prefix) and place not in continuing for place, token in enumerate(tokens)
        ]
        return np.cumsum(begins)


@dataclass
class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """Pad examples and mask whole words: a token and all tokens after it that start with "##".

    Words are masked up to the share `mlm_probability` of the tokens of a row, but at least one word. Special tokens are never
    masked, and never used as random tokens. An example may have a column `chinese_ref` with the positions of tokens that belong
    to the word before them.

    >>> import bertkit
    >>> tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##able", "to"])
    >>> collate = DataCollatorForWholeWordMask(tokenizer, mlm_probability=0.6, mask_replace_prob=1, random_replace_prob=0, seed=1)
    >>> collate([tokenizer("to unable")], return_tensors="np")["labels"]
    array([[-100, -100,    5,    6, -100]])
    """

    def __post_init__(self) -> None:
        self.mlm = self.whole_word_mask = True
        super().__post_init__()


def _continuing(example: Any) -> set[int]:
    """Return the positions of an example's tokens that continue a word without "##"."""
    given = example.get("chinese_ref") if isinstance(example, Mapping) else None
    return set() if given is None else set(to_array(given).tolist())
