"""The backends of the Keras classes: eager, in a tf.function, and compiled by XLA."""

from __future__ import annotations

import contextlib
import tempfile
from typing import Any

import numpy as np
from conformance.cases import ATTENTIONS, Arrays, Case, objective, projections

import bertkit
from bertkit.parameters import transposed


def tensorflow() -> Any:
    """Import TensorFlow, with one thread."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # where it has computed already, as a page of the docs does
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def model_of(case: Case) -> Any:
    """The bertkit class with the weights of the case, read from a file."""
    tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        bertkit.save_checkpoint(folder, case.weights, case.config, case.head)
        return getattr(bertkit, f"TFBert{case.head}").from_pretrained(folder)


def answers(case: Case, how: str) -> Arrays:
    """Outputs and gradients, and an output that is computed token by token."""
    tf, model = tensorflow(), model_of(case)

    def forward(inputs: dict[str, Any]) -> Any:
        with tf.GradientTape() as tape:
            # training=True turns off the cache, as in the oracle. Dropout is 0.
            outputs = model(inputs, output_hidden_states=True, output_attentions=True, training=True)
            total = scalar(case, outputs)
        gradients = tape.gradient(total, model.trainable_variables) if case.differentiable else []
        return outputs, [None if g is None else tf.convert_to_tensor(g) for g in gradients]

    run = forward if how == "eager" else tf.function(forward, jit_compile=how == "xla")
    outputs, gradients = run({name: tf.constant(array) for name, array in case.inputs.items()})
    found = flat(outputs)
    by_variable = {id(v): g for v, g in zip(model.trainable_variables, gradients, strict=False) if g is not None}
    for variable, parameter in model._table():
        if id(variable) in by_variable:
            gradient = by_variable[id(variable)].numpy()
            gradient = gradient.T if transposed(parameter.row, "keras") else gradient
            found[f"gradient/{parameter.name}"] = projections(parameter.name, gradient)
    if case.cached:
        name = "logits" if "logits" in found else "last_hidden_state"
        found[f"cached {name}"] = step_by_step(case, model, name)
    return found


def flat(outputs: Any) -> Arrays:
    """Each output as an array, for layers as "name/number". The loss is averaged over rows."""
    found = {}
    for name, value in outputs.items():
        if name in ("hidden_states", *ATTENTIONS):
            found |= {f"{name}/{i}": layer.numpy() for i, layer in enumerate(value)}
        elif name != "past_key_values":
            found[name] = value.numpy().mean() if name == "loss" else value.numpy()
    return found


def scalar(case: Case, outputs: Any) -> Any:
    """The number that is differentiated, as in oracle.scalar."""
    tf = tensorflow()
    if "loss" in outputs:
        return tf.reduce_mean(outputs.loss)
    return sum([tf.reduce_sum(value * weights) for value, weights in objective(case, outputs)], tf.zeros(()))


def step_by_step(case: Case, model: Any, name: str) -> np.ndarray:
    """An output that is computed with a cache: two tokens, then one token at a time."""
    given = dict(case.inputs)
    ids, mask = given.pop("input_ids"), given.pop("attention_mask", None)
    given.pop("labels", None)
    past, steps = None, []
    ends = [*range(2, ids.shape[1] + 1)]
    for start, end in zip([0, *ends], ends, strict=False):
        seen = None if mask is None else mask[:, :end]
        outputs = model(ids[:, start:end], attention_mask=seen, past_key_values=past, **given)
        past = outputs.past_key_values
        steps.append(outputs[name].numpy())
    return np.concatenate(steps, 1)


def takes(how: str, case: Case) -> bool:
    """Whether to run a case. Graphs take seconds to build: they run one case of each class, and different masks and caches."""
    named = case.name.partition("/")[2]
    further = ("holes", "decoder, masked cross-attention", "relative_key_query, left padding", "head mask by layer")
    return how == "eager" or named == "padded" or (case.head == "Model" and named in further)
