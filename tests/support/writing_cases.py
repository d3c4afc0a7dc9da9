"""A tiny encoder-decoder, and random calls of the pipelines that write. They depend only on the seed."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_cases
import tiny

from bertkit.config import BertConfig
from bertkit.config.encoder_decoder import EncoderDecoderConfig
from bertkit.parameters import expand

COUNT = 60
TASKS = ("text-generation", "summarization", "text2text-generation")
_FOLDER = tempfile.TemporaryDirectory()


def pair_config() -> EncoderDecoderConfig:
    """Return the configuration of the encoder-decoder, whose encoder is wider."""
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    encoder, decoder = (
        BertConfig(
            vocab_size=len(pipeline_cases.vocabulary()), hidden_size=width, max_position_embeddings=pipeline_cases.LENGTH,
            is_decoder=width == 16, add_cross_attention=width == 16, **sizes,
        )
        for width in (24, 16)
    )  # fmt: skip
    own: dict[str, Any] = {"decoder_start_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}
    return EncoderDecoderConfig(encoder=encoder, decoder=decoder, architectures=["EncoderDecoderModel"], **own)


def pair_weights() -> dict[str, np.ndarray]:
    """Return its weights by their names in a file."""
    config = pair_config()
    found = {}
    for part, head, own in (("encoder", "Model", config.encoder), ("decoder", "LMHeadModel", config.decoder)):
        for name, parameter in expand(own, head).items():
            normal = tiny.numbers(part + name, parameter.shape)
            path = f"{part}.{name.removeprefix('bert.') if head == 'Model' else name}"
            found[path] = (
                1 + normal / 8 if parameter.kind == "norm" else normal / (8 if parameter.kind == "bias" else 2)
            )
    found["enc_to_dec_proj.weight"] = tiny.numbers("projection", (16, 24))
    found["enc_to_dec_proj.bias"] = tiny.numbers("projection.bias", (16,))
    return found


@cache
def pair_folder() -> Path:
    """Save the encoder-decoder and its tokenizer, and return their folder."""
    import pipeline_models

    from bertkit.checkpoint.save import save_safetensors

    path = Path(_FOLDER.name) / "pair"
    pair_config().save_pretrained(path)
    save_safetensors(path, pair_weights(), 10**9, None)
    pipeline_models.tokenizer().save_pretrained(path)
    return path


def case(task: str, seed: int) -> tuple[Any, dict[str, Any]]:
    """Return the texts of a call, and its options."""
    rng = random.Random(f"{task} {seed}")
    sentences = pipeline_cases.SENTENCES
    long = task != "text-generation" and rng.random() < 0.2
    texts = [" ".join(rng.sample(sentences, 8 if long else 1)) for _ in range(rng.randint(1, 3))]
    if task == "text-generation":
        texts = [" ".join(text.split()[: rng.randint(1, 6)]) for text in texts]
    beams = rng.choice([1, 1, 2, 3, 4])
    options: dict[str, Any] = {"max_new_tokens": rng.randint(3, 14), "do_sample": False, "num_beams": beams}
    possible: dict[str, Any] = {
        "no_repeat_ngram_size": rng.randint(1, 3), "repetition_penalty": 1.5, "min_length": rng.randint(3, 9),
        "min_new_tokens": rng.randint(2, 5), "length_penalty": rng.choice([0.5, 2.0]),
        "early_stopping": rng.choice([True, "never"]),
        "bad_words_ids": [[rng.randrange(5, 300)] for _ in range(9)], "eos_token_id": rng.randrange(5, 300),
        "num_return_sequences": rng.randint(1, beams), "clean_up_tokenization_spaces": rng.random() < 0.5,
        "return_tensors": True, "stop_sequence": rng.choice(["the", "."]),
    }  # fmt: skip
    if task == "text-generation":
        possible |= {"return_full_text": rng.random() < 0.5, "skip_special_tokens": False}
        possible |= {"add_special_tokens": rng.random() < 0.5, "prefix": "The sea. "}
    chosen = {name: possible[name] for name in rng.sample(sorted(possible), rng.randint(0, 4))}
    if {"return_tensors", "return_full_text"} <= chosen.keys():
        del chosen["return_full_text"]
    if {"stop_sequence", "eos_token_id"} <= chosen.keys():
        del chosen["eos_token_id"]
    if beams == 1:
        chosen = {name: value for name, value in chosen.items() if name not in ("length_penalty", "early_stopping")}
    options |= chosen | ({"truncation": True} if long else {})
    return (texts[0] if len(texts) == 1 and rng.random() < 0.7 else texts), options
