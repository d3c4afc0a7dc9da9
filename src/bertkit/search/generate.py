"""The method `generate` of any framework, without its tensors: prompts and settings -> words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from bertkit.outputs import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput
from bertkit.search.beams import write_beams
from bertkit.search.loop import Decoder, Written, streams_of, write
from bertkit.search.scores import Words, changes_of
from bertkit.search.settings import GenerationConfig, check_lengths, check_words

D = TypeVar("D", bound=Decoder)


def search(
    decoder_of: Callable[[Words, Words | None, int], D],
    prompt: Any,
    mask: Any,
    settings: GenerationConfig,
    config: Any,
    seed: int | Sequence[int] | None,
) -> Written:
    """Write after prompts.

    Args:
        decoder_of: makes a decoder of words [R, L], their mask [R, L] or None, and the length of the longest text.
        prompt: words of each prompt, [B, L].
        mask: [B, L], 0 at padding; None: no padding.
        settings: the settings of the call.
        config: the configuration of the model.
        seed: of sampling, as in `streams_of`.
    """
    words: Words = np.asarray(prompt, np.int64)
    length, beams = words.shape[1], settings.num_beams
    check_lengths(length, settings, config.max_position_embeddings)
    check_words(settings, config.vocab_size)
    times = beams if beams > 1 else settings.num_return_sequences
    rows = words.repeat(times, 0)
    decoder = decoder_of(rows, None if mask is None else np.asarray(mask).repeat(times, 0), settings.longest(length))
    streams = streams_of(seed, len(words) if beams > 1 else len(rows)) if settings.do_sample else []
    find = write_beams if beams > 1 else write
    return find(decoder, rows, settings, changes_of(settings, length), (), streams)


def result(found: Written, settings: GenerationConfig, tensor: Callable[[Any], Any]) -> Any:
    """What `generate` returns: the words, or an output object. tensor: an array -> a tensor of the framework."""
    sequences = tensor(found.words)
    if not settings.return_dict_in_generate:
        return sequences
    scores, logits = (tuple(map(tensor, many)) or None for many in (found.scores, found.logits))
    if found.totals is None:
        return GenerateDecoderOnlyOutput(sequences=sequences, scores=scores, logits=logits)
    return GenerateBeamDecoderOnlyOutput(
        sequences=sequences,
        sequences_scores=tensor(found.totals),
        scores=scores,
        logits=logits,
        beam_indices=tensor(found.beams),
    )
