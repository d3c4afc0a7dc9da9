"""What a task is: Python objects -> rows of ids, and arrays of numbers -> Python objects. It knows no framework.

encode      examples -> for each its rows, and what is needed to read the outputs
(forward)   an engine runs the rows
decode      the outputs of the rows of one example -> its answer, or further rows, where the answer takes another forward
targets     examples and their true answers -> their rows with the targets of training; only tasks that can be trained have it
score       answers and true answers -> metrics
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Row
from bertkit.errors import Setting, UsageError, described, did_you_mean, one_of, received
from bertkit.heads import Ask
from bertkit.tensors import Array

if TYPE_CHECKING:
    from bertkit.hub import Place
    from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast

    Tokenizer = BertTokenizer | BertTokenizerFast

OnLong = Literal["truncate", "window", "error"]
Outputs = Sequence[Mapping[str, Array]]
"""The outputs of the model for each row of an example."""


@dataclass(frozen=True)
class TaskOptions:
    """The options of every task."""

    on_long: OnLong = "truncate"  # what to do with a text that is longer than the model takes
    overlap: int | None = None  # tokens that neighbouring windows share
    max_length: int | None = None  # tokens of a row, special ones included; None: what the model takes
    add_special_tokens: bool = True
    details: bool = False  # return how each text was read, too

    def __post_init__(self) -> None:
        one_of("on_long", self.on_long, ("truncate", "window", "error"))
        whole("overlap", self.overlap, least=0, none=True)
        whole("max_length", self.max_length, least=1, none=True)
        for field in fields(self):
            if field.type in ("bool", "bool | None"):
                flag(field.name, getattr(self, field.name), none=field.type != "bool")


O = TypeVar("O", bound=TaskOptions)  # noqa: E741


class Reading(NamedTuple):
    """How a text was read."""

    truncated: bool  # whether some of it was left out
    windows: int  # how many rows it has
    n_tokens: int  # of the whole text, special tokens included
    left_out: int = 0  # how many of them are in no row


@dataclass
class Encoded:
    """An example as rows."""

    rows: list[Row]
    reading: Reading
    memory: Any = None  # what `decode` needs to know


class Task(ABC, Generic[O]):
    """One use of a BERT."""

    name: ClassVar[str]
    head: ClassVar[str]  # of the class that it needs: "Bert" + head
    takes: ClassVar[str]  # what an example is, for errors
    options_type: type[O]
    reads_all: ClassVar[tuple[object, ...]] = (Setting("on_long", "window"),)  # what to type so that nothing is cut

    def __init__(self, tokenizer: Tokenizer, config: BertConfig, place: Place | None = None) -> None:
        self.check_config(config)
        self.tokenizer, self.config = tokenizer, config
        self.place = place  # of the model, where it has further files for the task

    @classmethod
    def check_config(cls, config: BertConfig) -> None:
        """Raises UsageError if a model of this configuration cannot do the task."""

    @abstractmethod
    def encode(self, examples: Sequence[Any], options: O) -> list[Encoded]:
        """The rows of each example. All examples are encoded at once, which is faster."""

    @abstractmethod
    def wanted(self, options: O) -> Ask:
        """The outputs that `decode` reads, by the names of the class `head`."""

    @abstractmethod
    def decode(self, encoded: Encoded, outputs: Outputs, options: O) -> Any:
        """The answer to an example, or an Encoded with further rows to run."""

    def has_large_answers(self, options: O) -> bool:
        """Whether an answer takes thousands of times more memory than its text."""
        return False

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How good answers are, by name of the metric."""
        raise UsageError(f"{self.name} has no true answers to compare with.")

    @classmethod
    def options(cls, given: Mapping[str, Any]) -> O:
        """Options by name -> checked options."""
        cls.check(given)
        return cls.options_type(**given)

    @classmethod
    def check(cls, names: Iterable[str]) -> None:
        """Raises UsageError for a name that no option of the task has."""
        known = [field.name for field in fields(cls.options_type)]
        for name in names:
            if name not in known:
                near = did_you_mean(name, known) or f" It has {', '.join(sorted(known))}."
                raise UsageError(f"{cls.name} has no option {name!r}.{near}")

    def row_length(self, options: TaskOptions) -> int:
        """The most tokens of a row."""
        most = min(self.tokenizer.model_max_length, self.config.max_position_embeddings)
        return most if options.max_length is None else min(options.max_length, most)


def together(parts: Sequence[Encoded], memory: Any) -> Encoded:
    """The rows of several texts as those of one example, read as the longest of them was."""
    longest = max(parts, key=lambda part: part.reading.n_tokens).reading
    left_out = max(part.reading.left_out for part in parts)
    reading = longest._replace(truncated=left_out > 0, left_out=left_out)
    return Encoded([row for part in parts for row in part.rows], reading, memory)


def whole(name: str, value: object, least: int, none: bool = False) -> None:
    """Raises UsageError if a value is not an integer of at least `least`; with `none`, None is valid too."""
    if (value is None and none) or (type(value) is int and value >= least):
        return
    advice = Setting(name, max(least, 1))
    raise UsageError(received(name, value), f" is not an integer of at least {least}: type for example ", advice, ".")


def flag(name: str, value: object, none: bool = False) -> None:
    """Raises UsageError if a value is neither True nor False; with `none`, None is valid too."""
    if not (isinstance(value, (bool, np.bool_)) or (value is None and none)):
        raise UsageError(received(name, value), " is not a boolean: type ", Setting(name, True), ", or leave it out.")


def listed(name: str, value: object, such_as: str) -> None:
    """Raises UsageError if a value is not a list of words."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        advice = [value] if isinstance(value, str) else such_as
        raise UsageError(received(name, value), " is not a list: type ", Setting(name, advice), ".")


def text_of(example: Any, task: str) -> str:
    """The text of an example: a string, or the one under "text" of a dictionary."""
    value = example.get("text") if isinstance(example, Mapping) else example
    if isinstance(value, str):
        return value
    raise UsageError(f"{task} takes a text, or {{'text': a text}}, not {described(example)}.")
