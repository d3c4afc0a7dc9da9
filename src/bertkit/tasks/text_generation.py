"""Text-generation: the beginning of a text -> the text with its continuation, by a decoder.

A prompt that leaves no room for new words loses its first tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit.data.batches import Row
from bertkit.errors import OptionError, Setting, UsageError, received
from bertkit.tasks.base import Encoded, Reading, TaskOptions, text_of
from bertkit.tasks.windows import encode_whole
from bertkit.tasks.writing import WritingOptions, WritingTask


@dataclass(frozen=True)
class ContinuingOptions(WritingOptions):
    """The options of text-generation."""

    clean_up_tokenization_spaces: bool = True
    return_full_text: bool = True  # the prompt with its continuation
    skip_special_tokens: bool = True  # leave [SEP] and the like out of the text


@dataclass(frozen=True)
class _Prompt:
    text: str
    ids: list[int]


class TextGeneration(WritingTask[ContinuingOptions]):
    """text-generation."""

    name = "text-generation"
    head = "LMHeadModel"
    takes = "the beginning of a text"
    result = "generated"
    options_type = ContinuingOptions
    usual = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}  # noqa: RUF012
    reads_all = (Setting("max_new_tokens", 20), ", or another small number,")

    def row_length(self, options: TaskOptions) -> int:
        """Return the maximum number of tokens of a prompt: the positions without those for new words."""
        assert isinstance(options, ContinuingOptions)
        positions = min(self.tokenizer.model_max_length, self.config.max_position_embeddings)
        new = options.settings.get("max_new_tokens")
        room: int = positions - (min(self.usual["max_new_tokens"], positions // 2) if new is None else new)
        if room < 1:
            raise OptionError(
                received("max_new_tokens", new),
                f" leaves no room for a prompt, as the model has {positions} positions: type ",
                Setting("max_new_tokens", positions // 2),
                ", or less.",
            )
        return room

    def encode(self, examples: Sequence[Any], options: ContinuingOptions) -> list[Encoded]:
        """Return one row for each prompt."""
        if options.on_long == "window" or options.overlap is not None:
            raise UsageError(
                f"{self.name} continues the end of a prompt, and reads no windows: leave on_long and overlap out."
            )
        texts, most = [text_of(example, self.name) for example in examples], self.row_length(options)
        whole = encode_whole(self.tokenizer, [options.prefix + text for text in texts], options.add_special_tokens)
        return [_cut(text, one.ids, most, options) for text, one in zip(texts, whole, strict=True)]

    def text(self, words: Sequence[list[int]], encoded: Encoded, options: ContinuingOptions) -> str:
        """Return the prompt as it was typed, and the new part of the decoded text."""
        special, prompt = options.skip_special_tokens, encoded.memory
        new = self.spelled(words[0], options, special)[len(self.spelled(prompt.ids, options, special)) :]
        return prompt.text + new if options.return_full_text else new


def _cut(text: str, ids: Any, most: int, options: ContinuingOptions) -> Encoded:
    """Return the last tokens of a prompt as a row."""
    total = len(ids)
    if not total:
        raise UsageError("The text has no tokens: type more text, or ", Setting("add_special_tokens", True), ".")
    most_words = options.max_length if options.settings.get("max_new_tokens") is None else None
    if most_words is not None and min(total, most) >= most_words:
        raise UsageError(
            f"The prompt has {total} tokens, and max_length={most_words} leaves no room for new words: type ",
            Setting("max_new_tokens", 20),
            ", or a larger max_length.",
        )
    if total > most and options.on_long == "error":
        raise UsageError(
            f"The prompt has {total} tokens, and there is room for {most}: type ",
            Setting("on_long", "truncate"),
            " to leave out its first tokens, or a smaller ",
            Setting("max_new_tokens", 20),
            ".",
        )
    kept = ids[-most:]
    reading = Reading(total > most, 1, total, total - len(kept))
    return Encoded([Row(kept, np.zeros(len(kept), np.int64))], reading, _Prompt(text, kept.tolist()))
