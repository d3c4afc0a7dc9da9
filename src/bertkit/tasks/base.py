"""The base class of tasks. A task turns Python objects into rows of ids, and outputs into Python objects, without a framework.

encode      examples -> the rows of each example, with the data that `decode` needs
(forward)   an engine runs the rows
decode      the outputs for the rows of one example -> its answer, or further rows that need another forward
targets     examples and their true answers -> rows with the labels for training; only tasks that can be trained have it
measured    answers and true answers -> a metric, of which `score` returns the scores
prediction  an answer and the true answer -> both as a line of a predictions file
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Row
from bertkit.errors import Setting, UsageError, described, did_you_mean, one_of, received
from bertkit.heads import Ask
from bertkit.tensors import Array

if TYPE_CHECKING:
    from bertkit.hub import Place
    from bertkit.metrics.weighted import WeightedMetric
    from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast

    Tokenizer = BertTokenizer | BertTokenizerFast

OnLong = Literal["truncate", "window", "error"]
Outputs = Sequence[Mapping[str, Array]]
"""The model's outputs for each row of an example."""


@dataclass(frozen=True)
class TaskOptions:
    """The options of every task."""

    on_long: OnLong = "truncate"  # what to do with a text that is longer than the model's maximum
    overlap: int | None = None  # tokens that neighbouring windows share
    max_length: int | None = None  # tokens of a row, with special tokens; None: the model's maximum
    add_special_tokens: bool = True
    details: bool = False  # also return the Reading of each text

    def __post_init__(self) -> None:
        one_of("on_long", self.on_long, ("truncate", "window", "error"))
        check_integer("overlap", self.overlap, least=0, none=True)
        check_integer("max_length", self.max_length, least=1, none=True)
        for field in fields(self):
            if field.type in ("bool", "bool | None"):
                check_boolean(field.name, getattr(self, field.name), none=field.type != "bool")


O = TypeVar("O", bound=TaskOptions)  # noqa: E741


class Reading(NamedTuple):
    """How a text was split into rows."""

    truncated: bool  # whether some tokens were left out
    windows: int  # number of rows
    n_tokens: int  # of the whole text, with special tokens
    left_out: int = 0  # number of tokens that are in no row


class Prediction(NamedTuple):
    """An answer in a short form, and the true answer in the same form."""

    truth: Any
    answer: Any
    score: float | None = None  # the probability of the answer
    correct: bool | None = None  # None: an answer is neither correct nor wrong, as for regression
    scores: dict[str, float] | None = None  # label -> probability


@dataclass
class Encoded:
    """An encoded example."""

    rows: list[Row]
    reading: Reading
    memory: Any = None  # the data that `decode` needs


class Task(ABC, Generic[O]):
    """The base class of tasks."""

    name: ClassVar[str]
    head: ClassVar[str]  # the task needs the class "Bert" + head
    takes: ClassVar[str]  # the form of an example, for error messages
    options_type: type[O]
    writes: ClassVar[bool] = False  # whether the engine writes new words
    reads_all: ClassVar[tuple[object, ...]] = (Setting("on_long", "window"),)  # what to type to keep all tokens

    def __init__(self, tokenizer: Tokenizer, config: BertConfig, place: Place | None = None) -> None:
        self.check_config(config)
        self.tokenizer, self.config = tokenizer, config
        self.place = place  # where the model's files are, for tasks that read further files

    @classmethod
    def check_config(cls, config: BertConfig) -> None:
        """Raise UsageError if a model with this configuration cannot do the task."""

    @abstractmethod
    def encode(self, examples: Sequence[Any], options: O) -> list[Encoded]:
        """Return the rows of each example. Encoding many examples in one call is faster."""

    @abstractmethod
    def wanted(self, options: O) -> Ask:
        """Return which outputs of the model `decode` needs."""

    @abstractmethod
    def decode(self, encoded: Encoded, outputs: Outputs, options: O) -> Any:
        """Return the answer for an example, or an Encoded with further rows to run."""

    def has_large_answers(self, options: O) -> bool:
        """Return whether an answer takes thousands of times more memory or time than its text."""
        return False

    @staticmethod
    def has_vectors(options: O) -> bool:
        """Return whether an answer is one vector."""
        return False

    def score(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> dict[str, float]:
        """Return the scores of answers, by name. The arguments are those of `measured`."""
        if len(answers) != len(truths):
            raise UsageError(f"{len(answers)} answers and {len(truths)} true answers were passed: pass one for each.")
        return self.measured(answers, truths, average).compute()

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the metric of answers.

        Args:
            answers: answers of the pipeline with `evaluation_options`.
            truths: the true answers.
            average: how to combine the scores of classes; None: as is usual for the task.
        """
        raise UsageError(f"{self.name} cannot be evaluated: it has no true answers.")

    def evaluation_options(self, truths: Sequence[Any]) -> dict[str, Any]:
        """Return the options of a call whose answers `measured` takes."""
        return {}

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return an answer and the true answer in a short form."""
        raise UsageError(f"{self.name} cannot be evaluated: it has no predictions file.")

    def save(self, folder: Path, options: O) -> None:
        """Write the files that a pipeline for the task reads besides those of the model and the tokenizer.

        Args:
            folder: the folder of a saved model.
            options: the options with which the model was trained.
        """

    def label_numbers(self) -> Mapping[str, int]:
        """Return the labels that true answers may have, with their numbers; empty if true answers are not labels."""
        return {}

    @classmethod
    def options(cls, given: Mapping[str, Any]) -> O:
        """Return the checked options."""
        cls.check(given)
        return cls.options_type(**given)

    @classmethod
    def check(cls, names: Iterable[str]) -> None:
        """Raise UsageError for an unknown option."""
        known = [field.name for field in fields(cls.options_type)]
        for name in names:
            if name not in known:
                near = did_you_mean(name, known) or f" Its options are {', '.join(sorted(known))}."
                raise UsageError(f"{cls.name} has no option {name!r}.{near}")

    def row_length(self, options: TaskOptions) -> int:
        """Return the maximum number of tokens in a row."""
        most = min(self.tokenizer.model_max_length, self.config.max_position_embeddings)
        return most if options.max_length is None else min(options.max_length, most)


def joined(parts: Sequence[Encoded], memory: Any) -> Encoded:
    """Join the rows of several texts to one example, with the Reading of the longest text."""
    longest = max(parts, key=lambda part: part.reading.n_tokens).reading
    left_out = max(part.reading.left_out for part in parts)
    reading = longest._replace(truncated=left_out > 0, left_out=left_out)
    return Encoded([row for part in parts for row in part.rows], reading, memory)


def refuse_average(task: str, average: str | None) -> None:
    """Raise UsageError if a task whose scores are not per class gets an average."""
    if average is not None:
        raise UsageError(received("average", average), f" has no effect for {task}: leave it out.")


def check_integer(name: str, value: object, least: int, none: bool = False) -> None:
    """Raise UsageError if a value is not an integer of at least `least`. With `none`, None is also valid."""
    if (value is None and none) or (type(value) is int and value >= least):
        return
    advice = Setting(name, max(least, 1))
    raise UsageError(received(name, value), f" is not an integer of at least {least}: type for example ", advice, ".")


def check_boolean(name: str, value: object, none: bool = False) -> None:
    """Raise UsageError if a value is neither True nor False. With `none`, None is also valid."""
    if not (isinstance(value, (bool, np.bool_)) or (value is None and none)):
        raise UsageError(received(name, value), " is not a boolean: type ", Setting(name, True), ", or leave it out.")


def check_list(name: str, value: object, example: str) -> None:
    """Raise UsageError if a value is not a list of strings."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        advice = [value] if isinstance(value, str) else example
        raise UsageError(received(name, value), " is not a list: type ", Setting(name, advice), ".")


def text_of(example: Any, task: str) -> str:
    """Return the text of an example: the example itself, or its value under "text"."""
    value = example.get("text") if isinstance(example, Mapping) else example
    if isinstance(value, str):
        return value
    raise UsageError(f"{task} takes a text, or {{'text': a text}}, not {described(example)}.")
