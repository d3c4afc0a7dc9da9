"""From the names of a file to the names of the parameter table.

Each name is stripped of what wrappers put around it, its layer's number becomes `{}`, and the table says the rest.
Nothing is guessed: the prefix of the names of BERT is that of the word embedding, and has to be nothing,
`bert.` or what the caller says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from bertkit.checkpoint import google2
from bertkit.checkpoint.files import Tensors
from bertkit.errors import LoadError
from bertkit.heads import PARTS
from bertkit.parameters import TABLE, UNTIED, Naming, ParameterRow, crossed, spelling, transposed
from bertkit.tensors import Array


@dataclass
class Canonical:
    """The tensors of a file under the names of the table; `original` is what each was called."""

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


def canonical(tensors: Mapping[str, Array], naming: Naming, prefix: str = "") -> Canonical:
    """The tensors of a file of one naming, named, turned and shaped as the table says. Views; the input stays as it is.

    `prefix` is what stands before BERT's names when BERT is a part of a larger model: `"encoder."`.
    """
    found = Canonical()
    names = _stripped(tensors, naming, prefix, found)
    index = _index(naming)
    for name, own in names.items():
        number = _LAYER.search(own)
        template = _LAYER.sub(r"\1{}", own, count=1)
        if template not in index or ("{}" in own):
            found.unknown.append(name)
            continue
        pattern, row = index[template]
        target = pattern.format(int(number[2]) if number else "")
        if target in found.tensors:
            raise LoadError(
                f"{name} and {found.original[target]} are both {target}: the file holds two models, or a damaged one."
            )
        found.tensors[target] = _turned(tensors[name], own, row, naming)
        found.original[target] = name
    return found


def _turned(array: Array, own: str, row: ParameterRow, naming: Naming) -> Array:
    if naming == "google2":
        array = google2.flat(array, own)
    return array.T if transposed(row, naming) else array


@cache
def _index(naming: Naming) -> dict[str, tuple[str, ParameterRow]]:
    """Name in the naming -> name in the table, both with `{}` for the layer, and the row."""
    index = {}
    for row in (*TABLE, UNTIED):
        names = {spelling(row, naming): row.name}
        if naming == "huggingface":
            names |= {spelling(row, "legacy"): row.name, row.alias: row.alias}
        for own, target in names.items():
            index[own] = (target, row)
            if ".attention." in target:
                index[crossed(own)] = (crossed(target), row)
    index.pop("", None)
    return index


@cache
def _word_embeddings(naming: Naming) -> str:
    return spelling(TABLE[0], naming)


def _stripped(tensors: Mapping[str, Array], naming: Naming, prefix: str, found: Canonical) -> dict[str, str]:
    """The name in the file -> the name as the naming spells it, for all that may be parameters."""
    if naming == "google2":
        names = google2.spellings(tensors)
        found.dropped += [name for name in tensors if name not in names]
        _check_has_embeddings(names, _word_embeddings(naming))
        return names
    unwrap = {"keras": _unwrap_keras, "flax": _unwrap_flax}.get(naming, _unwrap)
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
    return _with_bert(names, naming)


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


def _with_bert(names: dict[str, str], naming: Naming) -> dict[str, str]:
    """The names of a bare BertModel get the `bert.` that they have in every other class."""
    dot = "." if naming in ("huggingface", "legacy") else "/"
    table = _word_embeddings(naming).removeprefix("bert" + dot)
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
