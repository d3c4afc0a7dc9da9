"""The options of a pretraining run: arguments of `bertkit.pretrain`, and options of the command."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from bertkit.arguments import Also
from bertkit.errors import Setting, UsageError, received
from bertkit.training.clock import seconds_of
from bertkit.training.options import SharedOptimization, SharedRun, SharedSettings


@dataclass(frozen=True, kw_only=True)
class ExampleOptions:
    """examples"""

    examples: Annotated[
        Literal["pairs", "sentences"],
        "pairs of texts with next sentence prediction, or full sentences with masked words only",
    ] = "pairs"
    masking: Annotated[Literal["words", "tokens", "spans"], "what is masked together"] = "words"
    max_length: Annotated[int, "maximum tokens of an example", Also("max-seq-length")] = 128
    short_length: Annotated[
        int | None, "maximum tokens of an example in the first part of the run (default: max_length)"
    ] = None
    short_steps: Annotated[float, "share of the run that has the short examples"] = 0.9
    short_seq_prob: Annotated[float, "share of the pairs that get a random length, up to the maximum"] = 0.1
    mask_share: Annotated[float, "share of the tokens to predict", Also("masked-lm-prob", "mlm-probability")] = 0.15
    eval_share: Annotated[float | None, "share of the documents that is held out for evaluation"] = None
    eval_examples: Annotated[int, "maximum examples of an evaluation"] = 1000


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """teacher"""

    teacher: Annotated[str | None, "directory or Hub id of a sentence encoder, whose vectors of texts are learnt"] = (
        None
    )
    teacher_weight: Annotated[float, "factor of the distance to the teacher in the loss"] = 1.0
    teacher_vectors: Annotated[
        str | None, "directory of the teacher's vectors, which several runs may share (default: vectors/ in --out)"
    ] = None
    teacher_documents: Annotated[int | None, "number of first documents that have vectors (default: all)"] = None


@dataclass(frozen=True, kw_only=True)
class PretrainingOptimization(SharedOptimization):
    """optimization"""

    epochs: Annotated[
        float | None,
        "passes over the shards (default: 1; with a time budget, as many as it allows)",
        Also("num-train-epochs"),
    ] = None
    time_budget: Annotated[
        str | float | None, "time in which the run ends, with its evaluations: 3h, 90min, or seconds"
    ] = None
    batch_size: Annotated[
        int, "examples of each step, on all processes together", Also("train-batch-size", "per-device-train-batch-size")
    ] = 256
    lr: Annotated[float, "highest learning rate", Also("learning-rate")] = 1e-4
    warmup: Annotated[
        float,
        "steps in which the learning rate rises: their number, or below 1 their share",
        Also("warmup-proportion", "warmup-ratio", "warmup-steps", "num-warmup-steps"),
    ] = 0.01


@dataclass(frozen=True, kw_only=True)
class PretrainingRun(SharedRun):
    """run"""

    config: Annotated[
        str | None,
        "size of a new model: tiny, mini, small, medium, base, large, or the path of a configuration",
        Also("bert-config-file"),
    ] = None
    tokenizer: Annotated[
        str | None, "path or Hub id of the tokenizer (default: the one with the shards)", Also("vocab-file")
    ] = None
    start: Annotated[
        Literal["nearby", "random"] | None,
        "initial weights of a new model: heads of the first layer attend to nearby tokens, or all weights are random "
        "(default: nearby, if the model has embeddings of positions)",
    ] = None
    eval_steps: Annotated[
        int | None, "steps between evaluations (default: one epoch, with a time budget a tenth of the run)"
    ] = None
    save_steps: Annotated[int | None, "steps between checkpoints", Also("save-checkpoints-steps")] = 1000


PRETRAINING_GROUPS = (ExampleOptions, TeacherOptions, PretrainingOptimization, PretrainingRun)


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings(ExampleOptions, TeacherOptions, PretrainingOptimization, PretrainingRun, SharedSettings):
    """All options of a pretraining run, checked.

    >>> PretrainingSettings(data="shards", config="tiny", time_budget="1h").seconds
    3600.0
    """

    data: str
    model: str | None = None
    eval: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.model is None) == (self.config is None):
            given = "both" if self.model else "neither"
            advice = (Setting("config", "mini"), " for a new model, or ", Setting("model", "..."))
            raise UsageError(f"pretrain needs either config or model, and received {given}: type ", *advice, ".")
        if self.model is not None and self.start is not None:
            raise UsageError(received("start", self.start), " has no effect on a trained model: leave it out.")
        self._check_examples()
        self._check_teacher()
        self._check_evaluation()
        if self.seconds is not None and self.warmup >= 1:
            reason = " is a number of steps, which a run with a time budget does not know: type a share, for example "
            raise UsageError(received("warmup", self.warmup), reason, Setting("warmup", 0.01), ".")

    def _check_examples(self) -> None:
        """Raise UsageError for invalid options of the examples."""
        self._require("mask_share", 0 < self.mask_share < 1, "between 0 and 1")
        self._require("short_seq_prob", 0 <= self.short_seq_prob <= 1, "from 0 to 1", 0.1)
        if self.examples != "pairs" and self.short_seq_prob != ExampleOptions.short_seq_prob:
            given = received("short_seq_prob", self.short_seq_prob)
            raise UsageError(given, " is for pairs: type ", Setting("examples", "pairs"), ", or leave it out.")
        self._require("short_steps", 0 < self.short_steps < 1, "between 0 and 1")
        least, short = 5 if self.examples == "pairs" else 3, self.short_length
        self._require("max_length", self.max_length >= least, f"at least {least}")
        accepted = f"at least {least} and below max_length ({self.max_length})"
        example = max(self.max_length // 2, least)
        self._require("short_length", short is None or least <= short < self.max_length, accepted, example)
        if short is None and self.short_steps != ExampleOptions.short_steps:
            given = received("short_steps", self.short_steps)
            raise UsageError(given, " has no effect without short_length: leave it out.")

    def _check_teacher(self) -> None:
        """Raise UsageError for invalid options of the teacher."""
        count = self.teacher_documents
        self._require("teacher_weight", 0 < self.teacher_weight < math.inf, "a number above 0", 1.0)
        self._require("teacher_documents", count is None or count >= 1, "at least 1", 1000)
        for name in ("teacher_weight", "teacher_vectors", "teacher_documents"):
            if self.teacher is None and getattr(self, name) != getattr(TeacherOptions, name):
                advice = (Setting("teacher", "..."), f", or leave {name} out.")
                raise UsageError(received(name, getattr(self, name)), " needs a teacher: type ", *advice)

    def _check_evaluation(self) -> None:
        """Raise UsageError for invalid options of the evaluation."""
        share = self.eval_share
        self._require("eval_examples", self.eval_examples >= 1, "at least 1")
        self._require("eval_share", share is None or 0 < share < 1, "between 0 and 1", 0.01)
        if self.eval is not None and share is not None:
            raise UsageError(received("eval_share", share), " has no effect with eval: leave one of them out.")
        if self.eval is not None or share is not None:
            return
        for name in ("eval_steps", "patience", "eval_examples"):
            if getattr(self, name) != getattr(PretrainingSettings, name):
                advice = (Setting("eval_share", 0.01), ", or ", Setting("eval", "..."), ".")
                raise UsageError(received(name, getattr(self, name)), " needs held-out documents: type ", *advice)

    @property
    def seconds(self) -> float | None:
        """The time budget in seconds."""
        return None if self.time_budget is None else seconds_of(self.time_budget)
