"""One file of a commit: from the Hub into the cache, in the layout that huggingface_hub has there."""

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

PAUSE = 1.0  # seconds before the second request, doubled for each further one that brings nothing
_REQUESTS, _LONGEST_PAUSE = 20, 30  # of a file; seconds in all
_LEAST = 2**18  # bytes that arrive within a minute: 4 KB a second
_MOST, _MOST_UNANNOUNCED = 50 * 2**30, 2 * 2**30
_TRY_AGAIN = {408, 429, 500, 502, 503, 504}
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Backups leave this folder out: https://bford.info/cachedir/\n"


@dataclass
class Part:
    """What was received of a file so far, and the Hub's name for its contents."""

    file: BinaryIO
    etag: str = ""


@dataclass(frozen=True)
class Download:
    """A file of a commit, and where it is asked for."""

    server: Server
    repository: Repository
    commit: str
    file: str
    force: bool

    def run(self) -> Path:
        """The file in the cache. It is asked for where the cache has none, or where `force` is set."""
        pointer = self.repository.path("snapshots", self.commit, *self._name.parts)
        if pointer.exists() and not self.force:
            return pointer
        with self._lock():
            if self.force or not pointer.exists():  # another process may have been faster
                self._fetch(pointer)
        return pointer

    @property
    def _name(self) -> PurePosixPath:
        return PurePosixPath(self.repository.subfolder, self.file)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Of several processes that want the file, one downloads it."""
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
        """Write the file to `path`, unless the cache has its contents. Returns their name."""
        with open(path, "xb") as file:
            part, paused = Part(file), 0.0
            for request in range(1, _REQUESTS + 1):
                start = file.tell()
                try:
                    whole = self._ask(part, progress)
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

    def _ask(self, part: Part, progress: Progress) -> bool:
        """One request for what the part does not have yet. False where the cache has the contents."""
        path = f"/{self.repository.id}/resolve/{self.commit}/{quote(str(self._name))}"
        start = part.file.tell()
        with opened(self.server, path, constants.HF_HUB_DOWNLOAD_TIMEOUT, start, self._is_cached) as answer:
            etag = _etag(answer.about, self.commit, self.file)
            if part.etag not in ("", etag):
                raise AnswerError(f"{self.file} changed while it was downloaded")
            part.etag = etag
            if self._is_cached(answer.about):
                return False
            if answer.status == 200:  # all of it, also where a part was asked for
                part.file.seek(0)
                part.file.truncate()
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise AnswerError(f"asked for {self.file} from byte {start} on, it sends another part")
            self._write(part.file, answer, _size(answer, self.file), progress)
        return True

    def _is_cached(self, about: Mapping[str, str]) -> bool:
        """Whether the cache has the contents. A link that leads out of the cache is none of them."""
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
                    raise AnswerError("nobody waits for it")
                if count > (_MOST_UNANNOUNCED if size is None else size):
                    announced = f"announces {size} bytes of" if size is not None else "announces no size of"
                    raise AnswerError(f"it {announced} {self.file}, and sends {count} or more")
                file.write(piece)
                progress.received += len(piece)
                bar.update(len(piece))
        if size is not None and count < size:
            raise AnswerError(f"it announces {size} bytes of {self.file}, and sends {count}")

    def _verify(self, path: Path, etag: str, progress: Progress) -> None:
        """An ETag of the Hub is the SHA-256 of a large file, and Git's SHA-1 of a small one. Some mirrors send plain SHA-1."""
        size = f"blob {path.stat().st_size}\0".encode()
        hashes = {64: [hashlib.sha256()], 40: [hashlib.sha1(size), hashlib.sha1()]}.get(len(etag), [])
        if not hashes or not re.fullmatch("[0-9a-fA-F]+", etag):
            return
        with open(path, "rb") as contents:
            while piece := contents.read(2**20):
                for digest in hashes:
                    digest.update(piece)
                progress.received += len(piece)  # a large file takes a while, and that is no wait for the server
        if etag.lower() not in [digest.hexdigest() for digest in hashes]:
            raise AnswerError(f"the contents of {self.file} do not have the hash {etag} that it announces")


def _etag(about: Mapping[str, str], commit: str, file: str) -> str:
    """The name of the contents. It becomes the name of a file, and so has to be a word."""
    named = about.get("X-Repo-Commit")
    if named != commit:
        raise AnswerError(f"asked for {file} of commit {commit}, it sends that of {named!r:.80}")
    given = about.get("X-Linked-Etag") or about.get("ETag")
    etag = re.fullmatch(r'(?:W/)?"?([\w-]{1,128})"?', given or "", re.ASCII)
    if etag is None:
        raise AnswerError(f"the ETag of {file} is {given!r:.200}, and a word of letters, digits, _ and - is accepted")
    return etag[1]


def _size(answer: Answer, file: str) -> int | None:
    """The announced number of bytes of the whole file; None where there is none."""
    ranged = answer.headers.get("Content-Range", "").rpartition("/")[2]
    size = answer.about.get("X-Linked-Size") or ranged or answer.headers.get("Content-Length")
    if size is not None and not (re.fullmatch("[0-9]{1,15}", size) and int(size) <= _MOST):
        raise AnswerError(f"the size of {file} is {size!r:.80}, and up to {_MOST} bytes are accepted")
    return None if size is None else int(size)


def _pause(error: Exception, paused: float) -> float | None:
    """Seconds to wait before the next request, after `paused` seconds in vain; None where there is no use in one."""
    pause = PAUSE + paused  # 1, 2, 4, 8
    if isinstance(error, errors.HfHubHTTPError):
        asked = error.response.headers.get("Retry-After", "")
        pause = max(pause, int(asked)) if re.fullmatch("[0-9]{1,9}", asked) else pause
        if error.response.status_code not in _TRY_AGAIN:
            return None
    return pause if paused + pause <= _LONGEST_PAUSE else None


def _check_room(folder: Path, size: int) -> None:
    if 0 < shutil.disk_usage(folder).free < size:  # some disks on a network do not know it, and give 0
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _point(pointer: Path, blob: Path, new: bool) -> None:
    """Let the file of a snapshot be a link to its contents; where the disk has no links, the contents themselves."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    beside = pointer.with_name(f".{uuid.uuid4().hex}.link")
    try:
        if not _link(beside, blob):
            shutil.move(blob, beside) if new else shutil.copyfile(blob, beside)
        os.replace(beside, pointer)
    finally:
        beside.unlink(missing_ok=True)


def _link(link: Path, blob: Path) -> bool:
    """Make a relative link, which stays right when the cache moves. False where there are no links."""
    if getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
        return False
    try:
        link.symlink_to(os.path.relpath(blob, link.parent))
    except (OSError, NotImplementedError):
        return False
    return True
