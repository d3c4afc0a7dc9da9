"""Tiny weights with the names in Google's TF2 checkpoints."""

from __future__ import annotations

import re

import numpy as np
import tiny

from bertkit.checkpoint.files import Tensors

ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"

# Google's TF2 names, from files that tf-models-official 2.3.0 and 2.19.0 have saved.
BLOCK = {
    "_attention_layer/_query_dense": "attention.self.query",
    "_attention_layer/_key_dense": "attention.self.key",
    "_attention_layer/_value_dense": "attention.self.value",
    "_attention_layer/_output_dense": "attention.output.dense",
    "_attention_layer_norm": "attention.output.LayerNorm",
    "_intermediate_dense": "intermediate.dense",
    "_output_dense": "output.dense",
    "_output_layer_norm": "output.LayerNorm",
}
EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")


def google2(
    root: str, by_number: bool, attention_output: str, masked_lm: str = "", next_sentence: str = ""
) -> tuple[Tensors, Tensors]:
    """Return the tiny weights with bertkit's names, and with the names and shapes of a TF2 checkpoint."""
    weights = {}
    theirs = {}
    modules = {}
    for number, embedding in enumerate(EMBEDDINGS):
        attribute = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer", "_embedding_norm_layer")[
            number
        ]
        modules[f"bert.embeddings.{embedding}"] = root + (f"layer_with_weights-{number}" if by_number else attribute)
    for layer in range(2):
        block = root + (f"layer_with_weights-{4 + layer}" if by_number else f"_transformer_layers/{layer}")
        for module, name in BLOCK.items():
            spelling = attention_output if name == "attention.output.dense" else module
            modules[f"bert.encoder.layer.{layer}.{name}"] = f"{block}/{spelling}"
    modules["bert.pooler.dense"] = root + ("layer_with_weights-6" if by_number else "_pooler_layer")
    if next_sentence == "next_sentence..pooler_dense":
        modules["bert.pooler.dense"] = next_sentence
    if masked_lm:
        modules["cls.predictions.transform.dense"] = f"{masked_lm}/dense"
        modules["cls.predictions.transform.LayerNorm"] = f"{masked_lm}/layer_norm"
        modules["cls.predictions"] = f"{masked_lm}/output_bias.S"
    config = tiny.config()
    everything = tiny.weights(config, "ForPreTraining")
    for name, array in everything.items():
        module, _, leaf = name.rpartition(".")
        if module not in modules:
            continue
        weights[name] = array
        theirs[_google2_name(modules[module], name, leaf)] = _google2_array(name, array)
    if masked_lm:
        table = f"{modules['bert.embeddings.word_embeddings']}/embeddings{ENDING}"
        theirs[f"{masked_lm}/embedding_table{ENDING}"] = theirs.pop(table)
    return weights, theirs


def _google2_name(module: str, name: str, leaf: str) -> str:
    if "LayerNorm" in name:
        leaf = {"weight": "gamma", "bias": "beta"}[leaf]
    elif leaf == "weight":
        leaf = "embeddings" if "embeddings" in name else "kernel"
    return (f"{module}{leaf}" if module.endswith(".S") else f"{module}/{leaf}") + ENDING


def _google2_array(name: str, array: np.ndarray) -> np.ndarray:
    """Reshape to a separate dimension for the 2 heads of size 4."""
    if re.search(r"self\.(query|key|value)\.weight", name):
        return array.T.reshape(8, 2, 4)
    if re.search(r"self\.(query|key|value)\.bias", name):
        return array.reshape(2, 4)
    if "attention.output.dense.weight" in name:
        return array.T.reshape(2, 4, 8)
    return array.T if array.ndim == 2 and "embeddings" not in name else array
