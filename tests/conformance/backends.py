"""The implementations that the suite asks. Each turns a case into answers: outputs and gradients by name, as the oracle's."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from conformance import keras_backend
from conformance.cases import OF_TOKENS, TASKS, Arrays, Case, objective_weights, projections, visible

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


def unpacked(array: np.ndarray, real: np.ndarray, padding: float = 0.0) -> np.ndarray:
    """[T, ...] -> [B, L, ...] with zeros at padding, or what an output holds there; what is not of tokens stays."""
    if array.ndim == 0 or len(array) != real.sum():
        return array
    whole = np.full((*real.shape, *array.shape[1:]), max(padding, np.finfo(array.dtype).min), array.dtype)
    whole[real] = array
    return whole


# Flax. The losses are those that scripts compute from what the classes return.


def flax_model(case: Case) -> Any:
    """Our class with the weights of the case, put into its tree."""
    from bertkit.models.flax.tree import placed

    model = getattr(bertkit, f"FlaxBert{case.head.replace('LMHeadModel', 'ForCausalLM')}")(case.config, _do_init=False)
    return model, placed(case.weights, model._paths())


def flax_answers(case: Case, compiled: bool) -> Arrays:
    """Outputs of all layers, a loss, gradients of all parameters, and a token at a time.

    Compiled as one, with fused attention; or each operation by itself, with the weights of attention.
    """
    import jax

    from bertkit.models.flax.tree import named

    model, params = flax_model(case)
    inputs = {name: array for name, array in case.inputs.items() if name not in TASKS}

    def outputs_of(params: Any, train: bool = False) -> Any:
        return model(**inputs, params=params, train=train, output_hidden_states=True, output_attentions=not compiled)

    def scalar(params: Any) -> Any:
        outputs = outputs_of(params, train=True)
        loss = flax_loss(case, outputs)
        seen = outputs if case.real.all() else outputs_of(params)
        return flax_objective(case, outputs) if loss is None else loss, (seen, loss)

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
    """Three tokens and then one at a time, with the keys and values of those before."""
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
    """What a script makes of the outputs, in JAX; None without the labels that it needs."""
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


def flax_objective(case: Case, outputs: Any) -> Any:
    """Without a loss: the weighted sum that the oracle differentiates."""
    names = (
        "last_hidden_state",
        "pooler_output",
        "logits",
        "prediction_logits",
        "seq_relationship_logits",
        "start_logits",
    )
    total = 0.0
    for name in names:
        if name in outputs and (name != "pooler_output" or case.pools_first):
            weights = objective_weights(name, outputs[name].shape)
            total = total + (outputs[name] * visible(case, name, weights)).sum()
    return total


COMPILED = {*(f"{head}/padded" for head in HEADS), "Model/relative_key", "LMHeadModel/crossed and masked"}
"""A compilation takes a second: the cases that are worth it."""


def takes(backend: str, case: Case) -> bool:
    """Whether a backend is asked a case at all."""
    if backend == "flax-jit":
        return case.name in COMPILED
    if backend.startswith("keras-"):
        return keras_backend.takes(backend.removeprefix("keras-"), case)
    return backend != "torch-packed" or packable(case)


BACKENDS: dict[str, Answer] = {
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
"""Answers that are compared only where a backend gives them. All others have to be there."""

WITHIN = {"keras-xla": 1e-4}
"""How near the numbers have to be where it is not 1e-5: XLA adds in another order."""

DEFAULT = list(BACKENDS)
