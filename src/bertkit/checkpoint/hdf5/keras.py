"""The attributes that Keras needs in an HDF5 file in addition to the tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bertkit.errors import UsageError

KERAS_VERSION = "2.15.0"
"""Keras converts the weights of a file without a version as if Keras 1 had written it."""

ATTRIBUTE_LIMIT = 64512
"""Keras's limit for the texts of one attribute, in bytes. HDF5's limit is 64 KB for the whole attribute."""


def keras_attributes(names: Iterable[str]) -> Mapping[str, Mapping[str, str | list[str]]]:
    """Return the attributes of the groups of a Keras weights file: its layers, and the weights of each layer.

    `names` are the paths of the tensors, `<layer>/<weight>`, in the order of the weights of the model. Keras's
    `load_weights` uses this order (transformers uses the names). The result, {path of a group: {name: value}}, is an
    argument of `write`.

    >>> keras_attributes(["bert/tf_bert_model/bert/pooler/dense/kernel:0"])["bert"]
    {'weight_names': ['tf_bert_model/bert/pooler/dense/kernel:0']}
    """
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, _, weight = name.partition("/")
        if not weight:
            raise UsageError(f"The tensor {name!r} is in no layer: Keras needs names such as 'layer/kernel:0'.")
        layers.setdefault(layer, []).append(weight)
    root = {"backend": "tensorflow", "keras_version": KERAS_VERSION, **_split("layer_names", list(layers))}
    return {"/": root, **{layer: _split("weight_names", weights) for layer, weights in layers.items()}}


def _split(attribute: str, texts: list[str]) -> dict[str, str | list[str]]:
    """The texts as one attribute or, if they are too many, as `attribute0`, `attribute1` ..., which Keras joins."""
    width = max(
        (len(text.encode()) for text in texts), default=1
    )  # all texts of an array have the width of the longest
    count = max(1, ATTRIBUTE_LIMIT // width)
    if len(texts) <= count:
        return {attribute: texts}
    return {f"{attribute}{part}": texts[part * count : (part + 1) * count] for part in range(-(-len(texts) // count))}
