"""A server for every task: a queue that batches requests, and HTTP routes of several protocols.

from bertkit.serve import Settings, app

application = app(Settings(models={"films": "DIR"}))  # for any server of ASGI, such as uvicorn
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bertkit.serve.settings import Settings

if TYPE_CHECKING:
    from bertkit.serve.application import app as app

__all__ = ["Settings", "app"]


def __getattr__(name: str) -> Any:
    """Import `app` on first use, as it needs starlette."""
    if name == "app":
        from bertkit.serve.application import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
