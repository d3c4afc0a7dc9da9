"""Convert the names of Google's TF2 checkpoints to one spelling.

TF2 names a variable by the path of its Python attributes, and Google's code changed over the years. The same kernel is

    model/layer_with_weights-4/_attention_layer/_query_dense/kernel/.ATTRIBUTES/VARIABLE_VALUE      a model with numbered layers
    encoder/_transformer_layers/0/_attention_layer/_query_dense/kernel/.ATTRIBUTES/VARIABLE_VALUE   a model with attributes

The parameter table has the second spelling, without root and ending.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bertkit.tensors import Array

ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"

_NO_PARAMETER = re.compile(
    r"(^|/)(optimizer|save_counter|global_step|_CHECKPOINTABLE_OBJECT_GRAPH)(/|$)|/\.OPTIMIZER_SLOT/"
)
_ROOT = re.compile(
    r"(model/)?(encoder|encoder_network|model/layer_with_weights-0(?=/layer_with_weights)|model(?=/layer_with_|/_))/"
)
_FIRST_LAYERS = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer", "_embedding_norm_layer")

_RENAMED = (
    (re.compile(r"/_attention_output_dense/"), "/_attention_layer/_output_dense/"),
    (re.compile(r"^model/layer_with_weights-2/(?=dense/|layer_norm/|output_bias/|embedding_table)"), "masked_lm/"),
    (re.compile(r"^model/masked_lm/"), "masked_lm/"),
    (re.compile(r"^(model/)?classification_heads/0/out_proj/"), "next_sentence/out_proj/"),
    (re.compile(r"^(model/)?(classification_heads/0/dense|next_sentence\.pooler_dense)/"), "_pooler_layer/"),
    # TF2 stores a word embedding that is shared with a head under the shorter path, which is the head's.
    (re.compile(r"^masked_lm/embedding_table$"), "_embedding_layer/embeddings"),
)
_HEAD_POOLER = "next_sentence..pooler_dense/"

# The second head of a pretraining model with numbered layers. In other models this is a classifier of an unknown task.
_SECOND_HEAD = re.compile(r"^layer_with_weights-1/layer_with_weights-0/(?=kernel|bias)")


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Return {name in the file: name in the table} for all parameters.

    >>> spellings(["encoder/layer_with_weights-3/gamma/.ATTRIBUTES/VARIABLE_VALUE", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"])
    {'encoder/layer_with_weights-3/gamma/.ATTRIBUTES/VARIABLE_VALUE': '_embedding_norm_layer/gamma'}
    """
    found = {name: _plain(name) for name in names if not _NO_PARAMETER.search(name)}
    if any(name.startswith("masked_lm/") for name in found.values()):
        found = {name: _SECOND_HEAD.sub("next_sentence/out_proj/", plain) for name, plain in found.items()}
    layers = 1 + max(
        (int(n) for name in found.values() for n in re.findall(r"^layer_with_weights-(\d{1,4})/_attention", name)),
        default=3,
    )
    found = {name: _by_attribute(plain, layers) for name, plain in found.items()}
    if any(_HEAD_POOLER in name for name in found):
        # If the head has a separate pooler, only that one was trained: the pooler of the encoder has its initial values.
        found = {
            name: own for name, own in found.items() if _HEAD_POOLER in name or not own.startswith("_pooler_layer/")
        }
    return found


def _plain(name: str) -> str:
    """The name without ending, escapes and root, in the newest spelling of its module."""
    name = name.removesuffix(ENDING).replace("..", ".").replace(".S", "/")
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return _ROOT.sub("", name, count=1) if _ROOT.match(name) else name


def _by_attribute(name: str, after_last: int) -> str:
    """`layer_with_weights-N/...` as attributes: four embedding layers, then the transformer layers, then the pooler."""
    match = re.match(r"layer_with_weights-(\d{1,4})/", name)
    if not match:
        return name
    number = int(match[1])
    if number == after_last:
        module = "_pooler_layer"
    else:
        module = _FIRST_LAYERS[number] if number < 4 else f"_transformer_layers/{number - 4}"
    return f"{module}/{name[match.end() :]}"


def flat(array: Array, name: str) -> Array:
    """Return a kernel or bias without the separate axis of heads.

    query, key and value: [H, heads, D] -> [H, H]; attention output: [heads, D, H] -> [H, H]; biases [heads, D] -> [H].
    """
    if name.endswith("/bias"):
        return array.reshape(-1)
    if array.ndim == 3 and "_output_dense/" in name:
        return array.reshape(-1, array.shape[2])
    return array.reshape(array.shape[0], -1) if array.ndim == 3 else array


def is_google2(names: Iterable[str]) -> bool:
    """Whether these are the names of a TF2 checkpoint, not of a TF1 checkpoint."""
    return any(name.endswith(ENDING) for name in names)
