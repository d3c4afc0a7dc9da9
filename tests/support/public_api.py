"""The public names of bertkit and their signatures, as lines of text.

python tests/support/public_api.py    adds new names to tests/data/public_api.txt, without changing recorded lines
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bertkit


def listing() -> dict[str, list[str]]:
    """Return the parameters of each qualified name, or an empty list if it is not a function."""
    found: dict[str, list[str]] = {}
    for name in bertkit.__all__:
        value = getattr(bertkit, name)
        aliased = name in bertkit._ALIASES
        found[name] = [] if aliased else _parameters(value)
        if aliased:
            continue
        members = _members(value) if inspect.isclass(value) else _functions(value) if inspect.ismodule(value) else ()
        for member, function in members:
            found[f"{name}.{member}"] = _parameters(function)
    return found


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that bertkit defines, including those of base classes."""
    for name in sorted(dir(cls)):
        value = inspect.getattr_static(cls, name)
        inner = getattr(value, "__func__", getattr(value, "fget", value))
        ours = getattr(inner, "__module__", "") or ""
        if ours.startswith("bertkit") and (not name.startswith("_") or name in ("__init__", "__call__")):
            yield name, getattr(value, "__func__", value)


def _functions(module: Any) -> Iterator[tuple[str, Any]]:
    for name in sorted(getattr(module, "__all__", ())):
        yield name, getattr(module, name)


def _parameters(value: Any) -> list[str]:
    if isinstance(value, property) or not callable(value):
        return []
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        re.sub(r" at 0x\w+", "", str(parameter.replace(annotation=inspect.Parameter.empty))) for parameter in parameters
    ]


def record(path: Path) -> None:
    """Add new names to the file."""
    lines = {line.partition("\t")[0]: line for line in path.read_text(encoding="utf-8").splitlines()}
    for name, parameters in listing().items():
        lines.setdefault(name, "\t".join([name, *parameters]))
    path.write_text("".join(f"{lines[name]}\n" for name in sorted(lines)), encoding="utf-8")


if __name__ == "__main__":
    record(Path(__file__).parents[1] / "data" / "public_api.txt")
