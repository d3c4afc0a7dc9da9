"""The implementations that the suite asks. Each turns a case into answers: outputs and gradients by name, as the oracle's."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from conformance import keras_backend
from conformance.cases import OF_TOKENS, Arrays, Case

import bertkit
from bertkit import reference
from bertkit.heads import HEADS

Answer = Callable[[Case], Arrays]


def asked_for() -> list[str]:
    """The names of the backends to ask: DEFAULT, or those that BERTKIT_BACKENDS lists."""
    named = os.environ.get("BERTKIT_BACKENDS", "")
    wanted = [name.strip() for name in named.split(",")] if named else DEFAULT
    unknown = set(wanted) - set(BACKENDS)
    assert not unknown, f"BERTKIT_BACKENDS names {unknown}; there are {', '.join(BACKENDS)}."
    return wanted


def flat(outputs: Any) -> Arrays:
    """Outputs by name, those of layers numbered."""
    found = {}
    for name, value in outputs.items():
        if isinstance(value, tuple):
            found |= {f"{name}/{i}": np.asarray(layer) for i, layer in enumerate(value)}
        else:
            found[name] = np.asarray(value)
    return found


def numpy_reference(case: Case) -> Arrays:
    """`bertkit.reference`, which has no gradients and no cache."""
    return flat(reference.forward(case.config, case.weights, case.head, **case.inputs))


# PyTorch. Each backend is a way in which users call the classes.


def torch_model(case: Case, attention: str) -> Any:
    """Our class with the weights of the case: put into a model in place, for "eager", or read from files."""
    import torch

    cls = getattr(bertkit, f"Bert{case.head}")
    if attention == "eager":
        config = case.config
        pruned, config.pruned_heads = config.pruned_heads, {}
        model = cls.from_config(config, attn_implementation="eager")
        prefix = "bert." if case.head == "Model" else ""
        weights = {name.removeprefix(prefix): torch.from_numpy(a) for name, a in case.whole_weights.items()}
        left = model.load_state_dict(weights, strict=False)
        assert not left.unexpected_keys and all("decoder" in name for name in left.missing_keys), left
        if pruned:
            model.prune_heads(pruned)
    else:
        with tempfile.TemporaryDirectory() as folder:
            bertkit.save_checkpoint(folder, case.weights, case.config, case.head)
            model = cls.from_pretrained(folder, attn_implementation=attention, dtype="float32")
    return model.train()  # without dropout it answers the same, and gradients are of training


def torch_answers(case: Case, attention: str) -> Arrays:
    """Rectangles with a mask, the states and attentions of all layers, gradients, and a token at a time."""
    from conformance import oracle

    model = torch_model(case, attention)
    inputs = oracle.tensors(case.inputs)
    outputs = model(**inputs, output_hidden_states=True, output_attentions=True, **oracle.uncached(case))
    found = oracle.numpy_of(outputs)
    if case.differentiable:
        oracle.scalar(case, outputs).backward()
        found |= oracle.projected_gradients(model, case.head)
    if case.cached:
        name = "logits" if "logits" in found else "last_hidden_state"
        found[f"cached {name}"] = oracle.step_by_step(case, model.eval(), name, first=4 if attention == "sdpa" else 1)
    return found


def packable(case: Case) -> bool:
    """Whether the tokens of a case can be given packed: all of a sequence side by side, and one row of them."""
    mask, whole = case.inputs.get("attention_mask"), case.head != "ForMultipleChoice"
    side_by_side = mask is None or (mask.ndim == 2 and (np.diff(mask) <= 0).all())
    return (
        whole and side_by_side and "encoder_hidden_states" not in case.inputs and "labels on padding" not in case.name
    )


def torch_packed(case: Case) -> Arrays:
    """The real tokens alone, one sequence after the other; answers that are packed too are put back into rectangles."""
    from conformance import oracle

    model, real = torch_model(case, "sdpa"), case.real
    given = dict(case.inputs)
    given.pop("attention_mask", None)
    for name in ("input_ids", "token_type_ids", "position_ids", "inputs_embeds"):
        if name in given:
            width = (given[name].shape[-1],) if name == "inputs_embeds" else ()
            given[name] = given[name].reshape(*real.shape, *width)[real]
    if case.head in OF_TOKENS and "labels" in given:
        given["labels"] = given["labels"][real]
    lengths = real.sum(1).tolist()
    outputs = model(**oracle.tensors(given), lengths=lengths, output_hidden_states=True, **oracle.uncached(case))
    padding = {name: output.padding for name, output in HEADS[case.head].outputs.items()}
    found = {name: unpacked(array, real, padding.get(name, 0)) for name, array in oracle.numpy_of(outputs).items()}
    if "loss" in found and case.differentiable and case.head != "ForQuestionAnswering":
        outputs.loss.backward()
        found |= oracle.projected_gradients(model, case.head)
    return found


def unpacked(array: np.ndarray, real: np.ndarray, padding: float) -> np.ndarray:
    """[T, ...] -> [B, L, ...] with zeros at padding, or what an output holds there; what is not of tokens stays."""
    if array.ndim == 0 or len(array) != real.sum():
        return array
    whole = np.full((*real.shape, *array.shape[1:]), max(padding, np.finfo(array.dtype).min), array.dtype)
    whole[real] = array
    return whole


def takes(backend: str, case: Case) -> bool:
    """Whether a backend is asked a case at all."""
    if backend.startswith("keras-"):
        return keras_backend.takes(backend.removeprefix("keras-"), case)
    return backend != "torch-packed" or packable(case)


BACKENDS: dict[str, Answer] = {
    "reference": numpy_reference,
    "torch-eager": functools.partial(torch_answers, attention="eager"),
    "torch-sdpa": functools.partial(torch_answers, attention="sdpa"),
    "torch-packed": torch_packed,
    "keras-eager": functools.partial(keras_backend.answers, how="eager"),
    "keras-graph": functools.partial(keras_backend.answers, how="graph"),
    "keras-xla": functools.partial(keras_backend.answers, how="xla"),
}
MAY_LACK = {"reference": ("gradient", "cached"), "torch-packed": ("gradient", "cached", "attentions")}
"""Answers that are compared only where a backend gives them. All others have to be there."""

WITHIN = {"keras-xla": 1e-4}
"""How near the numbers have to be where it is not 1e-5: XLA adds in another order."""

DEFAULT = list(BACKENDS)
