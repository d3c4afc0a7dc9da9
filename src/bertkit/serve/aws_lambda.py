"""bertkit on AWS Lambda: `handler` for images with Amazon's runtime, and `run` for any other image.

    CMD ["bertkit.serve.aws_lambda.handler"]                   in an image from public.ecr.aws/lambda/python
    ENTRYPOINT ["python", "-m", "bertkit.serve.aws_lambda"]    in any other image

The settings are environment variables, such as BERTKIT_MODEL. An event is a request from API Gateway or a function URL, which
has the routes of the server, or the payload of a direct call, `{"inputs": ..., "parameters": {...}}`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
from collections.abc import MutableMapping
from functools import cache
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import unquote

from bertkit.errors import UsageError
from bertkit.serve.application import app_of
from bertkit.serve.logs import log_as_json
from bertkit.serve.server import Server
from bertkit.serve.settings import Settings

_API = "/2018-06-01/runtime"


class _Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Function:
    """A loaded server that answers one event after the other."""

    def __init__(self, settings: Settings) -> None:
        self._server = Server(settings)
        self._server.load()
        self._app, self._loop = app_of(self._server), asyncio.new_event_loop()

    def close(self) -> None:
        """Free the threads. Lambda itself ends the process instead."""
        self._server.queue.close()
        self._loop.close()

    def answer(self, event: Any) -> Any:
        """The response to an event of HTTP, or the answer to a direct call. Raise UsageError if a direct call is refused."""
        request = _request_of(event) if isinstance(event, dict) else None
        if request is None:
            body = json.dumps(event).encode()
            request = _Request("POST", "/invocations", {"content-type": "application/json"}, body)
            status, _, content = self._loop.run_until_complete(self._respond(request))
            found = json.loads(content)
            if status != 200:
                raise UsageError(f"{found['type']}: {found['message']}")
            return found
        status, headers, content = self._loop.run_until_complete(self._respond(request))
        return {"statusCode": status, "headers": headers, "body": content.decode(), "isBase64Encoded": False}

    async def _respond(self, request: _Request) -> tuple[int, dict[str, str], bytes]:
        """Call the application with a request."""
        named = request.headers.items()
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "https", "query_string": b"",
            "method": request.method, "path": unquote(request.path), "raw_path": request.path.encode(), "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in named],
        }  # fmt: skip
        messages, sent = [{"type": "http.request", "body": request.body, "more_body": False}], []

        async def receive() -> MutableMapping[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()  # the client stays
            raise AssertionError

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def _request_of(event: dict[str, Any]) -> _Request | None:
    """The request in an event of API Gateway (both versions) or of a function URL; None for a direct call."""
    of_url = (event.get("requestContext") or {}).get("http")
    method, path = (
        (of_url.get("method"), event.get("rawPath")) if of_url else (event.get("httpMethod"), event.get("path"))
    )
    if not isinstance(method, str) or not isinstance(path, str):
        return None
    body = event.get("body") or ""
    try:
        content = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, UnicodeEncodeError, ValueError):
        content = b"\xff"  # refused as a body that is not UTF-8
    headers = {name: str(value) for name, value in (event.get("headers") or {}).items() if name.isascii()}
    return _Request(method, path, headers, content)


@cache
def function() -> Function:
    """The function of this process, with the settings of its environment."""
    log_as_json()
    return Function(Settings.of_environment())


def handler(event: Any, context: Any) -> Any:
    """Answer an event. Amazon's runtime calls it.

    Args:
        event: the event.
        context: not used.
    """
    return function().answer(event)


def run() -> None:
    """Answer events from the runtime API of Lambda, one after the other, until the process is ended."""
    try:
        function()
    except Exception as error:
        _call("POST", f"{_API}/init/error", _error(error))
        raise
    while True:
        name, event = _call("GET", f"{_API}/invocation/next")
        try:
            found = json.dumps(handler(event, None)).encode()
        except Exception as error:
            _call("POST", f"{_API}/invocation/{name}/error", _error(error))
        else:
            _call("POST", f"{_API}/invocation/{name}/response", found)


def _call(method: str, path: str, body: bytes | None = None) -> tuple[str, Any]:
    """Call the runtime API. Return the id of the event and the event, or nothing for other calls."""
    connection = HTTPConnection(
        os.environ["AWS_LAMBDA_RUNTIME_API"]
    )  # without a timeout: the next event may be hours away
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        if response.status >= 300:
            raise OSError(f"The runtime API of Lambda answered {response.status} to {path}.")
    finally:
        connection.close()
    return response.headers.get("Lambda-Runtime-Aws-Request-Id", ""), json.loads(content) if method == "GET" else None


def _error(error: Exception) -> bytes:
    return json.dumps({"errorType": type(error).__name__, "errorMessage": str(error), "stackTrace": []}).encode()


if __name__ == "__main__":
    run()
elif (
    "AWS_LAMBDA_FUNCTION_NAME" in os.environ
):  # Amazon's runtime has imported `handler`: load the model before the first event
    function()
