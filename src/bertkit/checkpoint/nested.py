"""Names such as "bert/pooler/dense/bias" as nested dicts, for the formats that nest their tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

from bertkit.checkpoint.files import Tensors
from bertkit.errors import UsageError
from bertkit.tensors import Array

MAX_DEPTH = 32
"""How many levels a name may have when it is written or read. Those of BERT have up to 10."""

Tree = dict[str, Union["Tree", Array]]


def nest(tensors: Tensors, groups: Iterable[str] = ()) -> Tree:
    """Return the tensors in nested dicts, split at each "/" of their names, in their order.

    `groups` are paths of dicts to create even if they stay empty.

    >>> nest({"a/b": 1, "a/c": 2}, groups=["d"])
    {'d': {}, 'a': {'b': 1, 'c': 2}}
    """
    root: Tree = {}
    for path in groups:
        _descend(root, path.strip("/").split("/") if path.strip("/") else [], path)
    for name, array in tensors.items():
        *parents, leaf = name.split("/")
        parent = _descend(root, parents, name)
        if leaf in parent or not leaf or "\0" in name:
            raise _clash(name)
        parent[leaf] = array
    return root


def _descend(tree: Tree, parents: list[str], name: str) -> Tree:
    """Return the dict at the path `parents`. Missing dicts are created."""
    if len(parents) >= MAX_DEPTH:
        raise UsageError(f"The name {name!r} has {len(parents)} levels; at most {MAX_DEPTH} are supported.")
    for part in parents:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict) or not part:
            raise _clash(name)
        tree = child
    return tree


def _clash(name: str) -> UsageError:
    return UsageError(
        f'The name {name!r} cannot be written: its parts between "/" must not be empty, it must not contain "\\0", and '
        'no name may be a folder of another, such as "a" of "a/b".'
    )
