"""Sentence scoring: how natural a masked language model finds a text.

Each token is masked in turn, and the logarithms of the probabilities of what stood there are summed: the pseudo-log-likelihood.
With `whole_words` the later pieces of a word are masked with the earlier ones, so that a rare word in many pieces does not
look likely only because its first piece gives away the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Grain, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, OnLong, Options, Outputs, Task, text_of, with_tokenizer_options
from bertkit.tasks.windows import encode_texts, reading_places


@dataclass(frozen=True)
class ScoringOptions(Options):
    """What sentence scoring can be asked for."""

    on_long: OnLong = "window"
    whole_words: bool = False
    tokens: bool = False  # the score of every token too


class _Memory(NamedTuple):
    tokens: list[str]


class SentenceScoring(Task[ScoringOptions]):
    """A text -> its pseudo-log-likelihood and pseudo-perplexity."""

    name = "sentence-scoring"
    head = "ForMaskedLM"
    takes = "a text"
    options_type = ScoringOptions

    def encode(self, examples: Sequence[Any], options: ScoringOptions) -> list[Encoded]:
        """A row a token, in which it is masked."""
        texts = [text_of(example, self.name) for example in examples]
        return [
            self._masked(item, options)
            for item in encode_texts(self.tokenizer, texts, None, options, self.row_length(options))
        ]

    def _masked(self, encoded: Encoded, options: ScoringOptions) -> Encoded:
        rows, tokens = [], []
        for window, row, places in zip(encoded.memory, encoded.rows, reading_places(encoded.memory), strict=True):
            words = window.word_ids
            for place in places:
                end = place + 1
                while options.whole_words and end < len(words) and words[end] == words[place]:
                    end += 1
                ids = row.input_ids.copy()
                ids[place:end] = self.tokenizer.mask_token_id
                label = row.input_ids[place : place + 1]
                rows.append(Row(ids, row.token_type_ids, np.array([place]), label))
                tokens.append(window.tokens[place])
        if not rows:
            raise UsageError("The text has no token to score: type a text that is not empty.")
        return Encoded(rows, encoded.told, _Memory(tokens))

    def wanted(self, options: ScoringOptions) -> dict[str, Grain]:
        """How likely the masked token is."""
        return {"label_log_probs": "place"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: ScoringOptions) -> dict[str, Any]:
        """`{"log_likelihood", "perplexity", "n_tokens"}`, and with `tokens` `[{"token", "log_prob"}]`."""
        logs = np.concatenate([output["label_log_probs"] for output in outputs]).astype(np.float64)
        found: dict[str, Any] = {
            "log_likelihood": float(logs.sum()),
            "perplexity": float(np.exp(-logs.mean())),
            "n_tokens": len(logs),
        }
        if options.tokens:
            found["tokens"] = [
                {"token": token, "log_prob": log}
                for token, log in zip(encoded.memory.tokens, logs.tolist(), strict=True)
            ]
        return found

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Options of the tokenizer are taken too."""
        return with_tokenizer_options(given)
