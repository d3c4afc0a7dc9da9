"""Convert tags to entities, in all common tagging schemes.

A tag is a letter and a type, for example `B-PER`, or `O` outside entities. Schemes differ in the letters that begin, continue and
end an entity:

    tag      O  B-PER  I-PER  B-PER  O       IOB2 (BIO): B begins, I continues
             O  I-PER  I-PER  B-PER  O       IOB1: B only directly after another entity of the same type
             O  B-PER  E-PER  S-PER  O       IOBES (BIOES): E ends, S is an entity of one token
             O  B-PER  L-PER  U-PER  O       BILOU: L ends, U is an entity of one token
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from bertkit.errors import UsageError, did_you_mean


class Entity(NamedTuple):
    """An entity with the tokens from `start` up to, but not including, `end`."""

    type: str
    start: int
    end: int


class Tag(NamedTuple):
    """A letter and a type."""

    letter: str
    type: str


OUTSIDE = Tag("O", "_")


@lru_cache(65536)
def _allowed(rules: str, first: Tag, second: Tag) -> bool:
    same = first.type == second.type
    return any(
        rule[0] in ("?", first.letter) and rule[1] in ("?", second.letter) and rule[2] in ("*", "=" if same else "!")
        for rule in rules.split()
    )


class Scheme(NamedTuple):
    """Rules for two neighbouring tags: their letters (`?` is any), then `=` for the same type, `!` another type, `*` any type."""

    letters: str
    begins: str  # the tag before an entity, and its first tag
    inside: str  # two neighbouring tags of an entity
    ends: str  # the last tag of an entity, and the tag after it

    def tag(self, label: str) -> Tag | None:
        """Parse a label. Return None if it is not a tag of this scheme."""
        return _parse(label, self.letters)

    def continues(self, before: Tag, tag: Tag) -> bool:
        """Return whether two neighbouring tags belong to the same entity."""
        return _allowed(self.inside, before, tag)

    def may_follow(self, before: Tag, tag: Tag) -> bool:
        """Return whether `tag` is valid after `before`. Use `OUTSIDE` before the first tag and after the last."""
        is_complete = before == OUTSIDE or _allowed(self.ends, before, tag)
        is_start = tag == OUTSIDE or _allowed(self.begins, before, tag)
        return self.continues(before, tag) or (is_complete and is_start)


LENIENT = Scheme("OBIES", begins="?B* ?I* ?E* ?S*", inside="BI= BE= II= IE=", ends="??*")
"""The rules of `conlleval`, which accept all tags: each tag except O belongs to an entity, even I without B."""

SCHEMES = {
    "IOB1": Scheme("OBI", begins="?I* BB= IB=", inside="BI= II=", ends="I?* BO* BI* BB="),
    "IOB2": Scheme("OBI", begins="?B*", inside="BI= II=", ends="??*"),
    "IOE1": Scheme("OIE", begins="?I* EE=", inside="II= IE=", ends="I?* EI= EE="),
    "IOE2": Scheme("OIE", begins="?I* ?E*", inside="II= IE=", ends="E?*"),
    "IOBES": Scheme("OBIES", begins="?B* ?S*", inside="BI= BE= II= IE=", ends="E?* S?*"),
    "BILOU": Scheme("OBILU", begins="?B* ?U*", inside="BI= BL= II= IL=", ends="L?* U?*"),
}
ALIASES = {"BIO": "IOB2", "BIOES": "IOBES", "BILUO": "BILOU"}


def scheme_named(name: str | None) -> Scheme:
    """Return a scheme by its name, or the lenient scheme for None."""
    if name is None:
        return LENIENT
    found = SCHEMES.get(ALIASES.get(name.upper(), name.upper()))
    if found is None:
        known = [*SCHEMES, *ALIASES]
        raise UsageError(
            f"Unknown scheme {name!r}: choose one of {', '.join(known)}, or None to accept all tags."
            f"{did_you_mean(name.upper(), known)}"
        )
    return found


def entity_spans(tags: Sequence[str], scheme: str | None = None) -> list[Entity]:
    """Return the entities in the tags of one text.

    >>> entity_spans(["O", "B-PER", "I-PER", "O", "I-LOC"])
    [Entity(type='PER', start=1, end=3), Entity(type='LOC', start=4, end=5)]
    >>> entity_spans(["O", "B-PER", "I-PER", "O", "I-LOC"], scheme="IOB2")
    [Entity(type='PER', start=1, end=3)]

    Args:
        tags: a tag for each token.
        scheme: "IOB2" (or "BIO"), "IOB1", "IOE1", "IOE2", "IOBES" (or "BIOES") or "BILOU": entities that break the rules of the
            scheme are left out. None: accept the tags of all schemes except BILOU in any order, as in `conlleval`.
    """
    return spans(tags, scheme_named(scheme))


def spans(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """Return the entities in the tags of one text, for a Scheme."""
    parsed = [_checked(tag, scheme) for tag in tags]
    parsed.append(OUTSIDE)
    found = []
    before, start = OUTSIDE, 0
    while start < len(tags):
        end = start + 1
        if _allowed(scheme.begins, before, parsed[start]):
            while scheme.continues(parsed[end - 1], parsed[end]):
                end += 1
            if _allowed(scheme.ends, parsed[end - 1], parsed[end]):
                found.append(Entity(parsed[start].type, start, end))
        before, start = parsed[end - 1], end
    return found


def tags_of(entities: Iterable[Entity], length: int, scheme: str = "IOB2") -> list[str]:
    """Return the tag of each of `length` tokens, the inverse of `entity_spans`.

    >>> tags_of([Entity("PER", 1, 3)], 4), tags_of([Entity("PER", 1, 3), Entity("LOC", 3, 4)], 4, "IOBES")
    (['O', 'B-PER', 'I-PER', 'O'], ['O', 'B-PER', 'E-PER', 'S-LOC'])

    Args:
        entities: entities that do not overlap.
        length: number of tokens.
        scheme: "IOB2", "IOBES" or "BILOU".
    """
    single, first, inside, last = tuple({"IOB2": "BBII", "IOBES": "SBIE", "BILOU": "UBIL"}[scheme])
    tags = ["O"] * length
    for kind, start, end in entities:
        letters = [single] if end - start == 1 else [first, *[inside] * (end - start - 2), last]
        tags[start:end] = [letter if kind == OUTSIDE.type else f"{letter}-{kind}" for letter in letters]
    return tags


def scheme_of(labels: Iterable[str]) -> Scheme | None:
    """Return the scheme with the letters of all labels: IOB2, IOBES or BILOU. Labels that are not tags are ignored.

    >>> scheme_of(["O", "B-PER", "I-PER", "E-PER", "S-PER"]) == SCHEMES["IOBES"]
    True
    >>> scheme_of(["NOUN", "VERB"])
    """
    letters = {tag.letter for label in labels if (tag := _parse(label, "BIESLU"))}
    schemes = (SCHEMES[name] for name in ("IOB2", "IOBES", "BILOU")) if "B" in letters else ()
    return next((scheme for scheme in schemes if letters <= set(scheme.letters)), None)


def scheme_for_scores(labels: Iterable[str]) -> Scheme | None:
    """Return the scheme in which to count entities if all labels are tags, one of them "O"; otherwise None.

    >>> scheme_for_scores(["O", "I-PER"]) == LENIENT, scheme_for_scores(["O", "U-PER"]) == SCHEMES["BILOU"]
    (True, True)
    >>> scheme_for_scores(["NOUN", "VERB"])
    """
    known = list(labels)
    schemes = (LENIENT, SCHEMES["BILOU"]) if "O" in known and len(known) > 1 else ()
    return next((scheme for scheme in schemes if all(scheme.tag(label) for label in known)), None)


@lru_cache(65536)
def _parse(label: str, letters: str) -> Tag | None:
    letter, hyphen, kind = label.partition("-")
    return None if letter not in tuple(letters) or (letter == "O" and hyphen) else Tag(letter, kind or "_")


def _checked(label: str, scheme: Scheme) -> Tag:
    tag = scheme.tag(label)
    if tag is None:
        letters = ", ".join(scheme.letters.replace("O", ""))
        raise UsageError(
            f"{label!r} is not a tag of this scheme. A tag is O, or one of the letters {letters} and a "
            "type, for example B-PER. Pass scheme= for another scheme, or labels= if tags are numbers."
        )
    return tag
