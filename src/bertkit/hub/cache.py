"""The files of a repository of the Hub that are in huggingface_hub's cache."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from bertkit.errors import HubError
from bertkit.hub.disk import whole_file
from bertkit.hub.place import Place, folder_place

COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub at a revision, and its folder in huggingface_hub's cache.

    In this folder refs/<branch> holds a commit, blobs/<ETag> the contents of a file, and snapshots/<commit>/<file> is a
    link to the contents. bertkit reads it directly, since huggingface_hub may send requests even with local files only.
    """

    id: str
    revision: str
    subfolder: str
    cache: Path

    def in_cache(self, why: str) -> Place:
        """Return the cached files as a place. `why` says why only the cache is used, in the error for a missing file."""
        command = f"hf download {self.id} --revision {self.revision} --cache-dir {self.cache}"
        advice = f" {why} To download all files while online, type: {command}"
        snapshot = self.snapshot()
        if snapshot is None:
            raise HubError(
                f"There is no folder {self.id} here, and {self.id} ({self.revision}) is not in the cache {self.cache}.{advice}"
            )
        return folder_place(snapshot / self.subfolder, f"the cache of {self.id} ({self.revision})", advice)

    def snapshot(self) -> Path | None:
        """The cached folder of the revision's commit, as of the last request; None if the cache has none."""
        commit = self._commit() or self.revision
        with contextlib.suppress(OSError):
            snapshot = self.path("snapshots", commit)
            return snapshot if COMMIT.fullmatch(commit) and snapshot.is_dir() else None
        return None

    def remember(self, commit: str) -> None:
        """Write into refs/ that the revision is at `commit`."""
        ref = self.path("refs", self.revision)
        with contextlib.suppress(OSError):  # a cache may be read-only
            if self.revision != commit and self._commit() != commit:
                ref.parent.mkdir(parents=True, exist_ok=True)
                if self._has(ref.parent):
                    with whole_file(ref) as file:
                        file.write(commit.encode())

    def path(self, *parts: str) -> Path:
        """Return a path in the repository's folder of the cache."""
        return self.cache.joinpath(f"models--{self.id.replace('/', '--')}", *parts)

    def _commit(self) -> str | None:
        """The text in refs/<revision>, at most 64 bytes; None if it is missing, a link or not a regular file."""
        ref = self.path("refs", self.revision)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with contextlib.suppress(OSError):
            descriptor = os.open(ref, flags)
            with open(descriptor, "rb") as file:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and self._has(ref.parent):
                    return file.read(64).decode("ascii", "replace").strip()
        return None

    def _has(self, folder: Path) -> bool:
        """Whether the folder, with links resolved, is inside the repository's folder of the cache."""
        return folder.resolve().is_relative_to(self.path().resolve())
