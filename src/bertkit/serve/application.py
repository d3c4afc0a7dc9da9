"""The ASGI application: all routes around one `Server`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bertkit.serve.http import Call, respond
from bertkit.serve.refusals import Refusal
from bertkit.serve.routes import huggingface, openai, own, tei
from bertkit.serve.routes.endpoint import Endpoint
from bertkit.serve.routes.own import OWN
from bertkit.serve.server import Server
from bertkit.serve.settings import Settings


def app(settings: Settings) -> Starlette:
    """The application for a server of ASGI. It loads the models when it starts, and answers the waiting requests when it stops.

    Args:
        settings: the models and the limits.
    """
    return app_of(Server(settings))


def app_of(server: Server) -> Starlette:
    """The application around a server. `app.state.server` is that server."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server.running():
            yield

    found = Starlette(
        routes=[_route(server, one) for room in (own, tei, openai, huggingface) for one in room.ENDPOINTS],
        middleware=_middleware(server.settings),
        exception_handlers={HTTPException: _no_route(server)},
        lifespan=lifespan,
    )
    found.router.redirect_slashes = False
    found.state.server = server
    return found


def _route(server: Server, one: Endpoint) -> Route:
    async def answer(request: Request) -> Response:
        return await respond(server, one.family, one.handler, request, one.key, one.path)

    return Route(one.path, answer, methods=[one.method])


def _middleware(settings: Settings) -> list[Middleware]:
    """Without origins, the pages of other servers cannot read answers."""
    if not settings.cors_allow_origin:
        return []
    allowed = list(settings.cors_allow_origin)
    headers = ["authorization", "content-type", "x-request-id"]
    return [Middleware(CORSMiddleware, allow_origins=allowed, allow_methods=["GET", "POST"], allow_headers=headers)]


def _no_route(server: Server) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The answer to an unknown path (404), or an unknown method of a path (405)."""

    async def refuse(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = (error.headers if isinstance(error, HTTPException) else None) or {}
        what = "route" if status == 404 else "method on this route"

        async def handler(_: Call) -> Response:
            raise Refusal(status, "NotFound", f"There is no such {what}: docs/serving.md lists the routes.", headers)

        return await respond(server, OWN, handler, request, False, "unknown")

    return refuse
