"""Requests with bounds: how long a server may take, where it may redirect to, and who sees the token.

They go through the HTTP client of huggingface_hub, with the proxies and certificates that are set there. Its own
downloads name files on this disk by what the server says, and have no bound of size or time.
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

# huggingface_hub's HTTP library is requests, httpx or httpx2, as its version goes. Its errors have one root, but for one.
_LIBRARY = [kind for kind in errors.HfHubHTTPError.__mro__ if not kind.__module__.startswith(("hugg", "builtins"))]
NETWORK_ERROR: type[Exception] = _LIBRARY[-1]
_INVALID_URL: type[Exception] = sys.modules[NETWORK_ERROR.__module__].InvalidURL


class AnswerError(Exception):
    """A server answered, and not as the Hub does."""


@dataclass
class Progress:
    """How many bytes a transfer has received, and whether it still is waited for."""

    received: int = 0
    abandoned: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Server:
    """A Hub and how it is asked: through a client of huggingface_hub, with headers that hold the token."""

    client: Any
    endpoint: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """`about` are the headers of the Hub's last answer; it may have redirected to another server, which sends the rest."""

    status: int
    about: Mapping[str, str]
    headers: Mapping[str, str]
    body: Iterator[bytes]


def is_address(url: str) -> bool:
    """Whether a request can be sent there.

    >>> is_address("https://huggingface.co"), is_address("file:///etc/passwd")
    (True, False)
    """
    match = _ADDRESS.fullmatch(url)
    return match is not None and int(match[1] or 0) <= 65535


def watched(work: Callable[[Progress], T], least: int) -> T:
    """The result of `work`. An AnswerError where less than `least` bytes arrive within PATIENCE seconds.

    The work is done in a thread, which is abandoned then: the timeouts of HTTP libraries start anew with each byte.
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
            if (came := progress.received - before) < least:
                raise AnswerError(f"within {PATIENCE:g} seconds {came} bytes arrived, and not the end")
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
    """The answer to a GET, from byte `start` on; an HfHubHTTPError where it is a refusal. Redirects are followed.

    The token goes to the Hub alone. Where `is_enough` of the Hub's headers, no other server is asked for the contents.
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
    """One GET, with its body as it arrives."""
    try:
        if callable(client.stream):  # httpx and httpx2; of requests it is a setting
            with (
                _no_cookies(client.cookies.jar),
                client.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=False) as response,
            ):
                yield response, response.iter_raw()
        else:  # requests, whose sessions read the whole body of a redirect, also of one that they do not follow
            from requests import Request  # type: ignore[import-untyped, import-not-found, unused-ignore]

            request = client.prepare_request(Request("GET", url, headers=headers))
            settings = client.merge_environment_settings(url, {}, True, None, None)
            with client.get_adapter(url).send(request, timeout=timeout, **settings) as response:
                yield response, response.iter_content(2**14)
    except _INVALID_URL as error:
        raise AnswerError("it redirects to what is no http:// or https:// address") from error


@contextlib.contextmanager
def _no_cookies(jar: CookieJar) -> Iterator[None]:
    """Forget the cookies that are new: huggingface_hub's client sends them with all requests of the process."""
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
        raise AnswerError(f"it redirects to {location!r:.200}, and an http:// or https:// address is expected")
    return target


def _at_hub(url: str, server: Server) -> bool:
    return _origin(url) in {_origin(hub) for hub in (server.endpoint, *_HUB)}


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def _check_status(response: Any) -> None:
    status, encoding = response.status_code, response.headers.get("Content-Encoding", "identity").lower()
    if status >= 400:
        said = response.headers.get("X-Error-Message")
        raise errors.HfHubHTTPError(f"{status}", response=response, server_message=said)
    if status not in (200, 206):
        raise AnswerError(f"its status is {status}, and 200 is expected")
    if encoding != "identity":
        raise AnswerError(f"it sends {encoding!r:.80}, and was asked for what is not compressed")
