"""Text2text-generation: a text -> another one, by an encoder and a decoder.

A text that does not fit into a row is cut into windows between its sentences, if `on_long="window"`. The model answers each
window, and the answers are joined with a space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from bertkit.config.encoder_decoder import EncoderDecoderConfig
from bertkit.data.shards.sentences import split_sentences
from bertkit.errors import UsageError, received
from bertkit.heads import PAIR
from bertkit.tasks.base import Encoded, Reading, TaskOptions, text_of
from bertkit.tasks.windows import encode_texts
from bertkit.tasks.writing import WritingOptions, WritingTask

W = TypeVar("W", bound=WritingOptions)


class Answering(WritingTask[W]):
    """The base class of tasks in which a model reads a text, and writes another one."""

    head = PAIR
    takes = "a text"
    usual = {"max_new_tokens": 256, "num_beams": 4}  # noqa: RUF012

    @classmethod
    def check_config(cls, config: Any) -> None:
        """Raise UsageError for a model that is not an encoder and a decoder."""
        if not isinstance(config, EncoderDecoderConfig):
            raise UsageError(f"{cls.name} needs an {PAIR}, not a {type(config).__name__.removesuffix('Config')}.")

    def row_length(self, options: TaskOptions) -> int:
        """Return the maximum number of tokens that the encoder reads."""
        config: Any = self.config
        return min(self.tokenizer.model_max_length, int(config.encoder.max_position_embeddings))

    def encode(self, examples: Sequence[Any], options: W) -> list[Encoded]:
        """Return one row for each text, or one for each window."""
        if options.overlap is not None:
            raise UsageError(
                received("overlap", options.overlap),
                f" has no effect for {self.name}, whose windows are sentences: leave it out.",
            )
        texts = [text_of(example, self.name) for example in examples]
        most = self.row_length(options)
        cut = options.on_long == "window"
        parts = [list(self._windows(text, options, most)) if cut else [options.prefix + text] for text in texts]
        rows = iter(
            encode_texts(
                self.tokenizer, [part for own in parts for part in own], None, replace(options, overlap=0), most
            )
        )
        return [_joined([next(rows) for _ in own]) for own in parts]

    def _windows(self, text: str, options: W, most: int) -> Iterator[str]:
        """Yield a text, or as many of its sentences as fit into a row at a time, each time after the prefix."""

        def count(part: str) -> int:
            return len(self.tokenizer.engine.ids(part))

        room = (
            most - self.tokenizer.num_special_tokens_to_add(False) * options.add_special_tokens - count(options.prefix)
        )
        if count(text) <= room:
            yield options.prefix + text
            return
        some: list[str] = []
        used = 0
        for sentence in split_sentences(text):
            length = count(sentence)
            if some and used + length > room:
                yield options.prefix + " ".join(some)
                some, used = [], 0
            some, used = [*some, sentence], used + length
        yield options.prefix + " ".join(some)

    def text(self, words: Sequence[list[int]], encoded: Encoded, options: W) -> str:
        """Return the answers to all windows, joined with a space."""
        return " ".join(self.spelled(ids, options) for ids in words)


def _joined(parts: Sequence[Encoded]) -> Encoded:
    """Return the windows of one text as one example."""
    readings = [part.reading for part in parts]
    total = sum(one.n_tokens for one in readings)
    left_out = sum(one.left_out for one in readings)
    rows = [row for part in parts for row in part.rows]
    return Encoded(rows, Reading(left_out > 0, len(rows), total, left_out))


class Text2TextGeneration(Answering[WritingOptions]):
    """text2text-generation."""

    name = "text2text-generation"
    result = "generated"
    options_type = WritingOptions
