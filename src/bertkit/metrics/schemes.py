"""Tags -> entities, in every scheme that is in use.

A tag is a letter and a type, as in `B-PER`; `O` is outside. Schemes differ in which letter may begin, go on and end an entity:

    tag      O  B-PER  I-PER  B-PER  O       IOB2 (BIO): B begins, I goes on
             O  I-PER  I-PER  B-PER  O       IOB1: B only where another of the type stands right before
             O  B-PER  E-PER  S-PER  O       IOBES (BIOES): E ends, S stands alone
             O  B-PER  L-PER  U-PER  O       BILOU: L ends, U stands alone
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from bertkit.errors import UsageError, did_you_mean


class Entity(NamedTuple):
    """The tokens from `start` to before `end`."""

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
    """Rules on two neighbours: their letters (`?` is any), then `=` same type, `!` another type, `*` either."""

    letters: str
    begins: str  # before and first
    goes_on: str  # one and the next
    ends: str  # last and after

    def tag(self, label: str) -> Tag | None:
        """A label as a tag, or None if it is not one of this scheme."""
        return _parse(label, self.letters)

    def continues(self, before: Tag, tag: Tag) -> bool:
        """Whether two neighbours are in the same entity."""
        return _allowed(self.goes_on, before, tag)

    def may_follow(self, before: Tag, tag: Tag) -> bool:
        """Whether `tag` is valid after `before`. `OUTSIDE` stands before the first tag and after the last."""
        is_complete = before == OUTSIDE or _allowed(self.ends, before, tag)
        is_start = tag == OUTSIDE or _allowed(self.begins, before, tag)
        return self.continues(before, tag) or (is_complete and is_start)


LENIENT = Scheme("OBIES", begins="?B* ?I* ?E* ?S*", goes_on="BI= BE= II= IE=", ends="??*")
"""What `conlleval` made of any tags: whatever is not outside belongs to an entity, even an I without a B."""

SCHEMES = {
    "IOB1": Scheme("OBI", begins="?I* BB= IB=", goes_on="BI= II=", ends="I?* BO* BI* BB="),
    "IOB2": Scheme("OBI", begins="?B*", goes_on="BI= II=", ends="??*"),
    "IOE1": Scheme("OIE", begins="?I* EE=", goes_on="II= IE=", ends="I?* EI= EE="),
    "IOE2": Scheme("OIE", begins="?I* ?E*", goes_on="II= IE=", ends="E?*"),
    "IOBES": Scheme("OBIES", begins="?B* ?S*", goes_on="BI= BE= II= IE=", ends="E?* S?*"),
    "BILOU": Scheme("OBILU", begins="?B* ?U*", goes_on="BI= BL= II= IL=", ends="L?* U?*"),
}
ALIASES = {"BIO": "IOB2", "BIOES": "IOBES", "BILUO": "BILOU"}


def scheme_named(name: str | None) -> Scheme:
    """A scheme by its name; None is the lenient one."""
    if name is None:
        return LENIENT
    found = SCHEMES.get(ALIASES.get(name.upper(), name.upper()))
    if found is None:
        known = [*SCHEMES, *ALIASES]
        raise UsageError(
            f"There is no scheme {name!r}. Accepted: {', '.join(known)}, or None for any of them read leniently."
            f"{did_you_mean(name.upper(), known)}"
        )
    return found


def entity_spans(tags: Sequence[str], scheme: str | None = None) -> list[Entity]:
    """The entities in the tags of one text.

    >>> entity_spans(["O", "B-PER", "I-PER", "O", "I-LOC"])
    [Entity(type='PER', start=1, end=3), Entity(type='LOC', start=4, end=5)]
    >>> entity_spans(["O", "B-PER", "I-PER", "O", "I-LOC"], scheme="IOB2")
    [Entity(type='PER', start=1, end=3)]

    Args:
        tags: one a token.
        scheme: "IOB2" (or "BIO"), "IOB1", "IOE1", "IOE2", "IOBES" (or "BIOES") or "BILOU", and what breaks its rules is no
            entity; None takes tags of all but the last and finds an entity wherever there is something, as `conlleval` does.
    """
    return spans(tags, scheme_named(scheme))


def spans(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """The same, with the scheme itself."""
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


def scheme_of(labels: Iterable[str]) -> Scheme | None:
    """The scheme that has the letters of all labels: IOB2, IOBES or BILOU. Labels that are no tags do not count.

    >>> scheme_of(["O", "B-PER", "I-PER", "E-PER", "S-PER"]) == SCHEMES["IOBES"]
    True
    >>> scheme_of(["NOUN", "VERB"])
    """
    letters = {tag.letter for label in labels if (tag := _parse(label, "BIESLU"))}
    schemes = (SCHEMES[name] for name in ("IOB2", "IOBES", "BILOU")) if "B" in letters else ()
    return next((scheme for scheme in schemes if letters <= set(scheme.letters)), None)


@lru_cache(65536)
def _parse(label: str, letters: str) -> Tag | None:
    letter, hyphen, kind = label.partition("-")
    return None if letter not in tuple(letters) or (letter == "O" and hyphen) else Tag(letter, kind or "_")


def _checked(label: str, scheme: Scheme) -> Tag:
    tag = scheme.tag(label)
    if tag is None:
        letters = ", ".join(scheme.letters.replace("O", ""))
        raise UsageError(
            f"{label!r} is no tag of this scheme. A tag is O, or one of the letters {letters} and a "
            "type, as in B-PER. Pass scheme= for another scheme, or labels= where tags have numbers."
        )
    return tag
