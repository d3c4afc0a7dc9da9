"""Token classification: a label for each word, for example named entities or parts of speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import Setting, UsageError, described, one_of, received
from bertkit.heads import IGNORED, Ask
from bertkit.tasks.base import Encoded, OnLong, Outputs, Prediction, Task, TaskOptions, check_list, text_of
from bertkit.tasks.entities import Entity, Tagged, Unit, by_scheme, by_tag, words_of
from bertkit.tasks.numbers import softmax
from bertkit.tasks.training import class_number, with_targets
from bertkit.tasks.transitions import best_path, scheme_for
from bertkit.tasks.windows import Windows, encode_texts, reading_places

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric

Strategy = Literal["none", "simple", "first", "average", "max", "words"]
STRATEGIES = ("none", "simple", "first", "average", "max", "words")


@dataclass(frozen=True)
class TokenClassificationOptions(TaskOptions):
    """The options of token classification."""

    on_long: OnLong = "window"
    aggregation_strategy: Strategy = "none"  # how to group tokens to words and entities
    ignore_labels: Sequence[str] | None = None  # None: ["O"], or no label with the strategy "words"
    constrained: bool = False  # allow only sequences of labels that are valid in BIO or BIOES
    word_from: Literal["tokens", "text"] | None = None  # None: "text" with the strategy "words", otherwise "tokens"
    is_split_into_words: bool = False
    delimiter: str | None = None  # between the words of a list; None: a space
    label_all_tokens: bool = False  # in training, label every token of a word, not only its first

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("aggregation_strategy", self.aggregation_strategy, STRATEGIES)
        if self.word_from is not None:
            one_of("word_from", self.word_from, ("tokens", "text"))
        if self.ignore_labels is not None:
            check_list("ignore_labels", self.ignore_labels, '["O"]')
        if self.delimiter is not None and not isinstance(self.delimiter, str):
            advice = Setting("delimiter", " ")
            raise UsageError(received("delimiter", self.delimiter), " is not a string: type ", advice, ".")


@dataclass(frozen=True)
class _Memory:
    text: str
    word_starts: list[int] | None  # for a list of words, the offset of each word in the text
    word_ends: list[int]
    windows: Windows

    def words(self, truncated: bool) -> range:
        """Return the possible numbers of words in the text. For a truncated text the exact number is unknown."""
        if self.word_starts is not None:
            return range(len(self.word_starts) - 1, len(self.word_starts))
        seen = max((word for window in self.windows for word in window.word_ids if word is not None), default=-1) + 1
        return range(seen, 2**63 if truncated else seen + 1)


class TokenClassification(Task[TokenClassificationOptions]):
    """A text -> its entities, or the labels of its tokens or words."""

    name = "token-classification"
    head = "ForTokenClassification"
    takes = "a text, or a list of words with is_split_into_words=True"
    options_type = TokenClassificationOptions

    def encode(self, examples: Sequence[Any], options: TokenClassificationOptions) -> list[Encoded]:
        """Return the rows of texts. Long texts become several windows."""
        split = options.is_split_into_words
        first = [_words(example) if split else _text(example) for example in examples]
        found = encode_texts(self.tokenizer, first, None, options, self.row_length(options), words=split)
        delimiter = " " if options.delimiter is None else options.delimiter
        for item, source in zip(found, first, strict=True):
            starts, ends = None, []
            if not isinstance(source, str):
                starts = [0]
                for word in source:
                    ends.append(starts[-1] + len(word))
                    starts.append(ends[-1] + len(delimiter))
            text = source if isinstance(source, str) else delimiter.join(source)
            item.memory = _Memory(text, starts, ends, item.memory)
        return found

    def wanted(self, options: TokenClassificationOptions) -> Ask:
        """Request the logits of all labels for each token."""
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: TokenClassificationOptions) -> list[Entity]:
        """Return the entities of a text, or its labelled tokens or words, depending on the strategy."""
        units = self._units(encoded.memory, outputs)
        strategy = options.aggregation_strategy
        if strategy in ("first", "average", "max", "words"):
            units = words_of(units, strategy, self.tokenizer.convert_tokens_to_string)
        tagged = self._tagged(units, options.constrained) if units else []
        if strategy == "words" and encoded.memory.word_starts is not None:
            tagged = sorted(tagged + self._without_tokens(encoded.memory, units), key=lambda one: one[0].number)
        found = self._found(tagged, options)
        if (options.word_from or ("text" if strategy == "words" else "tokens")) == "text":
            for one in found:
                one["word"] = encoded.memory.text[one["start"] : one["end"]]
        return found

    def _tagged(self, units: Sequence[Unit], constrained: bool) -> list[Tagged]:
        """Return the best label of each token or word, and its probability."""
        names = self.config.id2label
        scores = np.stack([unit.scores for unit in units])
        labels = best_path(scores, names) if constrained else scores.argmax(axis=1).tolist()
        chosen = scores[np.arange(len(units)), labels].tolist()
        return [(unit, names[label], score) for unit, label, score in zip(units, labels, chosen, strict=True)]

    def _without_tokens(self, memory: _Memory, units: Sequence[Unit]) -> list[Tagged]:
        """Return the words of a list that have no token, such as a zero-width space, or that were cut off.

        Their label is "O", or None if the model has no such label, and their probability 0.0.
        """
        known = {unit.number for unit in units}
        label: Any = "O" if "O" in self.config.label2id else None
        spans = enumerate(zip(memory.word_starts or (), memory.word_ends, strict=False))
        missing = (Unit("", np.zeros(0), *span, -1, False, number) for number, span in spans if number not in known)
        return [(unit, label, 0.0) for unit in missing]

    def _found(self, tagged: list[Tagged], options: TokenClassificationOptions) -> list[Entity]:
        """Convert tagged tokens or words to dictionaries, without ignored labels."""
        strategy = options.aggregation_strategy
        ignored = options.ignore_labels if options.ignore_labels is not None else [] if strategy == "words" else ["O"]
        if strategy in ("none", "words"):
            return [_one(*one, with_place=strategy == "none") for one in tagged if one[1] not in ignored]
        groups = by_scheme(tagged, scheme_for(self.config.id2label.values())) if options.constrained else by_tag(tagged)
        return [group.entity(self.tokenizer.convert_tokens_to_string) for group in groups if group.name not in ignored]

    def _units(self, memory: _Memory, outputs: Outputs) -> list[Unit]:
        """Return the tokens of a text with their scores, each from the window with the most tokens around it."""
        units = []
        unk, prefix = self.tokenizer.unk_token_id, self.tokenizer.wordpieces_prefix
        for window, places, output in zip(memory.windows, reading_places(memory.windows), outputs, strict=True):
            scores, skipped = softmax(output["logits"]), window.spans[0][2]
            for place in places:
                start, end = window.offsets[place]
                number = window.word_ids[place] or 0
                if memory.word_starts is not None:
                    start, end = start + memory.word_starts[number], end + memory.word_starts[number]
                known = window.ids[place] != unk
                word = window.tokens[place] if known else memory.text[start:end]
                follows = known and word.startswith(prefix)
                units.append(Unit(word, scores[place], start, end, place + skipped, follows, number))
        return units

    def targets(
        self, examples: Sequence[Any], answers: Sequence[Any], options: TokenClassificationOptions
    ) -> list[list[Row]]:
        """Return rows with the label of each word at its first token, and -100 at all other tokens.

        An answer is a list with a label for each word. A token in several windows is labelled in the window with the most
        tokens around it. With `label_all_tokens`, further tokens of a word have its label, after B-PER the label I-PER.
        """
        inside = self._labels_inside() if options.label_all_tokens else None

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            memory: _Memory = encoded.memory
            numbers = self._numbers(answer, memory, encoded.reading.truncated)
            found, before = [], -1
            for window, row, places in zip(memory.windows, encoded.rows, reading_places(memory.windows), strict=True):
                labels = np.full(len(row), IGNORED, np.int64)
                for place in places:
                    word = window.word_ids[place]
                    if word is not None and word != before:
                        labels[place], before = numbers[word], word
                    elif word is not None and inside is not None:
                        labels[place] = inside[numbers[word]]
                found.append({"labels": Target(labels, "token")})
            return found

        return with_targets(self, examples, answers, options, label)

    def _labels_inside(self) -> list[int]:
        """Return for each label the label of further tokens of the word."""
        names, numbers = self.config.id2label, self.config.label2id
        inside = [f"I-{names[number][2:]}" if names[number].startswith("B-") else "" for number in range(len(names))]
        return [numbers.get(name, number) for number, name in enumerate(inside)]

    def _numbers(self, answer: Any, memory: _Memory, truncated: bool) -> list[int]:
        """Return the number of each word's label."""
        if isinstance(answer, (str, Mapping)) or not isinstance(answer, Sequence | np.ndarray):
            raise UsageError(f"An answer is a list with a label for each word, not {described(answer)}.")
        words = memory.words(truncated)
        if len(answer) < words.start or len(answer) >= words.stop:
            least = "at least " if truncated and memory.word_starts is None else ""
            raise UsageError(
                f"A text of {least}{words.start} words has {len(answer)} labels: pass one label for each word."
            )
        return [class_number(label, self.config.label2id) for label in answer]

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return precision, recall and F1 of entities, and the accuracy of tags.

        If the labels are not tags of a scheme, such as parts of speech, return precision, recall and F1 of the labels.
        """
        from bertkit.metrics.schemes import scheme_for_scores
        from bertkit.metrics.weighted import entity_metric, tag_metric

        kinds = ("macro", "micro", "weighted")
        if average is not None:
            one_of("average", average, kinds)
        found = [[one["entity"] for one in answer] for answer in answers]
        right = [self._names(truth) for truth in truths]
        scheme = scheme_for_scores(self.config.id2label.values())
        if scheme is not None:
            return entity_metric(found, right, average or "micro", scheme)
        numbers = self.config.label2id
        predicted = [[numbers.get(label, -1) for label in row] for row in found]  # -1: None
        actual = [[numbers[label] for label in row] for row in right]
        return tag_metric(predicted, actual, self.config.num_labels, average or "macro")

    def evaluation_options(self, truths: Sequence[Any]) -> dict[str, Any]:
        """Request a label for each word of a list."""
        return {"aggregation_strategy": "words", "is_split_into_words": True}

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the labels of the words, with the mean of their probabilities."""
        found, right = [one["entity"] for one in answer], self._names(truth)
        score = sum(one["score"] for one in answer) / len(answer) if answer else None
        return Prediction(right, found, score, found == right)

    def label_numbers(self) -> Mapping[str, int]:
        """Return the labels of the configuration."""
        return self.config.label2id

    def _names(self, truth: Any) -> list[str]:
        names = self.config.id2label
        return [names[class_number(label, self.config.label2id)] for label in truth]


def _one(unit: Unit, name: str, score: float, with_place: bool) -> Entity:
    """Return a token or a word with its label as a dictionary."""
    place = {"index": unit.place} if with_place else {}
    return {"entity": name, "score": score, **place, "word": unit.word, "start": unit.start, "end": unit.end}


def _text(example: Any) -> str:
    if isinstance(example, (list, tuple)):
        raise UsageError(
            f"token-classification takes a text, not {described(example)}: type ",
            Setting("is_split_into_words", True),
            " for a list of words.",
        )
    return text_of(example, TokenClassification.name)


def _words(example: Any) -> list[str]:
    words = example
    if isinstance(example, Mapping):
        words = next((example[key] for key in ("words", "tokens", "text") if key in example), None)
    if isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words):
        return list(words)
    raise UsageError(
        "With ",
        Setting("is_split_into_words", True),
        f' a text is a list of words, such as ["Anna", "sings"], not {described(example)}.',
    )
