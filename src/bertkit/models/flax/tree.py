"""The tree of parameters, a nested dict as in Flax's files: {"bert": {"pooler": {"dense": {"kernel": ..., "bias": ...}}}}.

The parameter table gives each parameter its path. Dense matrices are [in, out] in the tree and [out, in] in the table.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bertkit.config import BertConfig
from bertkit.parameters import Parameter, expand, transposed

Tree: TypeAlias = Mapping[str, Any]
Path: TypeAlias = tuple[str, ...]


def paths(config: BertConfig, head: str, pooler: bool = True) -> dict[Path, Parameter]:
    """The path of each parameter in the tree of a class. The tree of FlaxBertModel is the part "bert" of the other trees.

    >>> list(paths(BertConfig.named("tiny"), "Model"))[0]
    ('embeddings', 'word_embeddings', 'embedding')
    """
    found = {}
    for name, parameter in expand(config, head).items():
        path = parameter.spelled("flax")
        path = path.removeprefix("bert/") if head == "Model" else path
        if pooler or not name.startswith("bert.pooler."):
            found[tuple(path.split("/"))] = parameter
    return found


def shape(parameter: Parameter) -> tuple[int, ...]:
    """The shape of a parameter in the tree."""
    return parameter.shape[::-1] if transposed(parameter.row, "flax") else parameter.shape


def initialize(parameter: Parameter, config: BertConfig, rng: Any) -> jax.Array:
    """An initial value, as `Parameter.initial` defines it."""
    initial = parameter.initial(config)
    if not initial.deviation:
        return jnp.full(parameter.shape, initial.mean, jnp.float32)
    key = jax.random.fold_in(rng, zlib.crc32(parameter.name.encode()))
    values = jax.random.normal(key, shape(parameter), jnp.float32) * initial.deviation
    return values if initial.zero_row is None else values.at[initial.zero_row].set(0)


def placed(
    tensors: Mapping[str, NDArray[Any]], table: Mapping[Path, Parameter], put: Callable[[Any], Any] = jnp.array
) -> dict[str, Any]:
    """Arrays by their names in the table -> the tree, without missing ones. put: copies an array to a device."""
    return nested(
        {
            path: put(tensors[parameter.name].T if transposed(parameter.row, "flax") else tensors[parameter.name])
            for path, parameter in table.items()
            if parameter.name in tensors
        }
    )


def named(tree: Tree, table: Mapping[Path, Parameter]) -> dict[str, NDArray[Any]]:
    """A tree -> NumPy arrays by their names in the table."""
    leaves, found = flat(tree), {}
    for path, parameter in table.items():
        array = np.asarray(leaves[path])
        found[parameter.name] = array.T if transposed(parameter.row, "flax") else array
    return found


def flat(tree: Tree, before: Path = ()) -> dict[Path, Any]:
    """{"a": {"b": leaf}} -> {("a", "b"): leaf}."""
    found: dict[Path, Any] = {}
    for key, value in tree.items():
        path = (*before, key)
        found |= flat(value, path) if isinstance(value, Mapping) else {path: value}
    return found


def nested(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """{("a", "b"): leaf} -> {"a": {"b": leaf}}."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        branch = tree
        for key in path[:-1]:
            branch = branch.setdefault(key, {})
        branch[path[-1]] = leaf
    return tree
