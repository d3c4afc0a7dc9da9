"""What the tasks that write have in common: the options, the settings of `generate`, and new words as texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from bertkit.errors import Setting, UsageError, did_you_mean
from bertkit.heads import Ask, Writing
from bertkit.search.settings import GenerationConfig
from bertkit.tasks.base import Encoded, Outputs, Task, TaskOptions, check_integer

_IN_PYTHON = (
    "logits_processor",
    "stopping_criteria",
    "streamer",
    "generation_config",
    "return_dict_in_generate",
    "output_scores",
    "output_logits",
    "assistant_model",
)
SETTINGS = tuple(one.name for one in fields(GenerationConfig) if one.name not in ("others", "max_length", *_IN_PYTHON))
"""The settings of `generate` that a call of a pipeline takes, besides `max_length`."""


@dataclass(frozen=True)
class WritingOptions(TaskOptions):
    """The options of every task that writes. `max_length` is that of `generate`, not of a row."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # of `generate`, such as num_beams
    seed: int | None = None  # of sampling; None: a random one
    prefix: str = ""  # text before each text
    stop_sequence: str | None = None  # a word that ends the text
    return_tensors: bool = False  # ids in place of texts
    clean_up_tokenization_spaces: bool = False  # no space before punctuation

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("seed", self.seed, least=0, none=True)
        if not isinstance(self.prefix, str):
            raise UsageError(f"prefix is {self.prefix!r:.80}, and must be a text.")

    @property
    def generation(self) -> dict[str, Any]:
        """All settings of `generate`."""
        return dict(self.settings) | ({} if self.max_length is None else {"max_length": self.max_length})


W = TypeVar("W", bound=WritingOptions)


class WritingTask(Task[W]):
    """The base class of tasks that write."""

    writes = True
    usual: ClassVar[Mapping[str, Any]]  # settings of `generate` that a call may replace
    result: ClassVar[str]  # the first word of the keys of an answer, as in "generated_text"

    @classmethod
    def check(cls, names: Iterable[str]) -> None:
        """Raise UsageError for an unknown option."""
        own = [one.name for one in fields(cls.options_type)]
        known = sorted({*own, *SETTINGS} - {"settings"})
        for name in names:
            if name in _IN_PYTHON:
                raise UsageError(f"{cls.name} has no option {name}: pass it to the method generate of pipe.model.")
            if name not in own:
                near = did_you_mean(name, known) or f" Its options are {', '.join(known)}."
                raise UsageError(f"{cls.name} has no option {name!r}.{near}")

    def has_large_answers(self, options: W) -> bool:
        """Return True, so that an interrupted job loses few answers, as each takes long."""
        return True

    def wanted(self, options: W) -> Ask:
        """Request new words."""
        padding = self.tokenizer.pad_token_id
        usual = {**self.usual, **({} if padding is None else {"pad_token_id": padding})}
        found = Writing({**options.generation, **self._end(options)}, usual, options.seed)
        GenerationConfig().for_writing(found)  # raises UsageError for an invalid value
        return Ask(writing=found)

    def _end(self, options: W) -> dict[str, Any]:
        """The setting that ends a text at `stop_sequence`."""
        if options.stop_sequence is None:
            return {}
        found = self.tokenizer.engine.ids(options.stop_sequence)
        if len(found) != 1:
            raise UsageError(
                f"stop_sequence is {options.stop_sequence!r:.80}, which has {len(found)} tokens, and must have one: ",
                "type another word, or ",
                Setting("eos_token_id", found[-1] if found else 102),
                " with the id of a token.",
            )
        return {"eos_token_id": found[0]}

    def decode(self, encoded: Encoded, outputs: Outputs, options: W) -> list[dict[str, Any]]:
        """Return `[{"..._text"}]`, or with `return_tensors=True` `[{"..._token_ids"}]`. The texts of several rows are joined."""
        rows = [[ids[ids >= 0].tolist() for ids in output["sequences"]] for output in outputs]
        texts = list(zip(*rows, strict=True))  # for each text that is written, its words in each row
        if options.return_tensors:
            return [{f"{self.result}_token_ids": [one for ids in text for one in ids]} for text in texts]
        return [{f"{self.result}_text": self.text(text, encoded, options)} for text in texts]

    @abstractmethod
    def text(self, words: Sequence[list[int]], encoded: Encoded, options: W) -> str:
        """Return the text of the words that were written for the rows of an example."""

    def spelled(self, words: list[int], options: W, skip_special_tokens: bool = True) -> str:
        """Return words as text."""
        return self.tokenizer.decode(words, skip_special_tokens, options.clean_up_tokenization_spaces)
