"""HTTP requests with limits on their time, on redirects, and on the servers that receive the token.

They use the HTTP client of huggingface_hub, with its proxies and certificates. The downloads of huggingface_hub itself are
not used: they take file names from the server unchecked, and do not limit size or time.
"""

from __future__ import annotations

import contextlib
import re
import string
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from huggingface_hub import errors

T = TypeVar("T")

PATIENCE = 60.0  # seconds
_REDIRECTS, _LONGEST_ADDRESS = 8, 2**14
_HUB = ("https://huggingface.co", "https://hf.co")  # mirrors redirect there
_ADDRESS = re.compile(r"https?://(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::(\d{1,5}))?(?:/[!-~]*)?", re.ASCII)

# huggingface_hub's HTTP library is requests, httpx or httpx2, depending on its version. All errors of that library have one
# base class, except for InvalidURL.
_LIBRARY = [kind for kind in errors.HfHubHTTPError.__mro__ if not kind.__module__.startswith(("hugg", "builtins"))]
NETWORK_ERROR: type[Exception] = _LIBRARY[-1]
_INVALID_URL: type[Exception] = sys.modules[NETWORK_ERROR.__module__].InvalidURL


class AnswerError(Exception):
    """A server sent an invalid answer. The text completes "invalid answer (...)"."""


@dataclass
class Progress:
    """The number of received bytes of a transfer, and whether the caller has given up waiting for it."""

    received: int = 0
    abandoned: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Server:
    """A Hub, the client of huggingface_hub to send requests with, and the headers, which hold the token."""

    client: Any
    endpoint: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """The answer to a request. `about` are the headers of the Hub; after a redirect, another server sends the other fields."""

    status: int
    about: Mapping[str, str]
    headers: Mapping[str, str]
    body: Iterator[bytes]


def is_address(url: str) -> bool:
    """Whether a text is an http:// or https:// URL.

    >>> is_address("https://huggingface.co"), is_address("file:///etc/passwd")
    (True, False)
    """
    match = _ADDRESS.fullmatch(url)
    return match is not None and int(match[1] or 0) <= 65535


def watched(work: Callable[[Progress], T], least: int) -> T:
    """Return the result of `work`. Raises AnswerError if fewer than `least` bytes arrive within PATIENCE seconds.

    The work runs in a thread, which is abandoned after an error. The timeouts of HTTP libraries restart with each byte.
    """
    progress, result = Progress(), Future[T]()

    def run() -> None:
        try:
            result.set_result(work(progress))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="bertkit.hub", daemon=True).start()
    try:
        while True:
            before = progress.received
            if wait([result], PATIENCE).done:
                return result.result()
            if (arrived := progress.received - before) < least:
                raise AnswerError(f"only {arrived} bytes arrived within {PATIENCE:g} seconds")
    finally:
        progress.abandoned.set()


@contextlib.contextmanager
def opened(
    server: Server,
    path: str,
    timeout: float,
    start: int = 0,
    is_enough: Callable[[Mapping[str, str]], bool] = lambda about: False,
) -> Iterator[Answer]:
    """Send a GET request for the bytes from `start` on, follow redirects, and return the answer.

    Raises HfHubHTTPError for a status of 400 or more. Only the Hub receives the token. If `is_enough` returns True for the
    headers of the Hub, a redirect to another server is not followed.
    """
    url = f"{server.endpoint}{path}"
    headers = {**server.headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    about = None
    for _ in range(_REDIRECTS):
        with _request(server.client, url, headers, timeout) as (response, body):
            target = _redirect(response, url)
            if about is None and (target is None or not _at_hub(target, server)):
                about = response.headers
            if target is None:
                _check_status(response)
            if target is None or (about is not None and is_enough(about)):
                yield Answer(response.status_code, about or {}, response.headers, body)
                return
        if not _at_hub(target, server):
            headers.pop("authorization", None)
        url = target
    raise AnswerError(f"it redirected {_REDIRECTS} times")


@contextlib.contextmanager
def _request(
    client: Any, url: str, headers: Mapping[str, str], timeout: float
) -> Iterator[tuple[Any, Iterator[bytes]]]:
    """Send one GET request. Returns the response, and an iterator over its body as it arrives."""
    try:
        if callable(client.stream):  # httpx and httpx2; in requests, `stream` is a setting
            with (
                _no_cookies(client.cookies.jar),
                client.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=False) as response,
            ):
                yield response, response.iter_raw()
        else:  # requests; its sessions read the whole body of a redirect, even if they do not follow it
            from requests import Request  # type: ignore[import-untyped, import-not-found, unused-ignore]

            request = client.prepare_request(Request("GET", url, headers=headers))
            settings = client.merge_environment_settings(url, {}, True, None, None)
            with client.get_adapter(url).send(request, timeout=timeout, **settings) as response:
                yield response, response.iter_content(2**14)
    except _INVALID_URL as error:
        raise AnswerError("it redirected to an invalid URL; an http:// or https:// address is expected") from error


@contextlib.contextmanager
def _no_cookies(jar: CookieJar) -> Iterator[None]:
    """Remove new cookies, since huggingface_hub's client would send them with all requests of the process."""
    known = set(jar)
    try:
        yield
    finally:
        for cookie in set(jar) - known:
            jar.clear(cookie.domain, cookie.path, cookie.name)


def _redirect(response: Any, url: str) -> str | None:
    location = response.headers.get("Location")
    if response.status_code not in (301, 302, 303, 307, 308) or location is None:
        return None
    try:
        target = quote(urljoin(url, location), safe=string.punctuation)
    except ValueError:
        target = ""
    if len(target) > _LONGEST_ADDRESS or not is_address(target):
        raise AnswerError(f"it redirected to {location!r:.200}; an http:// or https:// address is expected")
    return target


def _at_hub(url: str, server: Server) -> bool:
    return _origin(url) in {_origin(hub) for hub in (server.endpoint, *_HUB)}


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def _check_status(response: Any) -> None:
    status, encoding = response.status_code, response.headers.get("Content-Encoding", "identity").lower()
    if status >= 400:
        message = response.headers.get("X-Error-Message")
        raise errors.HfHubHTTPError(f"{status}", response=response, server_message=message)
    if status not in (200, 206):
        raise AnswerError(f"the status is {status}; 200 is expected")
    if encoding != "identity":
        raise AnswerError(f"the contents are encoded as {encoding!r:.80}; uncompressed contents were requested")
