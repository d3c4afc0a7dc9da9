"""From the names of a file to the names of the parameter table.

Each name is stripped of what wrappers put around it, its layer's number becomes `{}`, and the table says the rest.
Nothing is guessed: what stands before the names of BERT is told by where the word embedding is, and has to be nothing,
`bert.` or what the caller says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from bertkit.checkpoint import google2
from bertkit.checkpoint.files import Array, Tensors
from bertkit.errors import LoadError
from bertkit.heads import PARTS
from bertkit.parameters import TABLE, UNTIED, Layout, Row, crossed, spelling, transposed


@dataclass
class Canonical:
    """The tensors of a file under the names of the table; `original` tells what each was called."""

    tensors: Tensors = field(default_factory=dict)
    original: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)  # no parameters: optimizer state, counters, buffers, second copies
    unknown: list[str] = field(default_factory=list)  # not in the table


# What training and old versions leave in a file and is no parameter.
_DROPPED = re.compile(
    r"(^|[./])embeddings[./](position_ids|token_type_ids)$"
    r"|/(adam_[mv]|lamb_[mv]|Adam(_1)?|LAMB(_1)?|Momentum|ExponentialMovingAverage)$"
    r"|^(global_step|beta[12]_power|good_steps|loss_scale|signal_early_stopping)(/|$)"
)
_LAYER = re.compile(r"(layers?[./_](?:\._)?)(\d{1,4})(?=[./])")


def canonical(tensors: Mapping[str, Array], layout: Layout, prefix: str = "") -> Canonical:
    """The tensors of a file of one layout, named, turned and shaped as the table says. Views; the input stays as it is.

    `prefix` is what stands before BERT's names when BERT is a part of a larger model: `"encoder."`.
    """
    found = Canonical()
    names = _stripped(tensors, layout, prefix, found)
    index = _index(layout)
    for name, own in names.items():
        number = _LAYER.search(own)
        template = _LAYER.sub(r"\1{}", own, count=1)
        if template not in index or ("{}" in own):
            found.unknown.append(name)
            continue
        target, row = index[template]
        _take(found, target.format(int(number[2]) if number else ""), name, _turned(tensors[name], own, row, layout))
    return found


def _take(found: Canonical, target: str, name: str, array: Array) -> None:
    if target in found.tensors:
        raise LoadError(
            f"{name} and {found.original[target]} are both {target}: the file holds two models, or a damaged one."
        )
    found.tensors[target] = array
    found.original[target] = name


def _turned(array: Array, own: str, row: Row, layout: Layout) -> Array:
    if layout == "google2":
        array = google2.flat(array, own)
    return array.T if transposed(row, layout) else array


@cache
def _index(layout: Layout) -> dict[str, tuple[str, Row]]:
    """Name in the layout -> name in the table, both with `{}` for the layer, and the row."""
    index = {}
    for row in (*TABLE, UNTIED):
        names = {spelling(row, layout): row.name}
        if layout == "huggingface":
            names |= {spelling(row, "legacy"): row.name, row.alias: row.alias}
        for own, target in names.items():
            index[own] = (target, row)
            if ".attention." in target:
                index[crossed(own)] = (crossed(target), row)
    index.pop("", None)
    return index


def _stripped(tensors: Mapping[str, Array], layout: Layout, prefix: str, found: Canonical) -> dict[str, str]:
    """The name in the file -> the name as the layout spells it, for all that may be parameters."""
    if layout == "google2":
        names = google2.spellings(tensors)
        found.dropped += [name for name in tensors if name not in names]
        _check_has_embeddings(names, spelling(TABLE[0], layout))
        return names
    unwrap = {"keras": _unwrap_keras, "flax": _unwrap_flax}.get(layout, _unwrap)
    names = {}
    for name in tensors:
        own = unwrap(name, prefix)
        if own is None or _DROPPED.search(own):
            found.dropped.append(name)
        else:
            names[name] = own
    if prefix and not names:
        some = ", ".join(list(tensors)[:3])
        raise LoadError(
            f"None of the {len(tensors)} tensors has a name that begins with {prefix!r}; there is {some}, ..."
        )
    return _with_bert(names, layout)


# Each of these gives the name below the prefix, or None for what is not wanted.


def _unwrap(name: str, prefix: str) -> str | None:
    """Without what DataParallel and torch.compile put before a name."""
    name = re.sub(r"^((module|_orig_mod)\.)+", "", name)
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def _unwrap_flax(name: str, prefix: str) -> str | None:
    """Without the `params` of a training state, of which nothing else is wanted. In safetensors files dots part the names."""
    own, prefix = name.replace(".", "/").removeprefix("params/"), prefix.replace(".", "/")
    return own.removeprefix(prefix) if own.startswith(prefix) and not name.startswith(("opt_state/", "step")) else None


def _unwrap_keras(name: str, prefix: str) -> str | None:
    """`layer/model/path/to/weight:0` without layer and model, which sharded files do not have.

    A head that shares the embeddings has a second copy of them below its own layer, which is not wanted.
    """
    if not name.startswith(prefix):
        return None
    name = name.removeprefix(prefix).removesuffix(":0")
    layer, _, path = name.partition("/")
    own = path.partition("/")[2]
    if not own.startswith(("bert/", "mlm___cls/", "nsp___cls/", "classifier/", "qa_outputs/")):
        return name
    return None if layer.endswith("___cls") and own.startswith("bert/") else own


def _with_bert(names: dict[str, str], layout: Layout) -> dict[str, str]:
    """The names of a bare BertModel get the `bert.` that they have in every other class."""
    dot = "." if layout in ("huggingface", "legacy") else "/"
    table = spelling(TABLE[0], layout).removeprefix("bert" + dot)
    before = _check_has_embeddings(names, table)
    if before == {"bert" + dot}:
        return names
    if before != {""}:
        parts = sorted(filter(None, (place.removesuffix("bert" + dot) for place in before)))
        choice = " or ".join(f"prefix={part!r}" for part in parts)
        raise LoadError(
            f"The file has word embeddings below {', '.join(sorted(map(repr, before)))}: BERT is a part of a larger "
            f"model there. Say which part is wanted: {choice}."
        )
    heads = tuple(part.replace(".", dot) for part in PARTS if not part.startswith("bert"))
    return {name: own if own.startswith((*heads, "bert" + dot)) else f"bert{dot}{own}" for name, own in names.items()}


def _check_has_embeddings(names: Mapping[str, str], table: str) -> set[str]:
    """What stands before the name of the word embedding, in each place where there is one."""
    before = {own[: -len(table)] for own in names.values() if own == table or own.endswith(("." + table, "/" + table))}
    if not before:
        some = ", ".join(list(names)[:3]) or "none at all"
        raise LoadError(
            f"No word embedding ({table}) is among the {len(names)} tensors ({some}, ...): this is no BERT, or only a "
            "part of one."
        )
    return before
