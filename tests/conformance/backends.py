"""The backends of the suite: functions that return outputs and gradients of a case by name, as the oracle does."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from conformance import keras_backend
from conformance.cases import LABELS, OF_TOKENS, Arrays, Case, objective, projections

import bertkit
from bertkit import reference
from bertkit.heads import HEADS

Backend = Callable[[Case], Arrays]


def selected() -> list[str]:
    """The names of the backends to run: those in BERTKIT_BACKENDS, by default all."""
    named = os.environ.get("BERTKIT_BACKENDS", "")
    wanted = [name.strip() for name in named.split(",")] if named else list(BACKENDS)
    unknown = set(wanted) - set(BACKENDS)
    assert not unknown, f"BERTKIT_BACKENDS has the unknown names {unknown}: choose from {', '.join(BACKENDS)}."
    return wanted


def flat(outputs: Any) -> Arrays:
    """Outputs by name, for layers as "name/number"."""
    found = {}
    for name, value in outputs.items():
        if isinstance(value, tuple):
            found |= {f"{name}/{i}": np.asarray(layer) for i, layer in enumerate(value)}
        else:
            found[name] = np.asarray(value)
    return found


def numpy_reference(case: Case) -> Arrays:
    """Outputs of `bertkit.reference`, which has no gradients and no cache."""
    return flat(reference.forward(case.config, case.weights, case.head, **case.inputs))


# PyTorch.


def torch_model(case: Case, attention: str) -> Any:
    """The bertkit class with the weights of the case: for "eager" by load_state_dict, else read from a file."""
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
    return model.train()  # the same outputs, as dropout is 0


def torch_answers(case: Case, attention: str) -> Arrays:
    """Outputs of a padded batch, gradients, and an output that is computed token by token."""
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
    """Whether the tokens of a case can be packed: no padding between them, no choices, no encoder, no labels on padding."""
    mask, whole = case.inputs.get("attention_mask"), case.head != "ForMultipleChoice"
    side_by_side = mask is None or (mask.ndim == 2 and (np.diff(mask) <= 0).all())
    return (
        whole and side_by_side and "encoder_hidden_states" not in case.inputs and "labels on padding" not in case.name
    )


def torch_packed(case: Case) -> Arrays:
    """Outputs and gradients of packed tokens. The outputs are unpacked."""
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


def unpacked(array: np.ndarray, real: np.ndarray, padding: float = 0.0) -> np.ndarray:
    """[T, ...] -> [B, L, ...], zeros or another number at padding. Other arrays are returned unchanged."""
    if array.ndim == 0 or len(array) != real.sum():
        return array
    whole = np.full((*real.shape, *array.shape[1:]), max(padding, np.finfo(array.dtype).min), array.dtype)
    whole[real] = array
    return whole


# Flax. The classes return no loss: it is computed here, as in training scripts.


def flax_model(case: Case) -> Any:
    """The bertkit class, and the weights of the case as its tree of parameters."""
    from bertkit.models.flax.tree import placed

    model = getattr(bertkit, f"FlaxBert{case.head.replace('LMHeadModel', 'ForCausalLM')}")(case.config, _do_init=False)
    return model, placed(case.weights, model._paths())


def flax_answers(case: Case, compiled: bool) -> Arrays:
    """Outputs, a loss and gradients, and an output that is computed token by token.

    compiled: by jax.jit, with fused attention and without attention weights.
    """
    import jax

    from bertkit.models.flax.tree import named

    model, params = flax_model(case)
    inputs = {name: array for name, array in case.inputs.items() if name not in LABELS}

    def outputs_of(params: Any, train: bool = False) -> Any:
        return model(**inputs, params=params, train=train, output_hidden_states=True, output_attentions=not compiled)

    def scalar(params: Any) -> Any:
        outputs = outputs_of(params, train=True)
        loss = flax_loss(case, outputs)
        seen = outputs if case.real.all() else outputs_of(params)
        if loss is None:
            return sum((value * weights).sum() for value, weights in objective(case, outputs)), (seen, None)
        return loss, (seen, loss)

    step = jax.value_and_grad(scalar, has_aux=True)
    (_, (outputs, loss)), gradients = (jax.jit(step) if compiled else step)(params)
    found = flat(outputs) | ({} if loss is None else {"loss": np.asarray(loss)})
    if case.differentiable:
        found |= {
            f"gradient/{name}": projections(name, array) for name, array in named(gradients, model._paths()).items()
        }
    if case.cached:
        name = "logits" if "logits" in found else "last_hidden_state"
        found[f"cached {name}"] = flax_step_by_step(model, params, inputs, name, compiled)
    return found


def flax_step_by_step(model: Any, params: Any, inputs: Arrays, name: str, compiled: bool) -> np.ndarray:
    """An output that is computed with a cache: three tokens, then one token at a time."""
    import jax

    ids, rest = inputs["input_ids"], {key: array for key, array in inputs.items() if key != "input_ids"}

    def step(params: Any, ids: Any, cache: Any) -> Any:
        outputs = model(ids, **rest, params=params, past_key_values=cache)
        return outputs[name], outputs.past_key_values

    step = jax.jit(step) if compiled else step
    cache, found = model.init_cache(*ids.shape), []
    ends = [3, *range(4, ids.shape[1] + 1)]
    for start, end in zip([0, *ends], ends, strict=False):
        output, cache = step(params, ids[:, start:end], cache)
        found.append(np.asarray(output))
    return np.concatenate(found, 1)


def flax_loss(case: Case, outputs: Any) -> Any:
    """The loss of a class, or None if a label is missing."""
    import jax.numpy as jnp
    import optax

    def cross_entropy(logits: Any, labels: np.ndarray) -> Any:
        kept = labels != -100
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, np.where(kept, labels, 0))
        return jnp.where(kept, losses, 0).sum() / kept.sum()

    wanted = [case.inputs.get(name) for name in HEADS[case.head].labels]
    if not wanted or any(labels is None for labels in wanted):
        return None
    logits = [outputs[name] for name in HEADS[case.head].outputs]
    if case.head == "LMHeadModel":
        return cross_entropy(logits[0][:, :-1], wanted[0][:, 1:])
    if case.head == "ForQuestionAnswering":
        length = logits[0].shape[1]
        wanted = [np.where(labels < length, labels.clip(0), -100).reshape(-1) for labels in wanted]
        return sum(map(cross_entropy, logits, wanted)) / 2
    labels, config = wanted[0], case.config
    usual = "single_label_classification" if labels.dtype.kind == "i" else "multi_label_classification"
    problem = config.problem_type or ("regression" if config.num_labels == 1 else usual)
    if case.head != "ForSequenceClassification" or problem == "single_label_classification":
        return sum(map(cross_entropy, logits, wanted))
    if problem == "regression":
        return jnp.square(logits[0] - labels.reshape(logits[0].shape)).mean()
    return optax.sigmoid_binary_cross_entropy(logits[0], labels).mean()


COMPILED = {*(f"{head}/padded" for head in HEADS), "Model/relative_key", "LMHeadModel/masked cross-attention"}
"""The cases that are run compiled. Each compilation takes a second."""


def takes(backend: str, case: Case) -> bool:
    """Whether a backend runs a case."""
    if backend == "flax-jit":
        return case.name in COMPILED
    if backend.startswith("keras-"):
        return keras_backend.takes(backend.removeprefix("keras-"), case)
    return backend != "torch-packed" or packable(case)


BACKENDS: dict[str, Backend] = {
    "reference": numpy_reference,
    "torch-eager": functools.partial(torch_answers, attention="eager"),
    "torch-sdpa": functools.partial(torch_answers, attention="sdpa"),
    "torch-packed": torch_packed,
    "flax": functools.partial(flax_answers, compiled=False),
    "flax-jit": functools.partial(flax_answers, compiled=True),
    "keras-eager": functools.partial(keras_backend.answers, how="eager"),
    "keras-graph": functools.partial(keras_backend.answers, how="graph"),
    "keras-xla": functools.partial(keras_backend.answers, how="xla"),
}
MAY_LACK = {
    "reference": ("gradient", "cached"),
    "torch-packed": ("gradient", "cached", "attentions"),
    "flax-jit": ("attentions", "cross_attentions"),
}
"""Outputs that a backend may lack. All others are required."""

TOLERANCES = {"keras-xla": 1e-4}
"""Tolerances other than 1e-5. XLA adds in another order."""
