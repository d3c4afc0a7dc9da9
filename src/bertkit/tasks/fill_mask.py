"""Fill-mask: predict the words at the [MASK] tokens of a text.

A word of several tokens is scored exactly: for "un ##aff ##able" the text gets three masks, and the score is the probability of
"un", times the probability of "##aff" after "un", times the probability of "##able" after both. With `joint=True`, a beam search
from left to right finds the best combination of words for several masks in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit.config import BertConfig
from bertkit.data.batches import Ints, Row, Target
from bertkit.errors import Setting, UsageError, described
from bertkit.heads import Ask
from bertkit.tasks.base import (
    Encoded,
    OnLong,
    Outputs,
    Reading,
    Task,
    TaskOptions,
    check_integer,
    check_list,
    refuse_average,
    text_of,
)
from bertkit.tasks.numbers import largest, log_softmax, softmax
from bertkit.tasks.training import with_targets
from bertkit.tasks.windows import Whole, around, encode_whole, neighbours, too_long
from bertkit.tensors import Array

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric
    from bertkit.tasks.base import Tokenizer


@dataclass(frozen=True)
class FillMaskOptions(TaskOptions):
    """The options of fill-mask."""

    on_long: OnLong = "window"  # "window": use the part of the text around the mask
    top_k: int = 5
    targets: str | Sequence[str] | None = None  # score only these words
    joint: bool = False  # find the best combination of words for several masks

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("top_k", self.top_k, least=1)
        if self.targets is not None and not isinstance(self.targets, str):
            check_list("targets", self.targets, '["good", "bad"]')
        if self.joint and self.targets is not None:
            joint = Setting("joint", True)
            raise UsageError(
                "targets are scored for one mask, and ", joint, " combines several: leave one of them out."
            )


class _Candidate(NamedTuple):
    """A target word and its tokens."""

    pieces: tuple[int, ...]
    text: str


class _Beam(NamedTuple):
    """Tokens for the first masks."""

    score: float  # log probability
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class _Memory:
    kept: Whole  # the text after truncation
    masks: list[int]  # the positions of its masks
    skipped: int  # number of masks that were truncated before them
    total: int  # number of masks in the whole text
    groups: int  # number of rows for groups of neighbouring masks; the rows of candidates follow
    candidates: list[_Candidate]
    beams: list[_Beam]


class FillMask(Task[FillMaskOptions]):
    """A text with [MASK] -> the best words for each mask."""

    name = "fill-mask"
    head = "ForMaskedLM"
    takes = "a text with [MASK]"
    options_type = FillMaskOptions

    @classmethod
    def check_config(cls, config: BertConfig) -> None:
        """Raise UsageError for a decoder."""
        refuse_decoder(cls.name, config)

    def encode(self, examples: Sequence[Any], options: FillMaskOptions) -> list[Encoded]:
        """Return a row for each group of masks, and a row for each token of a target word that has several tokens."""
        texts = [text_of(example, self.name) for example in examples]
        candidates = self._candidates(options.targets) if options.targets is not None else []
        uncut = encode_whole(self.tokenizer, texts, options.add_special_tokens)
        return [self._encoded(item, text, candidates, options) for item, text in zip(uncut, texts, strict=True)]

    def _encoded(self, uncut: Whole, text: str, candidates: list[_Candidate], options: FillMaskOptions) -> Encoded:
        most, kept = self.row_length(options), uncut
        if len(uncut.ids) > most and options.on_long != "window":
            kept = self._cut(uncut, most, options)
        found = np.flatnonzero(uncut.ids == self.tokenizer.mask_token_id).tolist()
        masks = np.flatnonzero(kept.ids == self.tokenizer.mask_token_id).tolist()
        if not masks:
            raise self._no_mask(text, found)
        skipped = len(found) - len(masks) if self.tokenizer.truncation_side == "left" else 0
        groups = neighbours(masks, most - kept.before - kept.after)
        memory = _Memory(kept, masks, skipped, len(found), len(groups), candidates, [_Beam(0.0, ())])
        if options.joint:
            rows = self._joint_rows(memory, most)
        else:
            rows = [around(kept, group, most) for group in groups]
            rows += [
                row for mask in masks for candidate in candidates for row in self._spelled(kept, mask, candidate, most)
            ]
        left_out = len(uncut.ids) - len(kept.ids)
        return Encoded(rows, Reading(left_out > 0, len(groups), len(uncut.ids), left_out), memory)

    def _cut(self, uncut: Whole, most: int, options: FillMaskOptions) -> Whole:
        """Truncate a text to the length of a row."""
        ids = uncut.ids
        if options.on_long == "error":
            raise too_long(len(ids), most)
        first = uncut.before if self.tokenizer.truncation_side == "left" else most - uncut.after
        return uncut._replace(ids=np.concatenate([ids[:first], ids[len(ids) - (most - first) :]]))

    def _no_mask(self, text: str, masks: Sequence[int]) -> UsageError:
        mask = self.tokenizer.mask_token
        if masks:
            window = Setting("on_long", "window")
            return UsageError(
                f"The {mask} of the text was truncated: type ", window, " to use the part of the text around it."
            )
        return UsageError(f"The text has no {mask}: replace the word to predict by {mask} in {described(text)}.")

    def _spelled(self, kept: Whole, mask: int, candidate: _Candidate, most: int) -> Iterator[Row]:
        """Yield a row for each token of a word of several tokens: the tokens before it are filled in, the others are masks."""
        pieces, unknown = candidate.pieces, self.tokenizer.mask_token_id
        for known in range(len(pieces)) if len(pieces) > 1 else ():
            ids = replaced(kept.ids, mask, [*pieces[:known], *[unknown] * (len(pieces) - known)])
            yield around(kept._replace(ids=ids), [mask + known], most)

    def wanted(self, options: FillMaskOptions) -> Ask:
        """Request the logits of all words at the masks."""
        return Ask(("logits",))

    def decode(self, encoded: Encoded, outputs: Outputs, options: FillMaskOptions) -> Any:
        """Return a list of words with scores, the best first.

        For several masks this is a list for each mask, or with `joint` a list of combinations of words for all masks.
        """
        memory: _Memory = encoded.memory
        if options.joint:
            return self._next_mask(encoded, outputs, options)
        logits = np.concatenate([output["logits"] for output in outputs[: memory.groups]])
        spelled = iter(outputs[memory.groups :])
        found = []
        for mask, row in zip(memory.masks, logits, strict=True):
            scores = softmax(row)
            if memory.candidates:
                fillings = [(one.pieces, self._candidate_score(one, scores, spelled)) for one in memory.candidates]
                fillings = sorted(fillings, key=lambda filling: -filling[1])[: options.top_k]
            else:
                fillings = [((index,), float(scores[index])) for index in largest(scores, options.top_k)]
            found.append([self._filled(memory, mask, pieces, score) for pieces, score in fillings])
        return found[0] if len(found) == 1 else found

    @staticmethod
    def _candidate_score(candidate: _Candidate, scores: Array, spelled: Iterator[Mapping[str, Array]]) -> float:
        if len(candidate.pieces) == 1:
            return float(scores[candidate.pieces[0]])
        logs = [log_softmax(next(spelled)["logits"][0])[piece] for piece in candidate.pieces]
        return float(np.exp(np.sum(logs)))

    def _filled(self, memory: _Memory, mask: int, pieces: tuple[int, ...], score: float) -> dict[str, Any]:
        token = pieces[0] if len(pieces) == 1 else list(pieces)
        word = self.tokenizer.decode(list(pieces))
        ids = replaced(memory.kept.ids, mask, pieces)
        return {"score": score, "token": token, "token_str": word, "sequence": self._text(ids, len(memory.masks) == 1)}

    def _text(self, ids: Ints, readable: bool) -> str:
        """Decode ids. With `readable` special tokens are removed, which would also remove other masks."""
        pad = self.tokenizer.pad_token_id
        return str(self.tokenizer.decode(ids[ids != pad].tolist(), skip_special_tokens=readable))

    # Beam search for several masks (joint=True).

    def _joint_rows(self, memory: _Memory, most: int) -> list[Row]:
        """Return a row for each beam, with its tokens at the first masks, to predict the next mask."""
        number = len(memory.beams[0].tokens)
        rows = []
        for beam in memory.beams:
            ids = memory.kept.ids.copy()
            ids[memory.masks[:number]] = beam.tokens
            rows.append(around(memory.kept._replace(ids=ids), [memory.masks[number]], most))
        return rows

    def _next_mask(self, encoded: Encoded, outputs: Outputs, options: FillMaskOptions) -> Any:
        memory, width = encoded.memory, max(2 * options.top_k, 10)
        beams = []
        for beam, output in zip(memory.beams, outputs, strict=True):
            logs = log_softmax(output["logits"][0])
            beams += [_Beam(beam.score + float(logs[i]), (*beam.tokens, i)) for i in largest(logs, width)]
        beams = sorted(beams, key=lambda beam: -beam.score)[:width]
        memory = replace(memory, beams=beams)
        if len(beams[0].tokens) < len(memory.masks):
            return Encoded(self._joint_rows(memory, self.row_length(options)), encoded.reading, memory)
        return [self._jointly_filled(memory, beam) for beam in beams[: options.top_k]]

    def _jointly_filled(self, memory: _Memory, beam: _Beam) -> dict[str, Any]:
        ids = memory.kept.ids.copy()
        ids[memory.masks] = beam.tokens
        words = [str(self.tokenizer.decode([token])) for token in beam.tokens]
        score = float(np.exp(beam.score))
        return {"score": score, "token": list(beam.tokens), "token_str": words, "sequence": self._text(ids, True)}

    # Target words and training.

    def _candidates(self, given: str | Sequence[str]) -> list[_Candidate]:
        """Return the target words with their tokens, each word once. Raise UsageError for a word without tokens."""
        found: dict[tuple[int, ...], _Candidate] = {}
        for text in [given] if isinstance(given, str) else given:
            if not isinstance(text, str):
                advice = Setting("targets", ["good", "bad"])
                raise UsageError(f"targets has {described(text)}, but a target is a word: type ", advice, ".")
            pieces = pieces_of(self.tokenizer, text)
            if not pieces:
                raise UsageError(f"The target {text!r} has no tokens: type a word.")
            found.setdefault(pieces, _Candidate(pieces, text))
        if not found:
            raise UsageError("targets is empty: type ", Setting("targets", ["good", "bad"]), ", or leave it out.")
        return list(found.values())

    def targets(self, examples: Sequence[Any], answers: Sequence[Any], options: FillMaskOptions) -> list[list[Row]]:
        """Return rows with the true token of each mask. An answer is a word for each mask of the text, or one word."""

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            memory: _Memory = encoded.memory
            tokens = tokens_of(self.tokenizer, answer, memory.total)[memory.skipped :]
            ends = np.cumsum([0, *(len(row.positions) for row in encoded.rows if row.positions is not None)])
            return [{"labels": Target(tokens[start:end], "place")} for start, end in pairwise(ends)]

        return with_targets(self, examples, answers, replace(options, targets=None, joint=False), label)

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return the accuracy of the best word over all masks. A true answer is a word, or a list with a word for each mask."""
        from bertkit.metrics.weighted import accuracy_metric

        refuse_average(self.name, average)
        right = []
        for answer, truth in zip(answers, truths, strict=True):
            masks = [answer] if isinstance(answer[0], dict) else answer
            words = [truth] if isinstance(truth, str) else truth
            pairs = zip(masks, words, strict=True)
            right.append([is_word(self.tokenizer, fillings[0], word) for fillings, word in pairs])
        return accuracy_metric(right)


def replaced(ids: Ints, place: int, by: Sequence[int]) -> Ints:
    """Return a row in which one token is replaced by several."""
    return np.concatenate([ids[:place], np.array(by, np.int64), ids[place + 1 :]])


def refuse_decoder(task: str, config: BertConfig) -> None:
    """Raise UsageError for the configuration of a decoder."""
    if config.is_decoder:
        raise UsageError(
            f"{task} needs an encoder, but the configuration has is_decoder=True: a decoder uses only the text before a mask. "
            "Use an encoder, or type ",
            Setting("task", "sentence-scoring"),
            ".",
        )


def pieces_of(tokenizer: Tokenizer, word: str) -> tuple[int, ...]:
    """Return the tokens of a word. A word that is in the vocabulary is one token."""
    token = tokenizer.convert_tokens_to_ids(word)
    if token != tokenizer.unk_token_id or word == tokenizer.unk_token:
        return (token,)
    return tuple(tokenizer(word, add_special_tokens=False)["input_ids"])


def tokens_of(tokenizer: Tokenizer, answer: Any, masks: int) -> Ints:
    """Return the token of each mask of a text [masks], from the words of its true answer."""
    words = [answer] if isinstance(answer, str) else answer
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"An answer is a word for each mask, not {described(answer)}.")
    if len(words) != masks:
        raise UsageError(f"The text has {masks} masks, but the answer has {len(words)} words: type one for each mask.")
    found: list[int] = []
    for word in words:
        pieces = pieces_of(tokenizer, word)
        if len(pieces) != 1:
            raise UsageError(
                f"{word!r} has {len(pieces)} tokens, and a mask is one token: put a mask for each token into the text."
            )
        if pieces[0] == tokenizer.unk_token_id and word != tokenizer.unk_token:
            raise UsageError(f"{word!r} is not in the vocabulary: type another word.")
        found += pieces
    return np.array(found, np.int64)


def is_word(tokenizer: Tokenizer, filling: Mapping[str, Any], word: str) -> bool:
    """Return whether an answer has the tokens of a word. "The" equals "the" for a tokenizer that lowercases."""
    pieces = pieces_of(tokenizer, word)
    return filling["token_str"] == word or filling.get("token") in (
        list(pieces),
        pieces[0] if len(pieces) == 1 else None,
    )
