"""Writing word by word: the likeliest word, or one that is drawn. Rows that have ended leave the batch.

R rows, t words of each, V vocabulary.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.search.scores import Change, Scores, Words, softmax
from bertkit.search.settings import GenerationConfig

Stop = Callable[[Words, Scores], NDArray[np.bool_] | bool]
"""Words [R, t] and the scores of the last of them [R, V] -> whether each row ends."""


class Decoder(Protocol):
    """A model that predicts the next word of each row. It keeps what it has computed of the rows."""

    def start(self) -> Scores:
        """Return the logits after the prompt, [R, V]."""

    def step(self, words: Words, rows: NDArray[np.int64]) -> Scores:
        """Go on with some rows, by their numbers in the last step: add a word to each, [R]. Returns their logits, [R, V]."""


@dataclass
class Written:
    """What was written, and how: lists have an entry for each new word, with -inf for rows that had ended."""

    words: Words  # [R, t], with the prompt, filled with the padding token
    scores: list[Scores] = field(default_factory=list)  # [R, V] each, as changed
    logits: list[Scores] = field(default_factory=list)  # [R, V] each, of the model
    totals: Scores | None = None  # [R], the score of each text, of beams
    beams: Words | None = None  # [R, new words], the row of `scores` that each word is from, -1 after the end


def write(
    decoder: Decoder,
    prompt: Words,
    settings: GenerationConfig,
    changes: Sequence[Change] = (),
    stops: Sequence[Stop] = (),
    streams: Sequence[np.random.Generator] = (),
    stay: bool = False,
    note: Callable[[Words], object] = lambda words: None,
) -> Written:
    """Write with one beam.

    streams: of each row, for sampling. stay: rows that have ended stay in the batch, as functions of a caller know a row by its
    number. note: called with the new word of each row, [R].
    """
    (rows, start), longest = prompt.shape, settings.longest(prompt.shape[1])
    words = np.full((rows, longest), settings.filler, np.int64)
    words[:, :start] = prompt
    found, going, length = Written(words), np.arange(rows), start
    running = np.ones(rows, bool)
    logits = decoder.start()
    while length < longest:
        scores = changed(changes, words[going, :length], logits)
        note_scores(found, settings, scores, logits, going, rows)
        chosen = _drawn(scores, [streams[row] for row in going.tolist()]) if settings.do_sample else scores.argmax(1)
        if settings.ends:
            chosen[~running[going]] = settings.filler
        words[going, length] = chosen
        note(words[:, length])
        length += 1
        running[going] &= ~ended(words[going, :length], scores, settings, stops)
        if not running.any() or length == longest:
            break
        places = np.arange(len(going)) if stay else running[going].nonzero()[0]
        going = going[places]
        logits = decoder.step(chosen[places], places)
    found.words = words[:, :length]
    return found


def changed(changes: Sequence[Change], words: Words, scores: Scores) -> Scores:
    """The scores after all changes."""
    for change in changes:
        scores = change(words, scores)
    return scores


def ended(words: Words, scores: Scores, settings: GenerationConfig, stops: Sequence[Stop]) -> NDArray[np.bool_]:
    """Whether each row ends with its last word, [R]."""
    found = np.isin(words[:, -1], settings.ends)
    for stop in stops:
        found = found | stop(words, scores)
    return found


def streams_of(seed: int | Sequence[int] | None, rows: int) -> list[np.random.Generator]:
    """A stream of random numbers for each row, so that no row depends on the others.

    seed: None: a random one. A list: one for each prompt, which has several neighbouring rows if several texts are written.
    """
    root: Any = secrets.randbits(64) if seed is None else seed
    for one in root if isinstance(root, (list, tuple)) else [root]:
        if not isinstance(one, Integral) or int(one) < 0:
            raise UsageError(f"seed is {seed!r:.80}, and must be a whole number, 0 or above, or a list of them.")
    if isinstance(root, Integral):
        return [np.random.default_rng([int(root), row]) for row in range(rows)]
    if not len(root) or rows % len(root):
        raise UsageError(f"{len(root)} seeds were passed: pass one number, or one for each prompt.")
    return [np.random.default_rng([int(one), row]) for one in root for row in range(rows // len(root))]


def _drawn(scores: Scores, streams: Sequence[np.random.Generator]) -> Words:
    """A word of each row, by its probability."""
    with np.errstate(invalid="ignore"):  # of infinite numbers, which get an error
        ends = softmax(scores.astype(np.float64)).cumsum(1)
    if not np.isfinite(ends).all():
        raise UsageError("No word can be drawn: the scores are NaN or infinite, or all words are excluded.")
    draws = np.array([stream.random() for stream in streams]) * ends[:, -1]
    words: Words = (ends > draws[:, None]).argmax(1)
    return words


def note_scores(
    found: Written, settings: GenerationConfig, scores: Scores, logits: Scores, going: Words, rows: int
) -> None:
    """Keep the scores and logits of a step, [len(going), V], if they are an output."""
    for wanted, kept, part in (
        (settings.output_scores, found.scores, scores),
        (settings.output_logits, found.logits, logits),
    ):
        if wanted:
            kept.append(np.full((rows, part.shape[1]), -np.inf, np.float32))
            kept[-1][going] = part
