"""What a task is: Python objects -> rows of ids, and arrays of numbers -> Python objects. It knows no framework.

encode      examples -> for each its rows, and what is needed to read the outputs
(forward)   somebody else runs the rows
decode      the outputs of the rows of one example -> its answer, or further rows, where the answer takes another forward
labels      an example and its true answer -> its rows with the labels that training takes
score       answers and true answers -> metrics
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Array, Grain, Row
from bertkit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast

    Tokenizer = BertTokenizer | BertTokenizerFast

OnLong = Literal["truncate", "window", "error"]
Outputs = Sequence[Mapping[str, Array]]
"""What the model said of each row of an example."""

ALIASES = {"stride": "overlap", "doc_stride": "overlap"}
_IDLE = ("padding", "pad_to_multiple_of", "return_tensors", "return_attention_mask", "return_token_type_ids", "verbose")
"""Options of a tokenizer that change nothing where no rectangle is built."""


@dataclass(frozen=True)
class Options:
    """What every task can be asked for."""

    on_long: OnLong = "truncate"  # what becomes of a text that is longer than the model takes
    overlap: int | None = None  # tokens that neighbouring windows share
    max_length: int | None = None  # tokens of a row, special ones included; None: what the model takes
    add_special_tokens: bool = True
    details: bool = False  # say what was done with each text

    def __post_init__(self) -> None:
        one_of("on_long", self.on_long, ("truncate", "window", "error"))
        whole("overlap", self.overlap, least=0, none=True)
        whole("max_length", self.max_length, least=1, none=True)
        for field in fields(self):
            if field.type in ("bool", "bool | None"):
                flag(field.name, getattr(self, field.name), none=field.type != "bool")


O = TypeVar("O", bound=Options)  # noqa: E741


class Told(NamedTuple):
    """What was done with a text."""

    truncated: bool  # whether something of it was left out
    windows: int  # the rows that were made of it
    n_tokens: int  # of the whole of it, special tokens included
    left_out: int = 0  # how many of them no row has


@dataclass
class Encoded:
    """An example as rows, with what decoding needs to know."""

    rows: list[Row]
    told: Told
    memory: Any = None


class Task(ABC, Generic[O]):
    """One thing that a BERT can be used for."""

    name: ClassVar[str]
    head: ClassVar[str]  # of the class that it takes: "Bert" + head
    takes: ClassVar[str]  # what an example is, for errors
    options_type: type[O]
    reads_all: ClassVar[str] = 'on_long="window"'  # what to type so that nothing is cut

    def __init__(self, tokenizer: Tokenizer, config: BertConfig) -> None:
        self.tokenizer, self.config = tokenizer, config

    @abstractmethod
    def encode(self, examples: Sequence[Any], options: O) -> list[Encoded]:
        """The rows of each example. All are encoded at once, as that is faster."""

    @abstractmethod
    def wanted(self, options: O) -> dict[str, Grain]:
        """The outputs that `decode` reads, and what each has an entry for: a row, a token or a place."""

    @abstractmethod
    def decode(self, encoded: Encoded, outputs: Outputs, options: O) -> Any:
        """The answer to an example, or an Encoded whose rows are still to be run."""

    def labels(self, example: Any, answer: Any, options: O) -> list[Row]:
        """The rows of an example with the labels that its true answer gives them."""
        raise UsageError(f"{self.name} has nothing to train: it uses what other tasks have learned.")

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How good answers are, by name of the metric."""
        raise UsageError(f"{self.name} has no true answers to compare with.")

    @classmethod
    def options(cls, given: Mapping[str, Any]) -> O:
        """The options of a call, checked. `stride` and `doc_stride` are other names of `overlap`."""
        return cls.options_type(**cls.check(given))

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options under our names; an error for a name that there is not."""
        known = {field.name for field in fields(cls.options_type)}
        values: dict[str, Any] = {}
        for name, value in cls.translate(given).items():
            own = ALIASES.get(name, name)
            if own not in known:
                near = did_you_mean(name, [*known, *ALIASES])
                raise UsageError(
                    f"{cls.name} has no option {name!r}.{near or ' It has ' + ', '.join(sorted(known)) + '.'}"
                )
            if own in values:
                raise UsageError(f"{own} came twice, as {name!r} is another name of it: leave one of them out.")
            values[own] = value
        return values

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Options under the names that other libraries use -> ours."""
        return given

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """The arguments of a call -> (an example or an iterable of them, whether it is one example).

        What is no option is taken out of `given`.
        """
        name = next((name for name in ("inputs", "text", "texts", "text_inputs") if name in given), None)
        if len(args) + (name is not None) != 1:
            raise UsageError(f"{self.name} takes one argument and options: {self.takes}, or a list or stream of them.")
        inputs = args[0] if name is None else given.pop(name)
        return inputs, self.is_one(inputs, given)

    def is_one(self, inputs: Any, given: Mapping[str, Any]) -> bool:
        """Whether the argument of a call is one example rather than several."""
        return isinstance(inputs, (str, dict))

    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """The answer to a call from the answer to its one example, or from the list of answers to its list."""
        return answers

    @property
    def max_length(self) -> int:
        """The most tokens that the model takes."""
        return min(self.tokenizer.model_max_length, self.config.max_position_embeddings)

    def row_length(self, options: Options) -> int:
        """The most tokens of a row."""
        return self.max_length if options.max_length is None else min(options.max_length, self.max_length)


def with_tokenizer_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """`truncation=True` and the like, as other pipelines pass them to the tokenizer -> our options."""
    found = {name: value for name, value in given.items() if name not in _IDLE}
    if "truncation" in found:
        cut = found.pop("truncation")
        if cut not in (False, None, "do_not_truncate"):
            found.setdefault("on_long", "truncate")
    return found


def told(options: O, **changes: Any) -> O:
    """The same options with some changed."""
    return replace(options, **changes)


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Refuse a value that is none of those known."""
    if value not in known or isinstance(value, bool):
        near = did_you_mean(value, [word for word in known if isinstance(word, str)]) if isinstance(value, str) else ""
        raise UsageError(f"{name}={value!r} is none of {', '.join(map(repr, known))}.{near}")


def whole(name: str, value: object, least: int, none: bool = False) -> None:
    """Refuse what is no whole number, or is too small."""
    if (value is None and none) or (type(value) is int and value >= least):
        return
    raise UsageError(f"{name}={value!r} is no whole number from {least} on: type {name}={max(least, 1)}, say.")


def flag(name: str, value: object, none: bool = False) -> None:
    """Refuse what is neither true nor false."""
    if not (isinstance(value, (bool, np.bool_)) or (value is None and none)):
        raise UsageError(f"{name}={value!r} is neither true nor false: type {name}=True, or leave it out.")


def listed(name: str, value: object, such_as: str) -> None:
    """Refuse what is no list of words."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise UsageError(f"{name}={value!r} is no list: type {[value] if isinstance(value, str) else such_as}.")


def taken_out(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options that come in a dictionary of their own, such as `tokenizer_kwargs`."""
    found = given.pop(name, None)
    if found is not None and not isinstance(found, Mapping):
        raise UsageError(f"{name}={found!r} is no dictionary of options: leave it out.")
    return dict(found or {})


def text_of(example: Any, task: str, key: str = "text") -> str:
    """The text of an example: a string, or the one under "text" of a dictionary."""
    value = example.get(key) if isinstance(example, Mapping) else example
    if isinstance(value, str):
        return value
    raise UsageError(f"{task} takes a text, or {{{key!r}: a text}}, and {shown(example)} came.")


def shown(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
