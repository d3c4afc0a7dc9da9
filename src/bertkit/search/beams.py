"""Beam search: several texts of each input are continued at the same time, and the best finished ones are kept.

B inputs, N beams of each, K candidates of each in a step, L words at most, V vocabulary. An input leaves the batch as soon as
none of its beams can become better than its finished texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.search.loop import Decoder, Stop, Written, changed, ended, note_scores
from bertkit.search.scores import Change, Scores, Words, softmax
from bertkit.search.settings import GenerationConfig

_NEVER = np.float32(-1e9)
"""The score of a place without a text."""


def log_softmax(scores: Scores) -> Scores:
    """Logarithms of probabilities [R, V]."""
    shifted = scores - scores.max(1, keepdims=True)
    found: Scores = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return found


@dataclass
class _Texts:
    """Several texts of each input."""

    words: Words  # [B, N, L]
    scores: Scores  # [B, N]
    origins: Words  # [B, N, L], the row of the batch that predicted each new word, -1 elsewhere
    exists: NDArray[np.bool_]  # [B, N], false at a place without a text

    def take(self, places: Words) -> _Texts:
        """The texts at some places, [B, M]."""
        rows = np.arange(len(places))[:, None]
        return _Texts(
            self.words[rows, places], self.scores[rows, places], self.origins[rows, places], self.exists[rows, places]
        )

    def select(self, inputs: NDArray[Any]) -> _Texts:
        """The texts of some inputs."""
        return _Texts(self.words[inputs], self.scores[inputs], self.origins[inputs], self.exists[inputs])

    def concat(self, other: _Texts) -> _Texts:
        """These texts, followed by others of the same inputs."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Texts(*(np.concatenate(pair, 1) for pair in pairs))

    def replace(self, inputs: Words, other: _Texts) -> None:
        """Replace the texts of some inputs."""
        for own, new in zip(vars(self).values(), vars(other).values(), strict=True):
            own[inputs] = new


def write_beams(
    decoder: Decoder,
    prompt: Words,
    settings: GenerationConfig,
    changes: Sequence[Change] = (),
    stops: Sequence[Stop] = (),
    streams: Sequence[np.random.Generator] = (),
    stay: bool = False,
) -> Written:
    """Write with several beams. prompt: [B * N, t], each input N times. Returns num_return_sequences texts of each input.

    stay: inputs that have ended stay in the batch, as functions of a caller know a row by its number.
    """
    count, start = settings.num_beams, prompt.shape[1]
    inputs, longest = len(prompt) // count, settings.longest(start)
    padding = settings.filler or next(iter(settings.ends), 0)  # as transformers fills, even if the padding token is 0
    beams = _start(prompt, count, longest, padding)
    best = _Texts(
        beams.words.copy(), np.full_like(beams.scores, _NEVER), beams.origins.copy(), np.zeros_like(beams.exists)
    )
    going, running, length, found = np.arange(inputs), np.ones(inputs, bool), start, Written(prompt)
    logits = decoder.start()
    while length < longest:
        scores = changed(changes, beams.words[:, :, :length].reshape(-1, length), log_softmax(logits))
        rows = (going[:, None] * count + np.arange(count)).ravel()
        note_scores(found, settings, scores, logits, rows, inputs * count)
        own = [streams[one] for one in going.tolist()] if settings.do_sample else []
        tried, parents = _candidates(beams, scores, rows, length, settings, own)
        length += 1
        stopped = _stopped(tried, scores, parents, length, longest, settings, stops)
        best_here = _kept(best.select(going), tried, stopped, length - start, settings)
        open_ = running[going]
        best.replace(going[open_], best_here.select(open_))
        places = _top(np.where(stopped, tried.scores + _NEVER, tried.scores), count)
        beams = tried.take(places)
        better = _can_improve(beams.scores[:, 0], best_here, length - start, longest - start, settings)
        running[going] &= better & ~stopped.all(1)
        if not running.any() or length == longest:
            break
        goes_on = np.ones(len(going), bool) if stay else running[going]
        chosen = beams.words[goes_on, :, length - 1].ravel()
        before = np.take_along_axis(parents, places, 1) + np.arange(len(going))[:, None] * count
        going, beams = going[goes_on], beams.select(goes_on)
        logits = decoder.step(chosen, before[goes_on].ravel())
    return _written(found, best, settings, start)


def _start(prompt: Words, count: int, longest: int, padding: int) -> _Texts:
    """The beams before the first word. All are equal, so only the first one counts."""
    inputs = len(prompt) // count
    words = np.full((inputs, count, longest), padding, np.int64)
    words[:, :, : prompt.shape[1]] = prompt.reshape(inputs, count, -1)
    scores = np.full((inputs, count), _NEVER, np.float32)
    scores[:, 0] = 0
    return _Texts(words, scores, np.full_like(words, -1), np.ones((inputs, count), bool))


def _candidates(
    beams: _Texts,
    scores: Scores,
    rows: Words,
    length: int,
    settings: GenerationConfig,
    streams: Sequence[np.random.Generator],
) -> tuple[_Texts, Words]:
    """The best continuations of each input, or some that are drawn, and the beam that each continues, [B, K]."""
    (inputs, count), vocabulary = beams.scores.shape, scores.shape[1]
    kept = max(2, 1 + len(settings.ends)) * count
    total = (scores.reshape(inputs, count, vocabulary) + beams.scores[..., None]).reshape(inputs, -1)
    places = _drawn(total, kept, streams) if settings.do_sample else _top(total, kept)
    parents = places // vocabulary
    found = beams.take(parents)
    found.scores = np.take_along_axis(total, places, 1)
    found.words[:, :, length] = places % vocabulary
    found.origins[:, :, length] = np.take_along_axis(rows.reshape(inputs, count), parents, 1)
    return found, parents


def _stopped(
    tried: _Texts,
    scores: Scores,
    parents: Words,
    length: int,
    longest: int,
    settings: GenerationConfig,
    stops: Sequence[Stop],
) -> NDArray[np.bool_]:
    """Whether each candidate ends here, [B, K]."""
    if length == longest:
        return np.ones(tried.scores.shape, bool)
    count = settings.num_beams
    rows = (parents + np.arange(len(parents))[:, None] * count).ravel()
    words = tried.words[:, :, :length].reshape(-1, length)
    return ended(words, scores[rows] if stops else scores, settings, stops).reshape(tried.scores.shape)


def _kept(best: _Texts, tried: _Texts, stopped: NDArray[np.bool_], new: int, settings: GenerationConfig) -> _Texts:
    """The best finished texts, of those so far and those that finish here among the first N candidates."""
    finishes = stopped & (np.arange(stopped.shape[1]) < settings.num_beams)
    if settings.early_stopping is True:
        finishes &= ~best.exists.all(1, keepdims=True)
    scores = tried.scores / np.float32(new**settings.length_penalty)
    scores = np.where(finishes, scores, scores + _NEVER)
    both = best.concat(_Texts(tried.words, scores, tried.origins, finishes))
    return both.take(_top(both.scores, settings.num_beams))


def _can_improve(running: Scores, best: _Texts, new: int, most: int, settings: GenerationConfig) -> NDArray[np.bool_]:
    """Whether a beam of each input may become better than its worst finished text, [B]."""
    full: Any = best.exists.all(1)  # [B]
    if settings.early_stopping is True:
        return np.asarray(~full)
    longest = settings.early_stopping == "never" and settings.length_penalty > 0
    possible = running / np.float32((most if longest else new) ** settings.length_penalty)
    found: NDArray[np.bool_] = ~full | (possible > best.scores.min(1))
    return found


def _top(scores: Scores, count: int) -> Words:
    """The places of the highest scores of each row, the highest first."""
    count = min(count, scores.shape[1])
    places = np.argpartition(scores, -count, 1)[:, -count:] if count < scores.shape[1] else np.argsort(scores, 1)
    order = np.take_along_axis(scores, places, 1).argsort(1, kind="stable")[:, ::-1]
    return np.take_along_axis(places, order, 1)


def _drawn(total: Scores, count: int, streams: Sequence[np.random.Generator]) -> Words:
    """Places of each row by their probability, none twice. Those with the probability 0 fill up what the others leave."""
    count = min(count, total.shape[1])
    found = np.empty((len(total), count), np.int64)
    for places, scores, row, stream in zip(found, total, softmax(total.astype(np.float64)), streams, strict=True):
        possible = row.nonzero()[0]
        drawn = min(count, len(possible))
        places[:drawn] = stream.choice(possible, drawn, replace=False, p=row[possible] / row[possible].sum())
        others = (row == 0).nonzero()[0]
        places[drawn:] = others[(-scores[others]).argsort(kind="stable")[: count - drawn]]
    return found


def _written(found: Written, best: _Texts, settings: GenerationConfig, start: int) -> Written:
    """The best texts of each input, without what all of them have as padding at the end."""
    wanted = settings.num_return_sequences
    origins = best.origins[:, :wanted].reshape(-1, best.origins.shape[2])[:, start:]
    new = int((origins >= 0).sum(1).max(initial=0))
    found.words = best.words[:, :wanted].reshape(len(origins), -1)[:, : start + new]
    found.beams, found.totals = origins[:, :new], best.scores[:, :wanted].ravel()
    return found
