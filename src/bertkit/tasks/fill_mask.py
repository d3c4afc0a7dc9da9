"""Fill-mask: which words may stand where a text has [MASK].

A target of several pieces is scored exactly: for "un ##aff ##able" the text gets three masks, and the score is the
probability of "un", times that of "##aff" once "un" stands there, times that of "##able" once both do. The best filling of
several masks together (`joint=True`) is searched for in the same way, from left to right, with a beam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Array, Grain, Ints, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import (
    Encoded,
    OnLong,
    Options,
    Outputs,
    Task,
    Told,
    listed,
    shown,
    taken_out,
    text_of,
    told,
    whole,
    with_tokenizer_options,
)
from bertkit.tasks.masked import Whole, around, neighbours, replaced
from bertkit.tasks.numbers import largest, log_softmax, softmax
from bertkit.tasks.windows import encode_texts, too_long


@dataclass(frozen=True)
class FillMaskOptions(Options):
    """What fill-mask can be asked for."""

    on_long: OnLong = "window"  # the part of the text around the mask
    top_k: int = 5
    targets: str | Sequence[str] | None = None  # the only words to choose from
    joint: bool = False  # fill several masks together

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("top_k", self.top_k, least=1)
        if self.targets is not None and not isinstance(self.targets, str):
            listed("targets", self.targets, '["good", "bad"]')
        if self.joint and self.targets is not None:
            raise UsageError(
                "targets stand for one mask, and joint=True fills several together: leave one of them out."
            )


class _Target(NamedTuple):
    """A word to score at each mask: one piece, or several."""

    pieces: tuple[int, ...]
    text: str


class _Beam(NamedTuple):
    """A filling of the first masks."""

    score: float  # logarithm of its probability
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class _Memory:
    whole: Whole
    masks: list[int]  # places
    targets: list[_Target] | None
    beams: list[_Beam]


class FillMask(Task[FillMaskOptions]):
    """A text with [MASK] -> what may stand there."""

    name = "fill-mask"
    head = "ForMaskedLM"
    takes = "a text with [MASK]"
    options_type = FillMaskOptions

    def encode(self, examples: Sequence[Any], options: FillMaskOptions) -> list[Encoded]:
        """A row around each group of masks, and rows for every piece of a target that has several."""
        texts = [text_of(example, self.name) for example in examples]
        endless = told(options, on_long="truncate", max_length=None)
        uncut = encode_texts(self.tokenizer, texts, None, endless, most=2**31 - 1)
        targets = self._targets(options.targets) if options.targets is not None else None
        return [self._encoded(item, text, targets, options) for item, text in zip(uncut, texts, strict=True)]

    def _encoded(self, uncut: Encoded, text: str, targets: list[_Target] | None, options: FillMaskOptions) -> Encoded:
        most, ids = self.row_length(options), uncut.rows[0].input_ids
        frame = uncut.memory.encodings.layout.frame
        if len(ids) > most and options.on_long == "error":
            raise UsageError(too_long(len(ids), most))
        kept = ids
        if len(ids) > most and options.on_long == "truncate":
            from_left = self.tokenizer.truncation_side == "left"
            first = len(frame.before) if from_left else most - len(frame.after)
            kept = np.concatenate([ids[:first], ids[len(ids) - (most - first) :]])
        masks = np.flatnonzero(kept == self.tokenizer.mask_token_id).tolist()
        if not masks:
            raise UsageError(self._no_mask(text, ids))
        memory = _Memory(Whole(kept, len(frame.before), len(frame.after)), masks, targets, [_Beam(0.0, ())])
        rows = self._joint_rows(memory, most) if options.joint else self._rows(memory, most)
        left_out = len(ids) - len(kept)
        windows = len(neighbours(masks, most - frame.size))
        return Encoded(rows, Told(left_out > 0, windows, len(ids), left_out), memory)

    def _no_mask(self, text: str, ids: Ints) -> str:
        mask = self.tokenizer.mask_token
        if self.tokenizer.mask_token_id in ids:
            return (
                f'The {mask} of the text is behind what a row takes: type on_long="window" to read the part around it.'
            )
        return f"The text has no {mask} to fill, and it is {shown(text)}: put {mask} where a word is to be found."

    def _rows(self, memory: _Memory, most: int) -> list[Row]:
        """A row a group of masks; then, for each mask and each target of several pieces, a row a piece."""
        whole = memory.whole
        rows = [around(whole, group, most) for group in self._groups(memory, most)]
        for mask in memory.masks:
            for target in memory.targets or ():
                rows += self._spelled(whole, mask, target, most)
        return rows

    def _groups(self, memory: _Memory, most: int) -> list[list[int]]:
        return neighbours(memory.masks, most - memory.whole.before - memory.whole.after)

    def _spelled(self, whole: Whole, mask: int, target: _Target, most: int) -> list[Row]:
        """Rows that have more and more pieces of a target of several: the last of them is always left to be found."""
        pieces, unknown = target.pieces, self.tokenizer.mask_token_id
        rows = []
        for known in range(len(pieces)) if len(pieces) > 1 else ():
            ids = replaced(whole.ids, mask, [*pieces[:known], *[unknown] * (len(pieces) - known)])
            rows.append(around(whole._replace(ids=ids), [mask + known], most))
        return rows

    def wanted(self, options: FillMaskOptions) -> dict[str, Grain]:
        """A logit for each word, at the masks."""
        return {"logits": "place"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: FillMaskOptions) -> Any:
        """A list of fillings, the best first; of several masks a list of lists, or with `joint` of fillings of all."""
        memory = encoded.memory
        if options.joint:
            return self._next_mask(encoded, outputs, options)
        groups = len(self._groups(memory, self.row_length(options)))
        logits = np.concatenate([output["logits"] for output in outputs[:groups]])
        rest = iter(outputs[groups:])
        found = []
        for mask, row in zip(memory.masks, logits, strict=True):
            scores = softmax(row)
            if memory.targets is None:
                fillings = [((index,), float(scores[index])) for index in largest(scores, options.top_k)]
            else:
                fillings = [(target.pieces, self._target_score(target, scores, rest)) for target in memory.targets]
                fillings = sorted(fillings, key=lambda filling: -filling[1])[: options.top_k]
            found.append([self._filled(memory, mask, pieces, score) for pieces, score in fillings])
        return found[0] if len(found) == 1 else found

    @staticmethod
    def _target_score(target: _Target, scores: Array, rest: Any) -> float:
        if len(target.pieces) == 1:
            return float(scores[target.pieces[0]])
        logs = [log_softmax(next(rest)["logits"][0])[piece] for piece in target.pieces]
        return float(np.exp(np.sum(logs)))

    def _filled(self, memory: _Memory, mask: int, pieces: tuple[int, ...], score: float) -> dict[str, Any]:
        token = pieces[0] if len(pieces) == 1 else list(pieces)
        word = self.tokenizer.decode(list(pieces))
        ids = replaced(memory.whole.ids, mask, pieces)
        return {"score": score, "token": token, "token_str": word, "sequence": self._text(ids, len(memory.masks) == 1)}

    def _text(self, ids: Ints, readable: bool) -> str:
        """The ids as text; while other masks are left, special tokens are kept, as a mask is one."""
        pad = self.tokenizer.pad_token_id
        return str(self.tokenizer.decode(ids[ids != pad].tolist(), skip_special_tokens=readable))

    # Several masks together.

    def _joint_rows(self, memory: _Memory, most: int) -> list[Row]:
        """A row a beam, with its tokens in the first masks, and the next mask to be found."""
        number = len(memory.beams[0].tokens)
        rows = []
        for beam in memory.beams:
            ids = memory.whole.ids.copy()
            ids[memory.masks[:number]] = beam.tokens
            rows.append(around(memory.whole._replace(ids=ids), [memory.masks[number]], most))
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
            return Encoded(self._joint_rows(memory, self.row_length(options)), encoded.told, memory)
        return [self._jointly_filled(memory, beam) for beam in beams[: options.top_k]]

    def _jointly_filled(self, memory: _Memory, beam: _Beam) -> dict[str, Any]:
        ids = memory.whole.ids.copy()
        ids[memory.masks] = beam.tokens
        words = [str(self.tokenizer.decode([token])) for token in beam.tokens]
        score = float(np.exp(beam.score))
        return {"score": score, "token": list(beam.tokens), "token_str": words, "sequence": self._text(ids, True)}

    # Targets, training, arguments.

    def _targets(self, given: str | Sequence[str]) -> list[_Target]:
        """Words -> pieces; each once, those without any are refused."""
        vocabulary = self.tokenizer.get_vocab()
        found: dict[tuple[int, ...], _Target] = {}
        for text in [given] if isinstance(given, str) else given:
            if not isinstance(text, str):
                raise UsageError(f'targets has {shown(text)}, and a target is a word: type targets=["good", "bad"].')
            if text in vocabulary:
                pieces: tuple[int, ...] = (vocabulary[text],)
            else:
                pieces = tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            if not pieces:
                raise UsageError(f"The target {text!r} has no token: type a word.")
            found.setdefault(pieces, _Target(pieces, text))
        if not found:
            raise UsageError('targets is empty: type targets=["good", "bad"], or leave it out.')
        return list(found.values())

    def labels(self, example: Any, answer: Any, options: FillMaskOptions) -> list[Row]:
        """Rows with the token that belongs at each mask: `answer` is a word a mask, or one word."""
        encoded = self.encode([example], told(options, targets=None, joint=False))[0]
        words = [answer] if isinstance(answer, str) else list(answer)
        rows = []
        for row in encoded.rows:
            assert row.positions is not None
            own, words = words[: len(row.positions)], words[len(row.positions) :]
            rows.append(replace(row, labels=np.array(self.tokenizer.convert_tokens_to_ids(own), np.int64)))
        return rows

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How often the best word is the right one, over all masks; a truth is a word, or one for each mask."""
        from bertkit.metrics import accuracy

        right = []
        for answer, truth in zip(answers, truths, strict=True):
            masks = [answer] if isinstance(answer[0], dict) else answer
            words = [truth] if isinstance(truth, str) else truth
            right += [fillings[0]["token_str"] == word for fillings, word in zip(masks, words, strict=True)]
        return {"accuracy": accuracy(right, [True] * len(right))}

    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """A list of one text gives the answer to that text."""
        return answers[0] if isinstance(inputs, list) and len(inputs) == 1 else answers

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """`tokenizer_kwargs` are taken too."""
        found = dict(given)
        if found.get("top_k", 0) is None:
            del found["top_k"]
        return {**with_tokenizer_options(taken_out("tokenizer_kwargs", found)), **found}
