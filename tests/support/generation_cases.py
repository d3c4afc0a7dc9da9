"""Random settings of `generate`, with a tiny decoder and prompts for each, from a seed."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
import tiny

from bertkit.config import BertConfig

LEFT, ALONE, COUNT = 300, 320, 380
"""Padding is on the left, and in the cases after the first 300 on the right. After 320, other cases: see `rare_case`."""
V = 30


class Case(NamedTuple):
    """One call."""

    config: BertConfig
    weights: dict[str, np.ndarray]
    prompt: np.ndarray  # [B, L]
    mask: np.ndarray  # [B, L], 0 at padding
    options: dict[str, Any]
    given: dict[str, np.ndarray] = {}  # noqa: RUF012 - encoder_hidden_states [B, S, H] and encoder_attention_mask [B, S]


def case(seed: int) -> Case:
    """Return the case of a number. One in six samples; then only the first scores can be compared."""
    if seed >= ALONE:
        return rare_case(seed)
    rng, draws = random.Random(seed), np.random.default_rng(seed)
    config = tiny.config(vocab_size=V, is_decoder=True, max_position_embeddings=40)
    weights = tiny.trained(config, "LMHeadModel", rng.choice([0.3, 0.6, 1.0]))
    prompt = draws.integers(4, V, (int(draws.integers(1, 4)), int(draws.integers(1, 6))))
    mask = np.ones_like(prompt)
    if rng.random() < 0.4 or seed >= LEFT:
        for row in range(len(prompt)):
            mask[row, : draws.integers(0, prompt.shape[1])] = 0
    if seed >= LEFT:
        mask = mask[:, ::-1].copy()
    return Case(config, weights, prompt * mask, mask, sampling(rng) if seed % 6 == 5 else searching(rng))


def rare_case(seed: int) -> Case:
    """Return a case with the states of an encoder, relative positions, a forced first word, no end, or beams that sample."""
    rng, draws = random.Random(seed), np.random.default_rng(seed)
    positions = rng.choice(["absolute", "absolute", "relative_key", "relative_key_query"])
    has_encoder = seed % 5 < 3
    config = tiny.config(
        vocab_size=V,
        is_decoder=True,
        max_position_embeddings=40,
        position_embedding_type=positions,
        add_cross_attention=has_encoder,
    )
    rows, length, source = (int(draws.integers(1, most)) for most in (4, 6, 8))
    prompt = draws.integers(4, V, (rows, length))
    given = {}
    if has_encoder:
        shown = np.arange(source) < draws.integers(1, source + 1, (rows, 1))
        states = draws.standard_normal((rows, source, config.hidden_size)).astype(np.float32)
        given = {"encoder_hidden_states": states, "encoder_attention_mask": shown.astype(np.int64)}
    options = searching(rng)
    if rng.random() < 0.2:
        options = sampling(rng) | {"num_beams": rng.randint(2, 3)}
    elif rng.random() < 0.3:
        options["eos_token_id"] = None
        options.pop("forced_eos_token_id", None)
    if rng.random() < 0.3:
        prompt, options["forced_bos_token_id"] = prompt[:, :1], 8
    weights = tiny.trained(config, "LMHeadModel", rng.choice([0.3, 0.6, 1.0]))
    return Case(config, weights, prompt, np.ones_like(prompt), options, given)


def searching(rng: random.Random) -> dict[str, Any]:
    """Settings without sampling."""
    beams = rng.choice([1, 1, 2, 3, 4, 5])
    found: dict[str, Any] = {
        "max_new_tokens": rng.randint(2, 14),
        "num_beams": beams,
        "eos_token_id": rng.choice([3, [3, 7, 9], list(range(1, 9))]),
        "pad_token_id": 0,
        "do_sample": False,
    }
    rare: dict[str, Any] = {
        "no_repeat_ngram_size": rng.randint(1, 3),
        "repetition_penalty": rng.choice([0.7, 1.4]),
        "length_penalty": rng.choice([-1.0, 0.0, 0.5, 2.0]),
        "early_stopping": rng.choice([True, False, "never"]),
        "min_length": rng.randint(1, 9),
        "min_new_tokens": rng.randint(1, 6),
        "bad_words_ids": [[5], [6, 8], [9, 4, 2]],
        "forced_eos_token_id": 3,
        "suppress_tokens": [11, 12],
        "begin_suppress_tokens": [13, 14, 15],
        "num_return_sequences": rng.randint(1, beams),
        "use_cache": False,
    }
    return found | {name: value for name, value in rare.items() if rng.random() < 0.25}


def sampling(rng: random.Random) -> dict[str, Any]:
    """Settings of sampling, of one word."""
    return {
        "max_new_tokens": 1,
        "do_sample": True,
        "pad_token_id": 0,
        "eos_token_id": 3,
        "temperature": rng.choice([0.5, 1.0, 1.7]),
        "top_k": rng.choice([0, 1, 7, 50]),
        "top_p": rng.choice([1.0, 0.3, 0.9]),
        "repetition_penalty": rng.choice([1.0, 1.3]),
    }
