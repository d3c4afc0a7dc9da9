"""Outputs and gradients of transformers for a case of `conformance.cases`, as arrays by name.

This file runs with transformers 4.57.6 and 5, whichever is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from conformance.cases import ATTENTIONS, Arrays, Case, objective, projections, visible


def answers(case: Case) -> Arrays:
    """Outputs by name, for layers as "name/number", and gradients as "gradient/" and the name of the parameter."""
    model = build(case)
    # With output_attentions, a decoder with cross-attention but without encoder states crashes in 4.57.6.
    crashes = case.config.add_cross_attention and "encoder_hidden_states" not in case.inputs
    outputs = model(**tensors(case.inputs), output_hidden_states=True, output_attentions=not crashes, **uncached(case))
    found = {name: visible(case, name.partition("/")[0], array) for name, array in numpy_of(outputs).items()}
    if case.differentiable:
        scalar(case, outputs).backward()
        found |= projected_gradients(model, case.head)
    if case.cached:
        name = "logits" if "logits" in found else "last_hidden_state"
        found[f"cached {name}"] = visible(case, name, step_by_step(case, model, name))
    return found


def uncached(case: Case) -> dict[str, bool]:
    """Arguments for a call without a cache. With a cache, 4.57.6 gives all tokens of a call the relative position of the last."""
    return {"use_cache": False} if case.head in ("Model", "LMHeadModel") else {}


def build(case: Case) -> torch.nn.Module:
    """The transformers class with the weights of the case, in evaluation mode."""
    config = case.config
    pruned, config.pruned_heads = config.pruned_heads, {}
    theirs = transformers.BertConfig(**config.to_dict())
    theirs._attn_implementation = "eager"
    model = getattr(transformers, f"Bert{case.head}")(theirs).eval()
    weights = {name: torch.from_numpy(array) for name, array in case.whole_weights.items()}
    if case.head == "Model":
        weights = {name.removeprefix("bert."): array for name, array in weights.items()}
    if "cls.predictions.bias" in weights:
        weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"]
    left = model.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys and set(left.missing_keys) <= {"cls.predictions.decoder.weight"}, left
    model.tie_weights()
    if pruned:
        model.prune_heads(pruned)
    return model


def tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """The arrays as PyTorch tensors."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def numpy_of(outputs: Any) -> Arrays:
    """Each output as an array, for layers as "name/number"."""
    found = {}
    for name, value in outputs.items():
        if isinstance(value, torch.Tensor):
            found[name] = value.detach().numpy()
        elif name in ("hidden_states", *ATTENTIONS) and value is not None:
            found |= {f"{name}/{i}": layer.detach().numpy() for i, layer in enumerate(value)}
    return found


def scalar(case: Case, outputs: Any) -> torch.Tensor:
    """The number that is differentiated: the loss, or else a weighted sum of the outputs except those of padding."""
    if outputs.get("loss") is not None:
        return outputs.loss
    terms = [(value * torch.from_numpy(weights)).sum() for value, weights in objective(case, outputs)]
    return sum(terms, torch.zeros(()))


def projected_gradients(model: torch.nn.Module, head: str) -> Arrays:
    """The projections of all gradients, by the names of the parameters."""
    prefix = "bert." if head == "Model" else ""
    found = {prefix + name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    # If the vocabulary projection is untied, transformers 5 has two biases and uses the second.
    second = found.pop("cls.predictions.decoder.bias", None)
    found |= {} if second is None else {"cls.predictions.bias": second}
    return {f"gradient/{name}": projections(name, gradient) for name, gradient in found.items()}


@torch.no_grad()
def step_by_step(case: Case, model: torch.nn.Module, name: str, first: int = 1) -> np.ndarray:
    """An output that is computed with a cache: `first` tokens, then one token at a time."""
    given = tensors(case.inputs)
    ids, mask = given.pop("input_ids"), given.pop("attention_mask", None)
    given.pop("labels", None)
    past, steps = None, []
    ends = [*range(first, ids.shape[1] + 1)]
    for start, end in zip([0, *ends], ends, strict=False):
        seen = None if mask is None else mask[:, :end]
        outputs = model(ids[:, start:end], attention_mask=seen, past_key_values=past, use_cache=True, **given)
        past = outputs.past_key_values
        steps.append(getattr(outputs, name))
    return torch.cat(steps, 1).numpy()
