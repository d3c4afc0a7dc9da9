"""Map the names in a file to the names of the parameter table.

The prefixes of wrappers are removed, the number of the layer becomes `{}`, and the table gives the parameter. The prefix
of BERT's names is the prefix of the word embedding. It must be empty, `bert.` or the one that the caller passes.
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
    """The tensors of a file by their names in the table. `original` maps these to the names in the file."""

    tensors: Tensors = field(default_factory=dict)
    original: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)  # not parameters: optimizer state, counters, buffers, duplicates
    unknown: list[str] = field(default_factory=list)  # not in the table


# Entries that are not parameters, saved by training scripts and old versions.
_DROPPED = re.compile(
    r"(^|[./])embeddings[./](position_ids|token_type_ids)$"
    r"|/(adam_[mv]|lamb_[mv]|Adam(_1)?|LAMB(_1)?|Momentum|ExponentialMovingAverage)$"
    r"|^(global_step|beta[12]_power|good_steps|loss_scale|signal_early_stopping)(/|$)"
)
_LAYER = re.compile(r"(layers?[./_](?:\._)?)(\d{1,4})(?=[./])")


def canonical(tensors: Mapping[str, Array], naming: Naming, prefix: str = "") -> Canonical:
    """Return views of the tensors of a file, renamed, transposed and reshaped as in the table. The input is not changed.

    `prefix` is the prefix of BERT's names where BERT is part of a larger model, for example `"encoder."`.
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
                f"{name} and {found.original[target]} are both {target}: the file contains two models or is damaged."
            )
        array = google2.flat(tensors[name], own) if naming == "google2" else tensors[name]
        found.tensors[target] = array.T if transposed(row, naming) else array
        found.original[target] = name
    return found


@cache
def _index(naming: Naming) -> dict[str, tuple[str, ParameterRow]]:
    """{name in the naming: (name in the table, row)}, with `{}` for the layer in both names."""
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
    """{name in the file: name in the naming} for all tensors that may be parameters. The others go to `found.dropped`."""
    if naming == "google2":
        names = google2.spellings(tensors)
        found.dropped += [name for name in tensors if name not in names]
        _prefixes_of_bert(names, _word_embeddings(naming))  # raises if there is no word embedding
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
            f"None of the {len(tensors)} tensors has a name that begins with {prefix!r}. The file has {some}, ...: pass "
            "the prefix of its names."
        )
    return _with_bert(names, naming)


# Each of these returns the name without the prefix, or None for a tensor that is not loaded.


def _unwrap(name: str, prefix: str) -> str | None:
    """Without the prefixes of DataParallel and torch.compile."""
    name = re.sub(r"^((module|_orig_mod)\.)+", "", name)
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def _unwrap_flax(name: str, prefix: str) -> str | None:
    """Without the `params` of a training state, whose other entries are not loaded. Safetensors files have dots for slashes."""
    own, prefix = name.replace(".", "/").removeprefix("params/"), prefix.replace(".", "/")
    return own.removeprefix(prefix) if own.startswith(prefix) and not name.startswith(("opt_state/", "step")) else None


def _unwrap_keras(name: str, prefix: str) -> str | None:
    """`layer/model/path/to/weight:0` without layer and model, which sharded files omit.

    A head that shares the embeddings has a duplicate of them below its layer, which is not loaded.
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
    """The names with the prefix `bert.`, which files of a BertModel omit."""
    dot = "." if naming in ("huggingface", "legacy") else "/"
    table = _word_embeddings(naming).removeprefix("bert" + dot)
    prefixes = _prefixes_of_bert(names, table)
    if prefixes == {"bert" + dot}:
        return names
    if prefixes != {""}:
        parts = sorted(filter(None, (prefix.removesuffix("bert" + dot) for prefix in prefixes)))
        choice = " or ".join(f"prefix={part!r}" for part in parts)
        raise LoadError(
            f"The file has word embeddings with the prefixes {', '.join(sorted(map(repr, prefixes)))}: BERT is part of a "
            f"larger model. Choose the part to load: type {choice}."
        )
    heads = tuple(part.replace(".", dot) for part in PARTS if not part.startswith("bert"))
    return {name: own if own.startswith((*heads, "bert" + dot)) else f"bert{dot}{own}" for name, own in names.items()}


def _prefixes_of_bert(names: Mapping[str, str], table: str) -> set[str]:
    """The prefixes of the word embeddings, one for each BERT in the file. LoadError if the file has no word embedding."""
    prefixes = {
        own[: -len(table)] for own in names.values() if own == table or own.endswith(("." + table, "/" + table))
    }
    if not prefixes:
        some = ", ".join([*list(names)[:3], "..."])
        raise LoadError(
            f"No word embedding ({table}) is among the {len(names)} tensors ({some}): the file is not a checkpoint of "
            "BERT, or has only a part of it."
        )
    return prefixes
