"""Sentence scoring: how probable a text is for a language model.

An encoder masks one token at a time and sums the log probabilities of the masked tokens: the pseudo-log-likelihood. With
`whole_words` the later pieces of a word are masked together with each piece. Otherwise a rare word of many pieces gets too high
a score, as its later pieces reveal the earlier ones. A decoder predicts each token from the tokens before it, and the sum is the
log-likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import Setting, UsageError
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, OnLong, Outputs, Task, TaskOptions, text_of
from bertkit.tasks.windows import Windows, encode_texts, reading_places


@dataclass(frozen=True)
class ScoringOptions(TaskOptions):
    """The options of sentence scoring."""

    on_long: OnLong = "window"
    whole_words: bool = False  # also mask the later pieces of a word
    tokens: bool = False  # also return the score of each token


class _Memory(NamedTuple):
    tokens: list[str]


class SentenceScoring(Task[ScoringOptions]):
    """A text -> its (pseudo-)log-likelihood and (pseudo-)perplexity."""

    name = "sentence-scoring"
    head = "ForMaskedLM"
    takes = "a text"
    options_type = ScoringOptions

    def encode(self, examples: Sequence[Any], options: ScoringOptions) -> list[Encoded]:
        """Return a row for each token, in which the token is masked; for a decoder, a row for each window."""
        texts = [text_of(example, self.name) for example in examples]
        if options.whole_words and self.config.is_decoder:
            advice = Setting("whole_words", True)
            raise UsageError(
                advice, " masks tokens, but a decoder predicts from left to right without masks: leave it out."
            )
        read = self._from_the_left if self.config.is_decoder else self._masked
        encoded = encode_texts(self.tokenizer, texts, None, options, self.row_length(options))
        return [read(item, options) for item in encoded]

    def _masked(self, encoded: Encoded, options: ScoringOptions) -> Encoded:
        """Return a row for each token, in which the token is masked."""
        rows, tokens = [], []
        for window, row, places in zip(encoded.memory, encoded.rows, reading_places(encoded.memory), strict=True):
            words = window.word_ids
            for place in places:
                end = place + 1
                while options.whole_words and end < len(words) and words[end] == words[place]:
                    end += 1
                ids = row.input_ids.copy()
                ids[place:end] = self.tokenizer.mask_token_id
                right = Target(row.input_ids[place : place + 1], "place")
                rows.append(Row(ids, row.token_type_ids, np.array([place]), {"labels": right}))
                tokens.append(window.tokens[place])
        return _scored(rows, tokens, encoded)

    def _from_the_left(self, encoded: Encoded, options: ScoringOptions) -> Encoded:
        """Return the rows of the windows. Each token is predicted at the position before it."""
        rows, tokens = [], []
        for number, (window, places) in enumerate(zip(encoded.memory, most_before(encoded.memory), strict=True)):
            if places.start == 0:  # there is no special token before the text
                if number:
                    advice = Setting("overlap", 1)
                    raise UsageError(
                        "Without special tokens, a decoder cannot score the first token of a window: type ",
                        advice,
                        ", or more.",
                    )
                places = places[1:]
            at, row = np.array(places, np.int64), encoded.rows[number]
            if len(at):
                right = Target(row.input_ids[at], "place")
                rows.append(Row(row.input_ids, row.token_type_ids, at - 1, {"labels": right}))
                tokens += window.tokens[places.start : places.stop]
        return _scored(rows, tokens, encoded)

    def wanted(self, options: ScoringOptions) -> Ask:
        """Request the log probability of each token."""
        return Ask(log_probs=True)

    def decode(self, encoded: Encoded, outputs: Outputs, options: ScoringOptions) -> dict[str, Any]:
        """Return `{"log_likelihood", "perplexity", "n_tokens"}`, with `tokens=True` also `"tokens": [{"token", "log_prob"}]`."""
        logs = np.concatenate([output["log_probs"] for output in outputs]).astype(np.float64)
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


def _scored(rows: list[Row], tokens: list[str], encoded: Encoded) -> Encoded:
    if not rows:
        raise UsageError("The text has no tokens to score: type a longer text.")
    return Encoded(rows, encoded.reading, _Memory(tokens))


def most_before(windows: Windows) -> list[range]:
    """Return which tokens to score in each window: each token of the text once, in the window with the most tokens before it."""
    found, done = [], 0
    for window in windows:
        at, length, piece = window.spans[0]
        found.append(range(at + max(done - piece, 0), at + length))
        done = piece + length
    return found
