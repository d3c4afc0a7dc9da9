"""Lists of words with a tag for each word. Tags of entities are checked by their scheme, and written in IOB2, IOBES or BILOU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bertkit.data.examples.collection import in_order, listed
from bertkit.data.examples.columns import Field, Fields
from bertkit.data.examples.labels import name_of
from bertkit.data.examples.reader import Answers, Reader, is_missing
from bertkit.errors import DataError, Setting, described, one_of
from bertkit.metrics.schemes import (
    ALIASES,
    OUTSIDE,
    SCHEMES,
    Scheme,
    entity_spans,
    scheme_of,
    spans,
    tags_of,
)

_WRITTEN = ("IOB2", "IOBES", "BILOU")
"""The schemes that tags keep. Others are converted to the first."""


class TokenClassificationReader(Reader):
    """Examples are lists of words, answers lists of tags."""

    fields = Fields(
        (
            Field("words", ("words", "tokens", "token", "form"), also=("tokens", "text")),
            Field(
                "tags",
                ("tags", "ner_tags", "labels", "label", "pos_tags", "upos", "chunk_tags"),
                also=("labels", "label"),
            ),
        )
    )
    options = ("scheme", "repair", "label_names")

    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the words and their tags."""
        words, tags = (_list(record.get(self.columns[name]), name) for name in ("words", "tags"))
        if len(words) != len(tags):
            raise DataError(f"there are {len(words)} words, but {len(tags)} tags.")
        names = self._label_names()
        for number, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
            if not isinstance(word, str) or not word:
                raise DataError(f"the word {number} is {described(word)}, not a text.")
            if is_missing(tag):
                raise DataError(f"the tag of the word {number} ({word!r}) is missing.")
        return words, [name_of(tag, names) for tag in tags]

    def _label_names(self) -> Sequence[str] | None:
        own = self.names.get(self.columns["tags"])
        return self.given.label_names if own is None else own

    def answers(self, found: list[Any]) -> Answers:
        """Return the tags in a scheme that tasks know, or a DataError for invalid ones."""
        scheme = _scheme(found, self.given.scheme)
        names = self._label_names()
        if scheme is None:
            values, notes = found, []
        else:
            values = [_checked(tags, scheme, self.given.repair) for tags in found]
            notes = _notes(found, values, scheme)
        labels = list(names) if names else in_order({tag for tags in values if isinstance(tags, list) for tag in tags})
        if names:
            values = [_of_names(tags, names) for tags in values]
        kind = f" in {scheme}" if scheme else ", not of entities"
        return Answers(values, labels, None, [f"{len(labels)} tags{kind}: {listed(labels)}.", *notes])


def _list(value: Any, name: str) -> list[Any]:
    """Return a list of words or tags. A string has spaces between them."""
    if isinstance(value, str):
        value = value.split()
    if is_missing(value):
        raise DataError(f"the {name} are missing.")
    if not isinstance(value, (list, tuple)) and hasattr(value, "tolist"):
        value = value.tolist()  # an array in a data frame
    if not isinstance(value, (list, tuple)):
        raise DataError(f"the {name} are {described(value)}, not a list.")
    if not value:
        raise DataError(f"the list of {name} is empty.")
    return list(value)


def _scheme(found: list[list[str]], given: str | None) -> str | None:
    """Return the name of the scheme of the tags, or None for tags that are not entities."""
    if given is not None:
        name = given.upper() if isinstance(given, str) else given
        one_of("scheme", name, (*SCHEMES, *ALIASES, "NONE"))
        return None if name == "NONE" else ALIASES.get(name, name)
    labels = {tag for tags in found for tag in tags}
    if not any(label[1:2] == "-" for label in labels) and not labels <= {"B", "I", "O"}:
        return None
    known = scheme_of(labels)
    if known not in (None, SCHEMES["IOB2"]):
        return next(name for name, scheme in SCHEMES.items() if scheme == known)
    if known is None and not all(SCHEMES["IOB1"].tag(label) for label in labels):
        return None
    for name in ("IOB2", "IOB1"):
        if all(_break(tags, SCHEMES[name]) is None for tags in found):
            return name
    return "IOB2"


def _checked(tags: list[str], name: str, repair: bool) -> list[str] | DataError:
    """Return valid tags in the scheme that is written. Return a DataError for invalid tags that are not to be repaired."""
    scheme = SCHEMES[name]
    wrong = _break(tags, scheme)
    written = name if name in _WRITTEN else _WRITTEN[0]
    if wrong is None:
        return tags if written == name else tags_of(spans(tags, scheme), len(tags), written)
    unknown = next((tag for tag in tags if scheme.tag(tag) is None), None)
    if unknown is not None:
        return DataError(
            f"{unknown!r} is not a tag in {name}. If the tags are not entities, type ", Setting("scheme", "none"), "."
        )
    if not repair:
        before = tags[wrong - 1] if wrong else "the start"
        at = f"{tags[wrong]!r}, the tag of the word {wrong + 1}," if wrong < len(tags) else "the end"
        return DataError(
            f"{at} cannot follow {before} in {name}. To repair such tags, type ", Setting("repair", True), "."
        )
    letters = {"L": "E", "U": "S"} if name == "BILOU" else {}
    lenient = [letters.get(tag[0], tag[0]) + tag[1:] for tag in tags]
    return tags_of(entity_spans(lenient), len(tags), written)


def _break(tags: list[str], scheme: Scheme) -> int | None:
    """Return the index of the first tag that cannot follow the one before it, len(tags) for the end, or None."""
    before = OUTSIDE
    for index, label in enumerate(tags):
        tag = scheme.tag(label)
        if tag is None or not scheme.may_follow(before, tag):
            return index
        before = tag
    return None if scheme.may_follow(before, OUTSIDE) else len(tags)


def _notes(found: list[list[str]], values: list[Any], name: str) -> list[str]:
    """Return sentences about tags that were changed."""
    repaired = sum(
        _break(tags, SCHEMES[name]) is not None and isinstance(own, list)
        for tags, own in zip(found, values, strict=True)
    )
    notes = [f"The tags are converted from {name} to {_WRITTEN[0]}."] if name not in _WRITTEN else []
    return notes + ([f"Tags that are invalid in {name} were repaired in {repaired} texts."] if repaired else [])


def _of_names(tags: Any, names: Sequence[str]) -> Any:
    """Return tags that all have a name, or a DataError."""
    unknown = next((tag for tag in tags if tag not in names), None) if isinstance(tags, list) else None
    return tags if unknown is None else DataError(f"{unknown!r} is not one of the tags {listed(names)}.")
