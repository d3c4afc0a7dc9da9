"""One request: its key, its body, its answer or refusal, its line in the log.

A family of routes has one form of errors. A handler is an async function that takes a `Call` and returns a value for JSON.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bertkit.data.json_line import line_of
from bertkit.errors import DataError
from bertkit.hub.place import parse_object
from bertkit.pipelines import Pipeline
from bertkit.serve.queue import ClosedError
from bertkit.serve.refusals import Refusal, invalid, refusal_of
from bertkit.serve.server import Server
from bertkit.serve.waiting import Outcome

_logger = logging.getLogger("bertkit.serve")

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Family:
    """Routes with the same form of errors."""

    name: str
    body: Callable[[Refusal], dict[str, Any]]
    backend: int = 500  # the status of an error of the model


@dataclass
class Call:
    """A request to a handler."""

    server: Server
    request: Request
    content: bytes = b""
    outcomes: list[Outcome] = field(default_factory=list)  # of the answers so far

    @property
    def path(self) -> Mapping[str, str]:
        """The parts of the path that the route names."""
        found: Mapping[str, str] = self.request.path_params
        return found

    def json(self) -> dict[str, Any]:
        """The object in the body. Raise Refusal if the body has another type, or is not JSON."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(
                415, "Validation", f'The content type is "{kind:.80}": send "Content-Type: application/json".'
            )
        try:
            return parse_object(self.content.decode(), "The body", DataError)
        except UnicodeDecodeError as error:
            raise Refusal(400, "Validation", f"The body is not UTF-8: {error.reason} at byte {error.start}.") from error
        except DataError as error:
            raise Refusal(400, "Validation", str(error).replace(": download or write it again", "")) from error

    async def answers(self, pipe: Pipeline, examples: Sequence[Any], options: Mapping[str, Any]) -> Outcome:
        """The answers to examples. They leave the queue if the client closes the connection."""
        work = asyncio.ensure_future(self.server.answers(pipe, examples, options))
        gone = asyncio.ensure_future(_disconnected(self.request))
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            self.outcomes.append(work.result())
        finally:
            work.cancel()
            gone.cancel()
        return self.outcomes[-1]


Handler = Callable[[Call], Awaitable[Any]]


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def respond(server: Server, family: Family, handler: Handler, request: Request, key: bool, path: str) -> Response:
    """Answer a request.

    Args:
        server: the server.
        family: the form of errors.
        handler: makes the answer.
        request: the request.
        key: whether the request needs the key of the server, if that has one.
        path: the path of the route, for metrics.
    """
    began, call, refusal = time.monotonic(), Call(server, request), None
    name = request.headers.get("x-request-id", "")
    name = name if _SANE_ID.fullmatch(name) else uuid.uuid4().hex
    try:
        if key:
            _check_key(server.settings.api_key, request)
        if request.method == "POST":
            server.queue.check()  # a refusal costs less before the body is read
        call.content = await _body(request, server.settings.payload_limit, server.settings.timeout)
        value = await handler(call)
        response = value if isinstance(value, Response) else _json(value)
    except ClientDisconnect:
        refusal = Refusal(499, "Disconnected", "The client closed the connection.")
        response = Response(status_code=499)  # nobody reads it
    except asyncio.CancelledError:  # by uvicorn, as the time after SIGTERM is over
        refusal = refusal_of(ClosedError("The server is stopping: send the request to another one."))
        response = _json(family.body(refusal), refusal.status, {**refusal.headers, "connection": "close"})
    except Exception as error:
        refusal = refusal_of(error)
        if refusal.status == 500 and not isinstance(error, Refusal):
            _logger.exception("An unexpected error", extra={"fields": {"request_id": name}})
        status = family.backend if refusal.kind == "Backend" else refusal.status
        response = _json(family.body(refusal), status, refusal.headers)
    seconds = time.monotonic() - began
    response.headers["x-request-id"] = name
    response.headers.update(_times(call.outcomes, seconds))
    if request.method == "POST":
        server.metrics.request(path, seconds, call.outcomes, refusal.kind if refusal else None)
    _log(request, response, name, seconds, call.outcomes, refusal)
    return response


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(line_of(value), status, dict(headers or {}), "application/json")


def _check_key(key: str | None, request: Request) -> None:
    """Raise Refusal without the key. The comparison takes the same time for every wrong key."""
    if key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
        message = 'The key is missing or wrong: send "Authorization: Bearer KEY".'
        raise Refusal(401, "Unauthorized", message, {"www-authenticate": "Bearer"})


async def _body(request: Request, most: int, seconds: float) -> bytes:
    """The body. Raise Refusal as soon as it is too large, or if it takes too long."""
    large = Refusal(
        413, "Validation", f"The body has more than {most:,} bytes: send less at once.", {"connection": "close"}
    )
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise large
    for name, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        if request.headers.get(name, plain).lower() != plain:
            raise Refusal(415, "Validation", f"The body is compressed: send it without {name}.")
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > most:
                    raise large
    except TimeoutError as error:
        raise Refusal(408, "Timeout", "The body did not arrive in time.", {"connection": "close"}) from error
    return b"".join(parts)


def _times(outcomes: list[Outcome], seconds: float) -> dict[str, str]:
    """The headers of text-embeddings-inference with times in milliseconds."""
    if not outcomes:
        return {}
    steps = {
        "x-tokenization-time": sum(one.encoding for one in outcomes),
        "x-queue-time": sum(one.waiting for one in outcomes),
        "x-inference-time": sum(one.computing for one in outcomes),
        "x-total-time": seconds,
    }
    tokens = {"x-compute-tokens": str(sum(one.tokens for one in outcomes))}
    return {name: str(round(1000 * step)) for name, step in steps.items()} | tokens


def _log(
    request: Request, response: Response, name: str, seconds: float, outcomes: list[Outcome], refusal: Refusal | None
) -> None:
    """Write one line about a request, without its contents and its key."""
    fields = {
        "request_id": name,
        "method": request.method,
        "path": request.url.path[:200],
        "status": response.status_code,
        "ms": round(1000 * seconds, 1),
        "examples": sum(len(one.answers) for one in outcomes),
        "tokens": sum(one.tokens for one in outcomes),
    }
    if refusal is not None:
        fields["refused"] = refusal.kind
    quiet = request.method == "GET" and refusal is None  # probes of platforms come every few seconds
    _logger.log(logging.DEBUG if quiet else logging.INFO, "request", extra={"fields": fields})


def inputs_of(body: Mapping[str, Any], name: str = "inputs") -> Any:
    """A field of a body that must be there."""
    if body.get(name) is None:
        raise invalid(f'The body has no "{name}".')
    return body[name]


def object_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field of a body that is an object. Without it, the object is empty."""
    found = body.get(name)
    if not isinstance(found, (dict, type(None))):
        raise invalid(f'"{name}" is not an object: send for example {{"top_k": 3}}.')
    return found or {}


def only(body: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise Refusal for an unknown field, so that no field is ignored silently."""
    for name in body:
        if name not in known:
            raise invalid(f"The field {name!r:.80} is unknown: choose from {', '.join(known)}.")
