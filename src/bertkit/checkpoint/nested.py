"""Names such as "bert/pooler/dense/bias" as maps within maps: what the formats that nest their tensors write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

from bertkit.checkpoint.files import Tensors
from bertkit.errors import UsageError
from bertkit.tensors import Array

MAX_DEPTH = 32
"""How deep names may nest, written or read: those of BERT go 10 deep."""

Tree = dict[str, Union["Tree", Array]]


def nest(tensors: Tensors, groups: Iterable[str] = ()) -> Tree:
    """The tensors in maps within maps, cut at each "/" of their names, in their order.

    `groups` are paths of maps that shall exist even if nothing is in them.

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
    """The map at the end of the path `parents`, made where it is missing."""
    if len(parents) >= MAX_DEPTH:
        raise UsageError(f"The name {name!r} has {len(parents)} levels; at most {MAX_DEPTH} are written.")
    for part in parents:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict) or not part:
            raise _clash(name)
        tree = child
    return tree


def _clash(name: str) -> UsageError:
    return UsageError(
        f'The name {name!r} cannot be written: its parts between "/" may not be empty, no letter may be zero, and no '
        'name may go on where another ends, as "a" and "a/b" do.'
    )
