"""Compare the PyTorch classes with the NumPy reference for thousands of random configurations and inputs.

    python tests/support/fuzz_forward.py [--cases 1500] [--seed 0]

Each case has a random class, configuration, mask (with padding anywhere, gaps or empty rows), inputs and labels, also at padding.
Outputs, loss, hidden states and attentions must agree within 1e-5. Each case depends only on its seed.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

import numpy as np
import tiny
import torch

import bertkit
from bertkit import reference
from bertkit.heads import HEADS

OF_TOKENS = ("ForMaskedLM", "LMHeadModel", "ForPreTraining", "ForTokenClassification")


def maybe(rng: np.random.Generator, chance: float) -> bool:
    """Return True with a probability."""
    return bool(rng.random() < chance)


def configuration(rng: np.random.Generator, head: str) -> bertkit.BertConfig:
    """Return a random tiny configuration without dropout."""
    given: dict[str, Any] = {
        "position_embedding_type": rng.choice(["absolute", "absolute", "relative_key", "relative_key_query"]).item(),
        "hidden_act": rng.choice(["gelu", "relu", "gelu_new"]).item(),
        "num_labels": 2 if head == "ForQuestionAnswering" else rng.choice([1, 3]).item(),
        "chunk_size_feed_forward": rng.choice([0, 2]).item(),
        "tie_word_embeddings": maybe(rng, 0.8),
        "pruned_heads": {rng.integers(2).item(): [rng.integers(2).item()]} if maybe(rng, 0.2) else {},
        "is_decoder": head in ("Model", "LMHeadModel") and maybe(rng, 0.5),
    }
    given["add_cross_attention"] = given["is_decoder"] and maybe(rng, 0.5)
    return tiny.config(**given, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def mask(rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
    """Return a mask with padding on the right, on the left or anywhere, sometimes with a row of only padding."""
    lengths, columns = rng.integers(0 if maybe(rng, 0.2) else 1, length + 1, rows)[:, None], np.arange(length)
    kinds = (columns < lengths, columns >= length - lengths, rng.random((rows, length)) < 0.6)
    return kinds[rng.integers(3)]


def inputs(rng: np.random.Generator, config: bertkit.BertConfig, head: str) -> dict[str, np.ndarray]:
    """Return random arguments of a forward."""
    rows, length = rng.integers(1, 4).item(), rng.integers(1, 9).item()
    shape = (rows, 2, length) if head == "ForMultipleChoice" else (rows, length)
    found = {"input_ids": rng.integers(0, config.vocab_size, shape)}
    real = np.ones(shape, bool)
    if maybe(rng, 0.8):
        real = mask(rng, int(np.prod(shape[:-1])), length).reshape(shape)
        found["attention_mask"] = real.astype(int)
    if maybe(rng, 0.4):
        found["token_type_ids"] = rng.integers(0, 2, shape)
    if maybe(rng, 0.2):
        found["position_ids"] = rng.integers(0, config.max_position_embeddings, shape)
    if maybe(rng, 0.2) and not config.pruned_heads:
        found["head_mask"] = rng.random((2, 2) if maybe(rng, 0.5) else 2, np.float32)
    if config.add_cross_attention and maybe(rng, 0.7):
        found["encoder_hidden_states"] = rng.standard_normal((rows, 3, config.hidden_size), np.float32)
        found["encoder_attention_mask"] = np.array([[1, 1, rng.integers(2)]] * rows)
    return found | (labels(rng, config, head, shape, real) if maybe(rng, 0.7) else {})


def labels(
    rng: np.random.Generator, config: bertkit.BertConfig, head: str, shape: tuple[int, ...], real: np.ndarray
) -> dict[str, np.ndarray]:
    """Return random labels for the loss of a class."""
    rows, length = shape[0], shape[-1]
    if head in OF_TOKENS:
        of_tokens = rng.integers(0, config.num_labels if head == "ForTokenClassification" else config.vocab_size, shape)
        of_tokens[rng.random(shape) < 0.3] = -100
        if maybe(rng, 0.7):
            of_tokens[~real] = -100
        pair = {"next_sentence_label": rng.integers(0, 2, rows)} if head == "ForPreTraining" else {}
        return {"labels": of_tokens} | pair
    if head == "ForQuestionAnswering":
        return {f"{side}_positions": rng.integers(-1, length + 2, rows) for side in ("start", "end")}
    if head == "ForSequenceClassification" and config.num_labels == 1:
        return {"labels": rng.standard_normal(rows, np.float32)}
    return {} if head == "Model" else {"labels": rng.integers(0, 2, rows)}


def difference(seed: int) -> str:
    """Return the differences in one case."""
    rng = np.random.default_rng(seed)
    head = rng.choice(list(HEADS)).item()
    config = configuration(rng, head)
    given = inputs(rng, config, head)
    weights = {name: array * np.float32(0.3) for name, array in tiny.weights(config, head).items()}
    attention = "eager" if maybe(rng, 0.5) else "sdpa"
    model = getattr(bertkit, f"Bert{head}").from_config(config, attn_implementation=attention).train(maybe(rng, 0.5))
    prefix = "bert." if head == "Model" else ""
    state = {name.removeprefix(prefix): torch.from_numpy(array) for name, array in weights.items()}
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        tensors = {name: torch.from_numpy(array) for name, array in given.items()}
        outputs = model(**tensors, output_hidden_states=True, output_attentions=maybe(rng, 0.5))
    wanted = reference.forward(config, weights, head, **given)
    for name, value in outputs.items():
        if name == "past_key_values":
            continue
        ours = [value] if isinstance(value, torch.Tensor) else value
        theirs = [wanted[name]] if isinstance(value, torch.Tensor) else wanted[name]
        for one, other in zip(ours, theirs, strict=True):
            if one.shape != other.shape or not np.allclose(one.numpy(), other, 1e-5, 1e-5, equal_nan=True):
                return f"{name} of Bert{head}, {attention}, {config.to_diff_dict()}, {given}"
    return ""


def main() -> None:
    """Run all cases, and print the seeds with differences."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("bertkit").setLevel(logging.ERROR)
    found = {seed: difference(seed) for seed in range(options.seed, options.seed + options.cases)}
    differing = {seed: what for seed, what in found.items() if what}
    for seed, what in list(differing.items())[:5]:
        print(f"seed {seed}: {what}")
    print(f"{len(found)} cases, {len(differing)} differ")
    raise SystemExit(bool(differing))


if __name__ == "__main__":
    main()
