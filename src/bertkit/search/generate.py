"""The method `generate` of any framework, without its tensors: prompts and settings -> words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError, described
from bertkit.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
    GenerateDecoderOnlyOutput,
    GenerateEncoderDecoderOutput,
)
from bertkit.search.beams import write_beams
from bertkit.search.loop import Decoder, Stop, Written, streams_of, write
from bertkit.search.scores import Change, Words, changes_of
from bertkit.search.settings import GenerationConfig, check_words


def settings_of(
    of_model: GenerationConfig, given: Any, options: Mapping[str, Any], use_model_defaults: bool | None = None
) -> GenerationConfig:
    """The settings of a call: its options, then those of `generation_config`, then those of the model."""
    chosen = of_model if given is None else GenerationConfig.of(given).with_defaults(of_model, use_model_defaults)
    return chosen.with_options(options)


def check_prompt(name: str, words: Any, has_integers: bool, example: str) -> None:
    """Raise UsageError for words that are no whole numbers [B, L]."""
    if not has_integers or len(words.shape) != 2:
        raise UsageError(
            f"{name} are {described(words)}, and must be a tensor [batch, length] of whole numbers, as in {example}."
        )


def words_of(given: Any, example: str) -> Words:
    """Words [B, L] of an array, a list or a tensor of any framework."""
    array: Any = None if given is None else np.asarray(given)
    is_empty = array is not None and array.size == 0
    check_prompt(
        "input_ids",
        given if array is None else array,
        is_empty or (array is not None and array.dtype.kind in "iu"),
        example,
    )
    words: Words = array.astype(np.int64)
    return words


def mask_of(words: Any, mask: Any, settings: GenerationConfig) -> Any:
    """The given mask [B, L], or one that excludes padding tokens; None if there are none. Of arrays or tensors."""
    padding = settings.pad_token_id
    if mask is None and padding is not None and padding not in settings.ends:
        mask = words != padding
    if mask is not None and (not hasattr(mask, "shape") or tuple(mask.shape) != tuple(words.shape)):
        found = f"has the shape {[*mask.shape]}" if hasattr(mask, "shape") else f"is {described(mask)}"
        raise UsageError(f"attention_mask {found}, and the words have {[*words.shape]}.")
    return None if mask is None or bool((mask != 0).all()) else mask != 0


def search(
    decoder_of: Callable[[int, int], Decoder],
    prompt: Words,
    mask: NDArray[np.bool_] | None,
    settings: GenerationConfig,
    config: Any,
    seed: int | Sequence[int] | None,
    own: Sequence[Change] = (),
    stops: Sequence[Stop] = (),
    note: Callable[[Words], object] = lambda words: None,
) -> tuple[Written, GenerationConfig]:
    """Write after prompts. Returns the words, and the settings with the length that was chosen.

    Args:
        decoder_of: makes a decoder of the number of texts of each prompt, and the length of the longest text.
        prompt: words of each prompt, [B, L].
        mask: [B, L], false at padding; None: no padding.
        settings: the settings of the call.
        config: the configuration of the decoder.
        seed: of sampling, as in `streams_of`.
        own: changes of scores that the caller passes. With them, or with stops, rows that have ended stay in the batch.
        stops: functions of the caller that end a text.
        note: called with the new word of each row, for one beam.
    """
    (count, length), beams = prompt.shape, settings.num_beams
    padding = 0 if mask is None else int((~mask).sum(1).min())
    settings = settings.for_prompt(length, config.max_position_embeddings, padding)
    check_words(settings, config.vocab_size)
    times = beams if beams > 1 else settings.num_return_sequences
    streams = streams_of(seed, count if beams > 1 else count * times) if settings.do_sample else []
    decoder, rows, changes = (
        decoder_of(times, settings.max_length),
        prompt.repeat(times, 0),
        changes_of(settings, length, own),
    )
    stay = bool(own or stops)
    if beams > 1:
        return write_beams(decoder, rows, settings, changes, stops, streams, stay), settings
    return write(decoder, rows, settings, changes, stops, streams, stay, note), settings


def result(found: Written, settings: GenerationConfig, tensor: Callable[[Any], Any], has_encoder: bool = False) -> Any:
    """What `generate` returns: the words, or an output object. tensor: an array -> a tensor of the framework."""
    sequences = tensor(found.words)
    if not settings.return_dict_in_generate:
        return sequences
    scores, logits = (tuple(map(tensor, many)) or None for many in (found.scores, found.logits))
    if found.totals is None:
        of_one = GenerateEncoderDecoderOutput if has_encoder else GenerateDecoderOnlyOutput
        return of_one(sequences=sequences, scores=scores, logits=logits)
    of_beams = GenerateBeamEncoderDecoderOutput if has_encoder else GenerateBeamDecoderOnlyOutput
    return of_beams(
        sequences=sequences,
        sequences_scores=tensor(found.totals),
        scores=scores,
        logits=logits,
        beam_indices=tensor(found.beams),
    )
