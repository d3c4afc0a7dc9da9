"""What is asked of the Hub, and what its refusals mean. The one file that imports huggingface_hub's client."""

from __future__ import annotations

import errno
import os
import re
from functools import partial
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, constants, errors

from bertkit.errors import HubError, UsageError
from bertkit.hub.cache import Repository
from bertkit.hub.place import RELATIVE, Place

# huggingface_hub raises these, and what its HTTP library raises: requests, httpx or httpx2, as its version goes, from
# whose root its own HTTP error derives. hf_xet raises RuntimeError.
_FAILURES: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, errors.HfHubHTTPError.__bases__[0])
_FAILURES_TO_PARSE: tuple[type[Exception], ...] = (*_FAILURES, KeyError, TypeError)
_LOG_IN = "type once: hf auth login, or set HF_TOKEN, or pass token= in Python"


def browse(repository: Repository, token: bool | str | None, force_download: bool) -> Place:
    """The repository as a place: one request, for the commit that the revision is now and the names of its files."""
    hub = _client(token)
    try:
        info = hub.model_info(repository.id, revision=repository.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        paths = [PurePosixPath(sibling.rfilename) for sibling in info.siblings or ()]
        if not re.fullmatch("[0-9a-f]{40}", commit := str(info.sha)):
            raise ValueError(f"{commit!r} is no commit")
    except _FAILURES_TO_PARSE as error:
        raise HubError(_explain(error, repository, hub.endpoint)) from error
    folder = PurePosixPath(repository.subfolder)
    files = sorted(path.name for path in paths if path.parent == folder and RELATIVE.fullmatch(path.name))
    where = f"{hub.endpoint}/{repository.id}/tree/{repository.revision}/{repository.subfolder}".rstrip("/")
    return Place(where, tuple(files), partial(_download, hub, repository, commit, force_download))


def _client(token: bool | str | None) -> HfApi:
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")  # read now; huggingface_hub knows it as of its import
    match = re.fullmatch(r"https?://(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::(\d+))?(?:/[!-~]*)?", endpoint, re.ASCII)
    if endpoint and (match is None or int(match[1] or 0) > 65535):
        raise HubError(f"HF_ENDPOINT={endpoint!r} is no address: set it to one such as https://huggingface.co.")
    if isinstance(token, str) and not re.fullmatch("[!-~]+", token):
        raise UsageError("token= is empty, or has spaces, line ends or accents in it: copy it again, it is hf_...")
    return HfApi(endpoint=endpoint or None, token=token, library_name="bertkit")


def _download(hub: HfApi, repository: Repository, commit: str, force_download: bool, file: str) -> Path:
    try:
        path = hub.hf_hub_download(
            repository.id,
            file,
            subfolder=repository.subfolder,
            revision=commit,
            cache_dir=repository.cache,
            force_download=force_download,
        )
    except _FAILURES as error:
        raise HubError(_explain(error, repository, hub.endpoint)) from error
    repository.remember(commit)
    return Path(path)


def _explain(error: BaseException, repository: Repository, endpoint: str) -> str:
    """The sentence for an error: the Hub's refusals first, then this machine's, then the network's."""
    if isinstance(error, (errors.LocalEntryNotFoundError, ValueError)) and error.__cause__:
        error = error.__cause__  # why huggingface_hub turned to the cache, in vain
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, repository, endpoint)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"token=True, but no token is stored on this machine: {_LOG_IN}."
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of the cache {repository.cache} is full: make room, or set cache_dir= or HF_HOME to another."
    if getattr(error, "filename", None):
        return f"The cache cannot be used ({error}): set cache_dir= or HF_HOME to a folder that you may write to."
    if isinstance(error, (errors.FileMetadataError, ValueError, KeyError, TypeError)):
        return f"{endpoint} answered, but not as the Hub does ({_reason(error)}): check HF_ENDPOINT and the proxy."
    return (
        f"There is no folder {repository.id} here, and {endpoint} did not answer, or broke off ({_reason(error)}): check "
        "the spelling, the connection, the proxy and HF_ENDPOINT, "
        "and type the same again to go on; files that came whole are kept."
    )


def _refusal(error: errors.HfHubHTTPError, repository: Repository, endpoint: str) -> str:
    name, status = repository.id, error.response.status_code
    said = f"{status} {error.server_message or ''}".strip().splitlines()[0][:200]
    if isinstance(error, errors.GatedRepoError):
        return f"{name} is gated ({said}): ask for access on {endpoint}/{name}, and then {_LOG_IN}."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name} has no revision {repository.revision!r}: {endpoint}/{name}/tree/main lists branches and tags."
    if isinstance(error, errors.EntryNotFoundError):
        return f"{name} lists a file that it does not give ({said}): it may just be changing, so try again."
    if status in (401, 404):
        return (
            f"There is no folder {name} here, and {endpoint} shows no such repository ({said}): check the spelling, "
            f"or, if it is private, {_LOG_IN}."
        )
    if status == 403:
        return f"{endpoint} does not let you read {name} ({said}): with a token that may, {_LOG_IN}."
    if status == 429:
        return f"{endpoint} counts too many requests from you ({said}): wait some minutes, or {_LOG_IN}."
    return f"{endpoint} is in trouble ({said}): try again in some minutes."


def _reason(error: BaseException) -> str:
    """The system's own words, such as `[Errno 111] Connection refused`, from below those of the HTTP library."""
    link: BaseException | None = error
    for _ in range(10):
        if link is None:
            break
        if getattr(link, "errno", None) or isinstance(link, TimeoutError):
            return str(link)
        link = link.__cause__ or link.__context__
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
