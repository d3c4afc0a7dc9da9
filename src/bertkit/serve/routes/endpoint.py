"""A route: its path, its handler, and the form of its errors."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.serve.http import Family, Handler


@dataclass(frozen=True)
class Endpoint:
    """A path and the function that answers requests to it."""

    method: str
    path: str
    handler: Handler
    family: Family
    key: bool = True  # whether it needs the key of the server
