"""The arguments of `forward` in `reference/`, their checks and their defaults.

In comments: B sequences, L tokens in each, H hidden width, N heads, K tokens of an encoder, C labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit.config import BertConfig
from bertkit.errors import UsageError


@dataclass
class ReferenceInputs:
    """The arguments of a forward pass: arrays, or lists of numbers.

    >>> ReferenceInputs(input_ids=[[2, 4, 3]]).shape
    (1, 3)
    """

    input_ids: Any = None  # [B, L]; for ForMultipleChoice, this and the next four are [B, choices, L]
    attention_mask: Any = None  # [B, L], or [B, L, L]: which token attends to which
    token_type_ids: Any = None  # [B, L]
    position_ids: Any = None  # [B, L]
    inputs_embeds: Any = None  # [B, L, H], instead of input_ids
    head_mask: Any = None  # [N] or [layers, N]: a factor for each head, pruned heads included
    encoder_hidden_states: Any = None  # [B, K, H]
    encoder_attention_mask: Any = None  # [B, K]
    labels: Any = None  # [B, L] for tokens, [B] or [B, C] for sequences; -100 is ignored
    next_sentence_label: Any = None  # [B]
    start_positions: Any = None  # [B]
    end_positions: Any = None  # [B]

    def __post_init__(self) -> None:
        vars(self).update({name: np.asarray(x) for name, x in vars(self).items() if x is not None})
        if (self.input_ids is None) == (self.inputs_embeds is None):
            raise UsageError("Pass either input_ids or inputs_embeds.")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tokens: (B, L), or (B, choices, L)."""
        ids, embeds = self.input_ids, self.inputs_embeds
        return tuple(embeds.shape[:-1] if ids is None else ids.shape)

    def fold_choices(self) -> int:
        """Make each choice a sequence, [B, choices, L] -> [B * choices, L]. Return the number of choices."""
        choices = self.shape[1]
        for name in ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"):
            if (x := getattr(self, name)) is not None:
                setattr(self, name, x.reshape(-1, *x.shape[2:]))
        return choices

    def complete(self, config: BertConfig) -> None:
        """Refuse invalid arguments, set defaults, and convert masks to their dtypes and shapes."""
        self._check(config)
        defaults = {
            "attention_mask": np.ones(self.shape, bool),
            "token_type_ids": np.zeros(1, int),
            "position_ids": np.arange(self.shape[1]),
            "head_mask": np.ones(1),
            "encoder_attention_mask": np.ones((1, 1), bool),
        }
        vars(self).update({name: x for name, x in defaults.items() if getattr(self, name) is None})
        self.attention_mask = self.attention_mask.astype(bool)
        self.encoder_attention_mask = self.encoder_attention_mask.astype(bool)
        self.head_mask = np.broadcast_to(self.head_mask, (config.num_hidden_layers, config.num_attention_heads))

    def _check(self, config: BertConfig) -> None:
        shape, mask, most = self.shape, self.attention_mask, config.max_position_embeddings
        for name, size in (
            ("input_ids", config.vocab_size),
            ("token_type_ids", config.type_vocab_size),
            ("position_ids", most),
        ):
            if (ids := getattr(self, name)) is not None and ids.size and not 0 <= ids.min() <= ids.max() < size:
                raise UsageError(f"{name} must be 0 to {size - 1}; received {ids.min()} to {ids.max()}.")
        if shape[1] > most:
            raise UsageError(
                f"There are {shape[1]} tokens, but max_position_embeddings is {most}: truncate or split the text."
            )
        if mask is not None and mask.shape not in (shape, (*shape, shape[1])):
            raise UsageError(
                f"attention_mask has the shape {mask.shape}; for tokens {shape} it must be {shape} or {(*shape, shape[1])}."
            )
        if self.encoder_hidden_states is not None and not config.add_cross_attention:
            raise UsageError("encoder_hidden_states requires BertConfig(is_decoder=True, add_cross_attention=True).")
