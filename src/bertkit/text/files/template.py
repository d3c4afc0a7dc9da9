"""The special tokens around a text, and the post-processor of `tokenizer.json` that adds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bertkit.text.vocabulary import check_id

Part = tuple[int | Literal["A", "B"], int]
"""An id, or "A" or "B" for the first or second text, and the token type."""


@dataclass(frozen=True)
class Template:
    """The positions of special tokens around one text, and around a pair."""

    single: tuple[Part, ...]
    pair: tuple[Part, ...]


def bert_template(cls: int, sep: int) -> Template:
    """Return [CLS] A [SEP], and [CLS] A [SEP] B [SEP], where B and its [SEP] have token type 1."""
    single: tuple[Part, ...] = ((cls, 0), ("A", 0), (sep, 0))
    return Template(single, (*single, ("B", 1), (sep, 1)))


def read_template(processor: object) -> Template | None:
    """Return the post-processor of a `tokenizer.json` as a template, or None if it is of another kind."""
    steps = steps_of(processor, "processors")
    if steps is None:
        return None
    steps = [step for step in steps if step.get("type") != "ByteLevel"]  # ByteLevel changes only offsets
    if not steps:
        return Template((("A", 0),), (("A", 0), ("B", 1)))
    if len(steps) > 1:
        return None
    try:
        return _READERS[steps[0]["type"]](steps[0])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _bert(processor: dict[str, Any]) -> Template:
    return bert_template(_id(processor["cls"][1]), _id(processor["sep"][1]))


def _roberta(processor: dict[str, Any]) -> Template:
    cls, sep = ((_id(processor[name][1]), 0) for name in ("cls", "sep"))
    return Template((cls, ("A", 0), sep), (cls, ("A", 0), sep, sep, ("B", 0), sep))


def _from_template(processor: dict[str, Any]) -> Template:
    tokens = {name: [_id(index) for index in token["ids"]] for name, token in processor["special_tokens"].items()}
    single, pair = (tuple(_parts(processor[name], tokens)) for name in ("single", "pair"))
    if [part for part, _ in single if type(part) is str] != ["A"] or [
        part for part, _ in pair if type(part) is str
    ] != ["A", "B"]:
        raise ValueError("a template without one of the texts")
    return Template(single, pair)


_READERS = {"BertProcessing": _bert, "RobertaProcessing": _roberta, "TemplateProcessing": _from_template}


def _parts(steps: list[dict[str, Any]], tokens: Mapping[str, list[int]]) -> list[Part]:
    parts: list[Part] = []
    for step in steps:
        [(kind, value)] = step.items()
        ids = tokens[value["id"]] if kind == "SpecialToken" else [{"A": "A", "B": "B"}[value["id"]]]
        parts += [(index, _id(value["type_id"])) for index in ids]  # type: ignore[misc]
    return parts


def _id(value: object) -> int:
    return check_id(value, "A special token")


def steps_of(part: object, key: str) -> list[dict[str, Any]] | None:
    """Return a part of a `tokenizer.json` as a list of steps, which is empty for null. Returns None for an invalid part.

    `key` is the key of the steps in a part of type Sequence.
    """
    if part is None:
        return []
    if not isinstance(part, dict):
        return None
    if part.get("type") != "Sequence":
        return [part]
    steps = part.get(key)
    return steps if isinstance(steps, list) and all(isinstance(step, dict) for step in steps) else None
