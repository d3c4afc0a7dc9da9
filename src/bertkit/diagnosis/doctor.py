"""All checks in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from bertkit.diagnosis.findings import Finding, guarded
from bertkit.errors import UsageError, received

_MOST_SECONDS = 10.0

_CHECKS = {
    "machine": {"processor": "machine:processor", "memory": "machine:memory", "threads": "machine:thread_count"},
    "installation": {
        "python": "installation:python",
        "packages": "installation:packages",
        "settings": "installation:settings",
    },
    "downloads": {"cache": "downloads:cache", "settings of the Hub": "downloads:settings"},
}
"""Section -> its checks by name: the module and the function."""


@dataclass(frozen=True)
class Diagnosis:
    """The findings of `doctor`, by section."""

    sections: dict[str, list[Finding]]

    @property
    def findings(self) -> list[Finding]:
        """The findings of all sections."""
        return [one for found in self.sections.values() for one in found]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return all(one.status != "wrong" for one in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        sections = {name: [one.to_dict() for one in found] for name, found in self.sections.items()}
        return {"healthy": self.healthy, "sections": sections}


def doctor(model: str | None = None, *, seconds: float = 5.0) -> Diagnosis:
    """Check the machine, the installation, the cache of the Hub, the speed, and the files of a model.

    No check opens a network connection, and none shows a token. A check that fails is a finding, not an exception.

    ```python
    found = bertkit.doctor("my-model")
    print([one.text for one in found.findings if one.status == "wrong"])
    ```

    Args:
        model: directory or Hub id of a model, which is looked up in the cache; None: no model is checked.
        seconds: the time of the speed test, at most 10; 0: no speed test.
    """
    if not 0 <= seconds <= _MOST_SECONDS:
        raise UsageError(received("seconds", seconds), f" is invalid: it must be from 0 to {_MOST_SECONDS:g}.")
    sections = {name: list(found) for name, found in _sections(model, seconds)}
    return Diagnosis({name: found for name, found in sections.items() if found})


def _sections(model: str | None, seconds: float) -> Iterator[tuple[str, list[Finding]]]:
    """The findings by section."""
    for section, checks in _CHECKS.items():
        yield section, [one for name, place in checks.items() for one in guarded(name, partial(_run, place))]
    steps: dict[str, Any] = {}
    yield "imports", list(guarded("imports", lambda: _imports(steps, seconds)))
    yield "devices", list(guarded("devices", lambda: _run("running:devices", steps)))
    yield "speed", list(guarded("speed", lambda: _run("running:speed", steps)))
    if model is not None:
        yield "model", list(guarded("model", lambda: _run("model:examined", model)))


def _imports(steps: dict[str, Any], seconds: float) -> Iterable[Finding]:
    """Fill the steps of the process that imports libraries, and return the findings of the imports."""
    steps.update(_run("running:probed", seconds))
    found: Iterable[Finding] = _run("running:imports", steps)
    return found


def _run(place: str, *arguments: Any) -> Any:
    """Call a check. Its module is imported only now, in the guarded check, as a library that it needs may be broken."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"bertkit.diagnosis.{module}"), name)(*arguments)
