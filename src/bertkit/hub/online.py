"""List and download the files of a repository of the Hub, and explain failed requests."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from huggingface_hub import constants, errors
from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]  # they are documented

from bertkit.errors import HubError, UsageError, printable
from bertkit.hub.cache import COMMIT, Repository
from bertkit.hub.download import Download
from bertkit.hub.place import RELATIVE, Place, parse_object
from bertkit.hub.transfer import NETWORK_ERROR, AnswerError, Progress, Server, is_address, opened, watched

FAILURES: tuple[type[Exception], ...] = (AnswerError, NETWORK_ERROR, OSError, ValueError, RuntimeError)
_MOST_LISTED = 32 * 2**20  # bytes of the list of files; the whole list must arrive within a minute
_LOG_IN = "type once: hf auth login, or set HF_TOKEN, or pass token= in Python"


def browse(repository: Repository, token: bool | str | None, force_download: bool) -> Place:
    """Return the repository as a place. Sends one request, for the commit of the revision and the names of its files."""
    endpoint = hub_endpoint()
    check_token(token)
    try:
        headers = build_hf_headers(token=token, library_name="bertkit")
        server = Server(get_session(), endpoint, headers)
        commit, paths = _listing(watched(partial(_request, server, repository), _MOST_LISTED), repository)
    except FAILURES as error:
        raise HubError(_explain(error, repository, endpoint)) from error
    return _place(repository, paths, partial(_download, endpoint, headers, commit, force_download), endpoint)


def _place(
    repository: Repository, paths: Sequence[PurePosixPath], get: Callable[[Repository, str], Path], endpoint: str
) -> Place:
    """Return the files in the subfolder as a place. `get` downloads a file."""
    folder = PurePosixPath(repository.subfolder)
    files = tuple(sorted({path.name for path in paths if path.parent == folder}))
    where = f"{endpoint}/{repository.id}/tree/{repository.revision}/{repository.subfolder}".rstrip("/")

    def below(name: str) -> Place:
        return _place(replace(repository, subfolder=str(folder / name)), paths, get, endpoint)

    return Place(where, files, partial(get, repository), inner=below)


def hub_endpoint() -> str:
    """Return the current value of HF_ENDPOINT; huggingface_hub reads it only at its import."""
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    if endpoint and not is_address(endpoint):
        raise HubError(f"HF_ENDPOINT={endpoint!r:.200} is not a URL: set it to one such as https://huggingface.co.")
    return endpoint or constants.ENDPOINT


def check_token(token: bool | str | None) -> None:
    """Raise UsageError for a token that cannot be in a request."""
    if isinstance(token, str) and not re.fullmatch("[!-~]+", token):
        raise UsageError("token= is empty or has spaces, line ends or accents: copy it again, it begins with hf_.")


def _request(server: Server, repository: Repository, progress: Progress) -> bytes:
    path = f"/api/models/{repository.id}/revision/{quote(repository.revision, safe='')}"
    body = bytearray()
    with opened(server, path, constants.HF_HUB_ETAG_TIMEOUT) as answer:
        for piece in answer.body:
            body += piece
            if len(body) > _MOST_LISTED or progress.abandoned.is_set():
                raise AnswerError(f"its list of files has more than {_MOST_LISTED} bytes")
    return bytes(body)


def _listing(answer: bytes, repository: Repository) -> tuple[str, list[PurePosixPath]]:
    """Return the commit and the paths in the Hub's answer. Names that are not plain relative paths are left out."""
    try:
        info = parse_object(answer.decode(), "its list of files", HubError)
    except HubError as error:
        raise AnswerError(str(error).rstrip(".")) from error
    commit, siblings = info.get("sha"), info.get("siblings")
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise AnswerError(
            f"the commit of {repository.revision} is {commit!r:.80}, and 40 hexadecimal digits are expected"
        )
    if COMMIT.fullmatch(repository.revision) and commit != repository.revision:
        raise AnswerError(f"commit {repository.revision} was requested, and it listed {commit}")
    if not isinstance(siblings, list) or not all(isinstance(sibling, dict) for sibling in siblings):
        raise AnswerError("it has no list of files")
    paths = [PurePosixPath(name) for name in (sibling.get("rfilename") for sibling in siblings) if _is_file(name)]
    return commit, [path for path in paths if len(path.name) < 256]


def _is_file(name: Any) -> bool:
    return isinstance(name, str) and name.isprintable() and len(name) <= 1024 and bool(RELATIVE.fullmatch(name))


def _download(
    endpoint: str, headers: dict[str, str], commit: str, force_download: bool, repository: Repository, file: str
) -> Path:
    try:
        path = Download(Server(get_session(), endpoint, headers), repository, commit, file, force_download).run()
    except FAILURES as error:
        raise HubError(_explain(error, repository, endpoint)) from error
    repository.remember(commit)
    return path


def _explain(error: Exception, repository: Repository, endpoint: str) -> str:
    """Return the error message for a failed request: refused by the Hub, failed on this machine or in the network."""
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, repository, endpoint)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"token=True, but no token is stored on this machine: {_LOG_IN}."
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of the cache {repository.cache} is full: free some space, or set cache_dir= or HF_HOME to another."
    if getattr(error, "filename", None):
        return f"The cache cannot be used ({error}): set cache_dir= or HF_HOME to a folder that you may write to."
    if isinstance(error, (AnswerError, ValueError)):
        return f"{endpoint} sent an invalid answer ({_reason(error)}): check HF_ENDPOINT and the proxy."
    return (
        f"There is no folder {repository.id} here, and the connection to {endpoint} failed ({_reason(error)}): check the "
        "spelling, the connection, the proxy and HF_ENDPOINT, then type the same again; files already downloaded are kept."
    )


def _refusal(error: errors.HfHubHTTPError, repository: Repository, endpoint: str) -> str:
    name, status, code = repository.id, error.response.status_code, error.response.headers.get("X-Error-Code")
    said = printable(f"{status} {error.server_message or ''}".strip())
    if code == "GatedRepo":
        return f"{name} is gated ({said}): request access on {endpoint}/{name}, and then {_LOG_IN}."
    if code == "RevisionNotFound":
        return f"{name} has no revision {repository.revision!r}: {endpoint}/{name}/tree/main lists branches and tags."
    if code == "EntryNotFound":
        return f"{name} lists a file that cannot be downloaded ({said}): the repository may be changing, try again."
    if status in (401, 404):
        return (
            f"There is no folder {name} here, and {endpoint} has no such repository ({said}): check the spelling, "
            f"or, if it is private, {_LOG_IN}."
        )
    if status == 403:
        return f"{endpoint} does not allow you to read {name} ({said}): with a token that may read it, {_LOG_IN}."
    if status == 429:
        return f"{endpoint} received too many requests from you ({said}): wait some minutes, or {_LOG_IN}."
    if status < 500:
        return f"{endpoint} refused the request for {name} ({said}): check the name, the revision and HF_ENDPOINT."
    return f"{endpoint} failed ({said}): try again in some minutes."


def _reason(error: BaseException) -> str:
    """Return the operating system's error, such as `[Errno 111] Connection refused`, out of the HTTP library's."""
    if isinstance(error, AnswerError):
        return str(error)
    link: BaseException | None = error
    for _ in range(10):
        if link is None:
            break
        if getattr(link, "errno", None) or isinstance(link, TimeoutError):
            return printable(link)
        link = link.__cause__ or link.__context__
    return printable(f"{type(error).__name__}: {error}")
