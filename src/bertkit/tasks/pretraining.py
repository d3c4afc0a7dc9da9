"""Pretraining: predict the masked words of two texts, and whether the second text continues the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Row, Target
from bertkit.errors import UsageError, described
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Task, TaskOptions, check_integer, refuse_average
from bertkit.tasks.fill_mask import is_word, refuse_decoder, tokens_of
from bertkit.tasks.next_sentence_prediction import RELATIONS, next_number, two_texts
from bertkit.tasks.numbers import largest, softmax
from bertkit.tasks.text_classification import encode_pairs
from bertkit.tasks.training import with_targets
from bertkit.tasks.windows import Windows

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric

Mask = tuple[int, int]
"""The position of a mask: the number of its text, 0 or 1, and the number of its token in that text."""


@dataclass(frozen=True)
class PretrainingOptions(TaskOptions):
    """The options of pretraining."""

    top_k: int = 5  # number of words for each mask

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("top_k", self.top_k, least=1)


@dataclass(frozen=True)
class _Memory:
    texts: tuple[str, str]
    masks: list[list[Mask]]  # the masks of each row
    margins: list[list[int]]  # for each mask, how many tokens of its text the row has on its shorter side


class Pretraining(Task[PretrainingOptions]):
    """Two texts with [MASK]s -> the words of the masks, and whether the second text continues the first."""

    name = "pretraining"
    head = "ForPreTraining"
    takes = '{"text": ..., "text_pair": ...}'
    options_type = PretrainingOptions

    @classmethod
    def check_config(cls, config: BertConfig) -> None:
        """Raise UsageError for a decoder."""
        refuse_decoder(cls.name, config)

    def encode(self, examples: Sequence[Any], options: PretrainingOptions) -> list[Encoded]:
        """Return the rows of each pair of texts, with the masks as their positions."""
        pairs = two_texts(self, examples)
        found = encode_pairs(self, pairs, options)
        for item, pair in zip(found, pairs, strict=True):
            places = [np.flatnonzero(row.input_ids == self.tokenizer.mask_token_id) for row in item.rows]
            item.rows = [replace(row, positions=at) for row, at in zip(item.rows, places, strict=True)]
            item.memory = _memory(pair, item.memory, [at.tolist() for at in places])
        return found

    def wanted(self, options: PretrainingOptions) -> Ask:
        """Request the logits of all words at each mask, and two logits for each row."""
        return Ask(("prediction_logits", "seq_relationship_logits"))

    def decode(self, encoded: Encoded, outputs: Outputs, options: PretrainingOptions) -> dict[str, Any]:
        """Return `{"masks": [[{"score", "token", "token_str"}]], "next_sentence": {"label", "score"}}`, a list for each mask."""
        related = softmax(np.mean([output["seq_relationship_logits"] for output in outputs], axis=0))
        best = int(related.argmax())
        masks = []
        for row, place in self._best_places(encoded.memory):
            scores = softmax(outputs[row]["prediction_logits"][place])
            tokens = largest(scores, options.top_k)
            words = [self.tokenizer.decode([token]) for token in tokens]
            masks.append(
                [
                    {"score": float(scores[token]), "token": token, "token_str": word}
                    for token, word in zip(tokens, words, strict=True)
                ]
            )
        return {"masks": masks, "next_sentence": {"label": RELATIONS[best], "score": float(related[best])}}

    @staticmethod
    def _best_places(memory: _Memory) -> Iterator[tuple[int, int]]:
        """Yield for each mask the row with the most tokens around it, and the number of the mask in that row."""
        best: dict[Mask, tuple[int, int, int]] = {}
        for row, (masks, margins) in enumerate(zip(memory.masks, memory.margins, strict=True)):
            for place, (mask, margin) in enumerate(zip(masks, margins, strict=True)):
                if mask not in best or margin > best[mask][0]:
                    best[mask] = (margin, row, place)
        return (best[mask][1:] for mask in sorted(best))

    def targets(self, examples: Sequence[Any], answers: Sequence[Any], options: PretrainingOptions) -> list[list[Row]]:
        """Return rows with the true token of each mask, and 0 if the second text continues the first, otherwise 1.

        An answer is `{"words": [...], "next_sentence": "IsNext"}`: a word for each mask of the two texts, and "IsNext",
        "NotNext", 0 or 1.
        """

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            words, following = _parts(answer)
            masks = self._all_masks(encoded.memory.texts)
            tokens = dict(zip(masks, tokens_of(self.tokenizer, words, len(masks)).tolist(), strict=True))
            related = Target(next_number(following), "row")
            of_rows = [np.array([tokens[mask] for mask in own], np.int64) for own in encoded.memory.masks]
            return [{"labels": Target(own, "place"), "next_sentence_label": related} for own in of_rows]

        return with_targets(self, examples, answers, options, label)

    def _all_masks(self, texts: Sequence[str]) -> list[Mask]:
        """Return all masks of two texts, including those that no row contains."""
        mask = self.tokenizer.mask_token_id
        ids = [self.tokenizer.engine.ids(text) for text in texts]
        return [(side, piece) for side in (0, 1) for piece, token in enumerate(ids[side]) if token == mask]

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the accuracy of the best word for each mask, and the accuracy of next sentence prediction.

        An example whose masks were truncated has fewer answers than words: all of its words count as wrong.
        """
        from bertkit.metrics.weighted import WeightedMeans, shares

        refuse_average(self.name, average)
        right: list[list[bool]] = []
        related = []
        for answer, truth in zip(answers, truths, strict=True):
            own, follows = _parts(truth)
            words = [own] if isinstance(own, str) else list(own)
            masks = answer["masks"]
            if len(masks) == len(words):
                right.append([is_word(self.tokenizer, some[0], word) for some, word in zip(masks, words, strict=True)])
            else:
                right.append([False] * len(words))
            related.append([RELATIONS.index(answer["next_sentence"]["label"]) == next_number(follows)])
        values = {"mask_accuracy": shares(right)} if any(right) else {}
        return WeightedMeans(len(truths), {**values, "next_sentence_accuracy": shares(related)})


def _memory(texts: tuple[str, str], windows: Windows, places: Sequence[Sequence[int]]) -> _Memory:
    """Return the masks of each row, by their positions in the two texts."""
    masks: list[list[Mask]] = []
    margins: list[list[int]] = []
    for window, own in zip(windows, places, strict=True):
        masks.append([])
        margins.append([])
        for place in own:
            side = int(place >= window.spans[1][0])
            at, length, piece = window.spans[side]
            masks[-1].append((side, place - at + piece))
            margins[-1].append(min(place - at, at + length - 1 - place))
    return _Memory(texts, masks, margins)


def _parts(answer: Any) -> tuple[Any, Any]:
    if isinstance(answer, Mapping) and {"words", "next_sentence"} <= answer.keys():
        return answer["words"], answer["next_sentence"]
    raise UsageError(f'An answer has the form {{"words": [...], "next_sentence": "IsNext"}}, not {described(answer)}.')
