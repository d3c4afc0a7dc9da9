"""Findings: what a check found, whether it is wrong, and what to type then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from bertkit.errors import BertkitError, printable

Status = Literal["ok", "note", "wrong"]
"""How a finding is: in order, perhaps not intended, or a fault."""

Check = Callable[[], Iterable["Finding"]]
Value = TypeVar("Value")

_REPORT = "report it with the whole output of this command"
_LONGEST = 1_000


@dataclass(frozen=True)
class Finding:
    """One line of the doctor.

    >>> note("memory", "0.6 GB are free", "close other programs", free=600_000_000).to_dict()["status"]
    'note'
    """

    name: str
    text: str
    remedy: str = ""  # what to type or to do, if it is not in order
    status: Status = "ok"
    values: Mapping[str, Any] = field(default_factory=dict)  # the same as numbers and lists

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        own = {"name": self.name, "status": self.status, "text": self.text, "remedy": self.remedy}
        return {**own, **self.values}


def fine(name: str, text: str, **values: Any) -> Finding:
    """A finding that is in order."""
    return Finding(name, text, values=values)


def note(name: str, text: str, remedy: str, **values: Any) -> Finding:
    """A finding that may be intended, with what to do if it is not."""
    return Finding(name, text, remedy, "note", values)


def wrong(name: str, text: str, remedy: str, **values: Any) -> Finding:
    """A fault, with its remedy."""
    return Finding(name, text, remedy, "wrong", values)


def guarded(name: str, check: Check, remedy: str = _REPORT) -> Iterator[Finding]:
    """The findings of a check. If it raises an exception, the last one says which.

    >>> def check():
    ...     yield fine("cores", "4 cores")
    ...     raise OSError("no such disk")
    >>> [(one.name, one.status, one.text) for one in guarded("machine", check)]
    [('cores', 'ok', '4 cores'), ('machine', 'wrong', 'this check failed with OSError: no such disk')]
    """
    try:
        yield from check()
    except Exception as error:
        yield failed(name, error, remedy)


def attempt(name: str, work: Callable[[], Value], remedy: str) -> tuple[Value | None, list[Finding]]:
    """The result of a function, or None and the finding of its exception.

    >>> attempt("number", lambda: int("12"), "type a number")
    (12, [])
    """
    try:
        return work(), []
    except Exception as error:
        return None, [failed(name, error, remedy)]


def failed(name: str, error: Exception, remedy: str) -> Finding:
    """The finding of an exception. An error of bertkit already says what was received and what to type."""
    if isinstance(error, BertkitError):
        return wrong(name, printable(error, _LONGEST), remedy)
    return wrong(name, f"this check failed with {type(error).__name__}: {printable(error, _LONGEST)}", remedy)
