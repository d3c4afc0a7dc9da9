"""A tiny encoder-decoder, and texts with their summaries as ids, for training beside transformers."""

from __future__ import annotations

import numpy as np
import tiny

from bertkit.config import BertConfig
from bertkit.config.encoder_decoder import EncoderDecoderConfig

STEPS, SIZE = 50, 4
OPTIONS = {"lr": 1e-2, "warmup": 0.1, "weight_decay": 0.05, "clip": 1.0, "max_steps": STEPS}


def config() -> EncoderDecoderConfig:
    """Return the configuration, without dropout. The encoder is wider."""
    own = {"vocab_size": 40, "max_position_embeddings": 20, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    encoder, decoder = (
        BertConfig.from_dict({**tiny.config(hidden_size=width, **own).to_dict(), "is_decoder": False})
        for width in (16, 8)
    )
    tokens = {"decoder_start_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}
    return EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, **tokens)


def weights() -> dict[str, np.ndarray]:
    """Return the weights by their names in a file."""
    found = {}
    for part, head, own in (("encoder", "Model", config().encoder), ("decoder", "LMHeadModel", config().decoder)):
        for name, array in tiny.trained(own, head).items():
            found[f"{part}.{name.removeprefix('bert.') if head == 'Model' else name}"] = array
    for name, shape in (("weight", (8, 16)), ("bias", (8,))):
        found[f"enc_to_dec_proj.{name}"] = tiny.numbers(f"projection {name}", shape) / 8
    return found


def examples() -> list[tuple[list[int], list[int]]]:
    """Return the ids of texts and of their summaries, which are some of their words, for five steps."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(5 * SIZE):
        text = rng.integers(4, 40, rng.integers(5, 15)).tolist()
        found.append(([2, *text, 3], [*text[:: int(rng.integers(2, 4))], 3]))
    return found
