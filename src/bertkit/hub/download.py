"""Download one file of a commit from the Hub into the cache, in the layout of huggingface_hub."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from huggingface_hub import constants, errors
from huggingface_hub.utils import WeakFileLock, tqdm  # type: ignore[attr-defined]  # they are documented

from bertkit.errors import printable
from bertkit.hub.cache import Repository
from bertkit.hub.transfer import NETWORK_ERROR, Answer, AnswerError, Progress, Server, opened, watched

PAUSE = 1.0  # seconds before the second request; doubled after each further request that received no data
_REQUESTS, _LONGEST_PAUSE = 20, 30  # for one file; seconds in a row without data
_LEAST = 2**18  # bytes per minute: 4 KB a second
_MOST, _MOST_UNANNOUNCED = 50 * 2**30, 2 * 2**30  # bytes of a file, with and without a size in the headers
_MOST_OF_TEXT = 2**28  # bytes of a .json or .txt: more than any reader of them accepts
_TRY_AGAIN = {408, 429, 500, 502, 503, 504}
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Backups leave this folder out: https://bford.info/cachedir/\n"


@dataclass
class Part:
    """The received part of a file, and the ETag of its contents."""

    file: BinaryIO
    etag: str = ""


@dataclass(frozen=True)
class Download:
    """A file of a commit, the server that has it, and the cache for it."""

    server: Server
    repository: Repository
    commit: str
    file: str
    force: bool

    def run(self) -> Path:
        """Return the path of the file in the cache, downloaded if the cache does not have it or if `force` is set."""
        pointer = self.repository.path("snapshots", self.commit, *self._name.parts)
        if pointer.exists() and not self.force:
            return pointer
        with self._lock():
            if self.force or not pointer.exists():  # another process may have downloaded it meanwhile
                self._fetch(pointer)
        return pointer

    @property
    def _name(self) -> PurePosixPath:
        return PurePosixPath(self.repository.subfolder, self.file)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Let only one process at a time download the file."""
        name = hashlib.sha1(f"{self.commit}/{self._name}".encode()).hexdigest()
        path = self.repository.cache / ".locks" / self.repository.path().name / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError), open(self.repository.cache / "CACHEDIR.TAG", "x") as tag:
            tag.write(_TAG)
        with WeakFileLock(path):
            yield

    def _fetch(self, pointer: Path) -> None:
        blobs = self.repository.path("blobs")
        blobs.mkdir(parents=True, exist_ok=True)
        partly = blobs / f"{uuid.uuid4().hex}.incomplete"
        try:
            etag = watched(partial(self._receive, partly), _LEAST)
            new = partly.exists()
            if new:
                os.replace(partly, blobs / etag)
        finally:
            with contextlib.suppress(OSError):
                partly.unlink(missing_ok=True)
        _point(pointer, blobs / etag, new)

    def _receive(self, path: Path, progress: Progress) -> str:
        """Write the file to `path`, unless the cache has its contents. Returns the ETag."""
        with open(path, "xb") as file:
            part, paused = Part(file), 0.0
            for request in range(1, _REQUESTS + 1):
                start = file.tell()
                try:
                    whole = self._request(part, progress)
                    break
                except NETWORK_ERROR as error:
                    paused = 0.0 if file.tell() > start else paused
                    pause = _pause(error, paused)
                    if pause is None or request == _REQUESTS or progress.abandoned.wait(pause):
                        raise
                    paused += pause
        if whole:
            self._verify(path, part.etag, progress)
        else:
            path.unlink()
        return part.etag

    def _request(self, part: Part, progress: Progress) -> bool:
        """Request the rest of the file. Returns False if the cache already has the contents."""
        path = f"/{self.repository.id}/resolve/{self.commit}/{quote(str(self._name))}"
        start = part.file.tell()
        with opened(self.server, path, constants.HF_HUB_DOWNLOAD_TIMEOUT, start, self._is_cached) as answer:
            etag = _etag(answer.about, self.commit, self.file)
            if part.etag not in ("", etag):
                raise AnswerError(f"{self.file} changed while it was downloaded")
            part.etag = etag
            if self._is_cached(answer.about):
                return False
            if answer.status == 200:  # the whole file, although a part may have been requested
                part.file.seek(0)
                part.file.truncate()
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise AnswerError(f"{self.file} was requested from byte {start} on, and another part was sent")
            self._write(part.file, answer, _size(answer, self.file), progress)
        return True

    def _is_cached(self, about: Mapping[str, str]) -> bool:
        """Whether the cache has the contents. Links that lead out of the cache do not count."""
        blob = self.repository.path("blobs", _etag(about, self.commit, self.file))
        inside = (self.repository.cache.resolve(), blob.parent.resolve())
        return not self.force and blob.is_file() and any(blob.resolve().is_relative_to(folder) for folder in inside)

    def _write(self, file: BinaryIO, answer: Answer, size: int | None, progress: Progress) -> None:
        count = file.tell()
        _check_room(Path(file.name).parent, (size or 0) - count)
        name = printable(self.file, 40)
        with tqdm(total=size, initial=count, desc=name, unit="B", unit_scale=True, disable=None) as bar:  # type: ignore[no-untyped-call]
            for piece in answer.body:
                count += len(piece)
                if progress.abandoned.is_set():
                    raise AnswerError("the download was abandoned")
                if count > (min(_MOST_UNANNOUNCED, _most(self.file)) if size is None else size):
                    announced = "without a size" if size is None else f"as {size} bytes"
                    raise AnswerError(f"{self.file} was announced {announced}, but {count} or more were sent")
                file.write(piece)
                progress.received += len(piece)
                bar.update(len(piece))
        if size is not None and count < size:
            raise AnswerError(f"{self.file} was announced as {size} bytes, but only {count} were sent")

    def _verify(self, path: Path, etag: str, progress: Progress) -> None:
        """Compare the contents with the hash in the ETag: SHA-256 for large files, Git's SHA-1 or plain SHA-1 for others."""
        size = f"blob {path.stat().st_size}\0".encode()
        hashes = {64: [hashlib.sha256()], 40: [hashlib.sha1(size), hashlib.sha1()]}.get(len(etag), [])
        if not hashes or not re.fullmatch("[0-9a-fA-F]+", etag):
            return
        with open(path, "rb") as contents:
            while piece := contents.read(2**20):
                for digest in hashes:
                    digest.update(piece)
                progress.received += len(piece)  # hashing takes time, which must not count as waiting for the server
        if etag.lower() not in [digest.hexdigest() for digest in hashes]:
            raise AnswerError(f"the contents of {self.file} do not have the announced hash {etag}")


def _etag(about: Mapping[str, str], commit: str, file: str) -> str:
    """Return the ETag, which becomes the name of a file. Raises AnswerError for invalid characters and for another commit."""
    named = about.get("X-Repo-Commit")
    if named != commit:
        raise AnswerError(f"{file} of commit {commit} was requested, and it sent that of {named!r:.80}")
    header = about.get("X-Linked-Etag") or about.get("ETag")
    etag = re.fullmatch(r'(?:W/)?"?([\w-]{1,128})"?', header or "", re.ASCII)
    if etag is None:
        raise AnswerError(f"the ETag of {file} is {header!r:.200}, and only letters, digits, _ and - are accepted")
    return etag[1]


def _size(answer: Answer, file: str) -> int | None:
    """The size of the whole file in bytes according to the headers; None if they do not give one."""
    ranged = answer.headers.get("Content-Range", "").rpartition("/")[2]
    size = answer.about.get("X-Linked-Size") or ranged or answer.headers.get("Content-Length")
    if size is not None and not (re.fullmatch("[0-9]{1,15}", size) and int(size) <= _most(file)):
        raise AnswerError(f"the size of {file} is {size!r:.80}, and up to {_most(file)} bytes are accepted")
    return None if size is None else int(size)


def _most(file: str) -> int:
    """The most bytes that a file may have."""
    return _MOST_OF_TEXT if file.endswith((".json", ".txt")) else _MOST


def _pause(error: Exception, paused: float) -> float | None:
    """Seconds to wait before the next request, after `paused` seconds without data; None if no request should follow."""
    pause = PAUSE + paused  # 1, 2, 4, 8
    if isinstance(error, errors.HfHubHTTPError):
        retry_after = error.response.headers.get("Retry-After", "")
        pause = max(pause, int(retry_after)) if re.fullmatch("[0-9]{1,9}", retry_after) else pause
        if error.response.status_code not in _TRY_AGAIN:
            return None
    return pause if paused + pause <= _LONGEST_PAUSE else None


def _check_room(folder: Path, size: int) -> None:
    if 0 < shutil.disk_usage(folder).free < size:  # 0 means unknown, on some network disks
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _point(pointer: Path, blob: Path, new: bool) -> None:
    """Make the file of a snapshot a link to its contents, or a copy if the disk does not support links."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    beside = pointer.with_name(f".{uuid.uuid4().hex}.link")
    try:
        if not _link(beside, blob):
            shutil.move(blob, beside) if new else shutil.copyfile(blob, beside)
        os.replace(beside, pointer)
    finally:
        beside.unlink(missing_ok=True)


def _link(link: Path, blob: Path) -> bool:
    """Make a relative link, which stays valid if the cache is moved. Returns False if links are not supported."""
    if getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
        return False
    try:
        link.symlink_to(os.path.relpath(blob, link.parent))
    except (OSError, NotImplementedError):
        return False
    return True
