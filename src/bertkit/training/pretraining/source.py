"""The examples of shards as the batches of the loop. Each example is made when it is needed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from bertkit.data.batches import Batch
from bertkit.data.pretraining import FullSentences, Masking, SentencePairs
from bertkit.data.pretraining.epoch import Epoch
from bertkit.data.pretraining.masks import OfSpans
from bertkit.data.shards import Shards
from bertkit.errors import Setting, UsageError
from bertkit.training.batches import batches_of
from bertkit.training.pretraining.options import PretrainingSettings
from bertkit.training.sources import Position, Source


class Examples(Protocol):
    """`SentencePairs` or `FullSentences`."""

    def epoch(self, number: int) -> Epoch:
        """Return the examples of an epoch."""


def examples_of(
    shards: Shards,
    settings: PretrainingSettings,
    max_length: int,
    seed: int | None = None,
    of_spans: OfSpans | None = None,
) -> Examples:
    """Return the examples that the settings describe, with further targets from `of_spans`."""
    if settings.examples == "pairs" and len(shards) < 2:
        raise UsageError(
            f"{shards.folder} has one document, but half of the pairs need a text from another document: separate documents by "
            "empty lines, or type ", Setting("examples", "sentences"), ".",
        )  # fmt: skip
    seed = settings.seed if seed is None else seed
    masking = Masking(settings.masking, settings.mask_share)
    if settings.examples == "pairs":
        return SentencePairs(shards, max_length, seed, settings.short_seq_prob, masking, of_spans)
    return FullSentences(shards, max_length, seed, masking=masking, of_spans=of_spans)


class ShardSource(Source):
    """Examples from shards. With `short_length`, the first part of the run has short ones.

    Epochs of a part have the same number of steps, that of its first epoch. Sentence pairs are drawn anew in each epoch, so that
    their number differs a little: if an epoch has more, the last ones are left out; if it has fewer, some are read again.

    Args:
        shards: the documents.
        settings: the options of the run.
        of_spans: returns further targets of a row from its texts, for example vectors of a teacher.
    """

    def __init__(self, shards: Shards, settings: PretrainingSettings, of_spans: OfSpans | None = None) -> None:
        super().__init__(settings)
        self.shards, self.settings = shards, settings
        short = settings.short_length
        lengths = (settings.max_length,) if short is None else (short, settings.max_length)
        self.parts = [examples_of(shards, settings, length, of_spans=of_spans) for length in lengths]
        self._ends = [settings.short_steps, 1.0][2 - len(lengths) :]  # progress at the end of each part
        self._epoch: tuple[tuple[int, int], Epoch] | None = None
        counts = [len(part.epoch(0)) for part in self.parts]
        if not min(counts):
            raise UsageError(f"{shards.folder} has no examples to train on: prepare more text.")
        self._steps = [max(count // self.per_step, 1) for count in counts]
        self.total_steps = self._total()

    def _total(self) -> int | None:
        """Return the number of steps in which the parts together make as many passes as `epochs` says."""
        settings = self.settings
        if settings.max_steps is not None or (settings.epochs is None and settings.seconds is not None):
            return settings.max_steps
        shares = [end - start for start, end in zip([0.0, *self._ends], self._ends, strict=False)]
        of_step = sum(share / steps for share, steps in zip(shares, self._steps, strict=True))  # epochs
        return max(1, math.ceil((settings.epochs or 1.0) / of_step - 1e-6))

    def steps_per_epoch(self, part: int = 0) -> int:
        """Return the number of steps of each epoch in a part of the run."""
        return self._steps[part]

    def numbers(self, position: Position) -> list[int]:
        """Return the numbers of the examples of the next step."""
        count, start = len(self._examples(position)), position.at * self.per_step
        return [number % count for number in range(start, start + min(self.per_step, count))]

    def batches(self, position: Position, numbers: Sequence[int]) -> list[Batch]:
        """Return packed batches of some examples of the next step."""
        epoch = self._examples(position)
        return batches_of([[epoch[number]] for number in numbers], self.settings.batch_tokens)

    def _examples(self, position: Position) -> Epoch:
        """Return the examples of an epoch, whose plan is kept until the next one."""
        key = (position.part, position.epoch)
        if self._epoch is None or self._epoch[0] != key:
            self._epoch = (key, self.parts[position.part].epoch(position.epoch))
        return self._epoch[1]

    def after(self, position: Position, progress: float) -> Position:
        """Return the position after a step. A new part starts a new epoch."""
        following = super().after(position, progress)
        if position.part + 1 < len(self.parts) and progress >= self._ends[position.part]:
            return replace(following, epoch=position.epoch + 1, at=0, part=position.part + 1)
        return following

    def check(self, position: Position) -> None:
        """Raise ValueError for a position that this run does not have."""
        numbers = (position.step, position.epoch, position.at, position.part)
        if any(type(number) is not int or number < 0 for number in numbers) or position.part >= len(self.parts):
            raise ValueError("its position is not one of this run")
        if position.at >= self._steps[position.part] or position.at > position.step or position.epoch > position.step:
            raise ValueError("its epoch does not fit its step")

    def fingerprint(self) -> str:
        """Return a hash of the shards, and of the options on which the examples and their order depend."""
        sums = "".join(file.entry.sha256 for file in self.shards.files)
        names = (
            "seed",
            "batch_size",
            "accumulate",
            "examples",
            "short_seq_prob",
            "masking",
            "mask_share",
            "max_length",
        )
        values = [getattr(self.settings, name) for name in (*names, "short_length", "short_steps", "eval_share")]
        return f"{zlib.crc32(sums.encode()):08x}-{len(self.shards)}-{values}-{self.total_steps}"
