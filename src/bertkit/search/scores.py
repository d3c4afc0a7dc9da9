"""Changes of the scores of the next word, each a function of the words so far and the scores.

R rows, t words of each so far, V vocabulary. A word with the score -inf is never chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bertkit.search.settings import GenerationConfig

Words = NDArray[np.int64]
Scores = NDArray[np.float32]
Change = Callable[[Words, Scores], Scores]
"""Words [R, t] and scores [R, V] -> scores [R, V]. The input is not changed."""


def changes_of(settings: GenerationConfig, prompt: int, own: Sequence[Change] = ()) -> list[Change]:
    """The changes that settings ask for, in their order: rules, a caller's own, and for sampling those of the distribution.

    prompt: the number of words before the first new one.
    """
    found = [*_rules(settings, prompt), *own]
    return [*found, *_distribution(settings)] if settings.do_sample else found


def _rules(settings: GenerationConfig, prompt: int) -> Iterator[Change]:
    ends, forced_end = settings.ends, settings.forced_eos_token_id
    if settings.repetition_penalty not in (None, 1):
        yield partial(penalize_repetition, settings.repetition_penalty)
    if settings.no_repeat_ngram_size:
        yield partial(block_repeated_ngrams, settings.no_repeat_ngram_size)
    if settings.bad_words_ids:
        yield partial(block_sequences, [bad for bad in settings.bad_words_ids if bad not in [[end] for end in ends]])
    least = settings.min_length if settings.min_new_tokens is None else prompt + settings.min_new_tokens
    if least and ends:
        yield partial(block_until, least, ends)
    if settings.forced_bos_token_id is not None:
        yield partial(force_at, 1, [settings.forced_bos_token_id])
    if forced_end is not None:
        last = settings.longest(prompt) - 1
        yield partial(force_at, last, forced_end if isinstance(forced_end, list) else [forced_end])
    if settings.suppress_tokens:
        yield partial(block, settings.suppress_tokens)
    if settings.begin_suppress_tokens:
        first = prompt + (prompt == 1 and settings.forced_bos_token_id is not None)
        yield partial(block_at, first, settings.begin_suppress_tokens)


def _distribution(settings: GenerationConfig) -> Iterator[Change]:
    kept = 1 if settings.num_beams == 1 else max(2, 1 + len(settings.ends))
    if settings.temperature not in (None, 1):
        yield partial(divide, settings.temperature)
    if settings.top_k:
        yield partial(keep_best, max(settings.top_k, kept))
    if settings.top_p is not None and settings.top_p < 1:
        yield partial(keep_share, settings.top_p, kept)


def penalize_repetition(penalty: float, words: Words, scores: Scores) -> Scores:
    """Lower the scores of words that have occurred: positive ones are divided, and negative ones multiplied."""
    known = np.take_along_axis(scores, words, 1)
    known = np.where(known < 0, known * np.float32(penalty), known / np.float32(penalty))
    changed = scores.copy()
    np.put_along_axis(changed, words, known, 1)
    return changed


def block_repeated_ngrams(size: int, words: Words, scores: Scores) -> Scores:
    """No sequence of `size` words occurs twice in a row.

    >>> block_repeated_ngrams(2, np.array([[4, 1, 4]]), np.zeros((1, 5), np.float32)).tolist()
    [[0.0, -inf, 0.0, 0.0, 0.0]]
    """
    changed, length = scores.copy(), words.shape[1]
    if length < size:
        return changed
    parts = np.lib.stride_tricks.sliding_window_view(words, size, 1)
    start = words[:, length - size + 1 :]  # [R, size - 1]
    rows, places = (parts[..., :-1] == start[:, None]).all(-1).nonzero()
    changed[rows, parts[rows, places, -1]] = -np.inf
    return changed


def block_sequences(sequences: Sequence[Sequence[int]], words: Words, scores: Scores) -> Scores:
    """None of some sequences of words is completed."""
    changed = scores.copy()
    for sequence in sequences:
        start = np.array(sequence[:-1], np.int64)
        if len(start) <= words.shape[1]:
            rows = (words[:, words.shape[1] - len(start) :] == start).all(1)
            changed[rows, sequence[-1]] = -np.inf
    return changed


def block(blocked: Sequence[int], words: Words, scores: Scores) -> Scores:
    """Some words never occur."""
    changed = scores.copy()
    changed[:, list(blocked)] = -np.inf
    return changed


def block_at(length: int, blocked: Sequence[int], words: Words, scores: Scores) -> Scores:
    """Some words do not occur after `length` words."""
    return block(blocked, words, scores) if words.shape[1] == length else scores


def block_until(length: int, blocked: Sequence[int], words: Words, scores: Scores) -> Scores:
    """Some words do not occur before `length` words."""
    return block(blocked, words, scores) if words.shape[1] < length else scores


def force_at(length: int, forced: Sequence[int], words: Words, scores: Scores) -> Scores:
    """After `length` words, one of some words follows."""
    if words.shape[1] != length:
        return scores
    changed = np.full_like(scores, -np.inf)
    changed[:, list(forced)] = 0
    return changed


def divide(temperature: float, words: Words, scores: Scores) -> Scores:
    """A lower temperature makes likely words more likely."""
    changed: Scores = scores / np.float32(temperature)
    return changed


def keep_best(count: int, words: Words, scores: Scores) -> Scores:
    """Only the `count` words with the highest scores."""
    if count >= scores.shape[1]:
        return scores
    least = np.partition(scores, -count, 1)[:, -count, None]
    return np.where(scores < least, np.float32(-np.inf), scores)


def keep_share(share: float, kept: int, words: Words, scores: Scores) -> Scores:
    """Only the likeliest words that together have a share of the probability, and at least `kept` of them."""
    order = scores.argsort(1, kind="stable")
    before = softmax(np.take_along_axis(scores, order, 1)).cumsum(1)
    low = before <= np.float32(1 - share)
    low[:, -kept:] = False
    changed = scores.copy()
    rows, places = low.nonzero()
    changed[rows, order[rows, places]] = -np.inf
    return changed


def softmax(scores: Scores) -> Scores:
    """Probabilities [R, V]."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    found: Scores = powers / powers.sum(1, keepdims=True)
    return found
