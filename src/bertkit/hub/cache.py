"""What the cache has of a repository of the Hub."""

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
    """A repository of the Hub at a revision, and its part of huggingface_hub's cache.

    There refs/<branch> holds a commit, blobs/<ETag> the contents of a file, and snapshots/<commit>/<file> a link to
    them. It is read here since huggingface_hub may send requests even when told to use local files only.
    """

    id: str
    revision: str
    subfolder: str
    cache: Path

    def in_cache(self, why: str) -> Place:
        """The files that are cached; `why` is said to those who miss one."""
        command = f"hf download {self.id} --revision {self.revision} --cache-dir {self.cache}"
        advice = f" {why} To fetch all of it while online, type: {command}"
        snapshot = self.snapshot()
        if snapshot is None:
            raise HubError(f"{self.id} ({self.revision}) is not in the cache {self.cache}.{advice}")
        return folder_place(snapshot / self.subfolder, f"the cache of {self.id} ({self.revision})", advice)

    def snapshot(self) -> Path | None:
        """The folder of the commit that the revision was when it was last asked for; None if it never was."""
        commit = self._commit() or self.revision
        with contextlib.suppress(OSError):
            snapshot = self.path("snapshots", commit)
            return snapshot if COMMIT.fullmatch(commit) and snapshot.is_dir() else None
        return None

    def remember(self, commit: str) -> None:
        """Note that the revision is `commit` now."""
        ref = self.path("refs", self.revision)
        with contextlib.suppress(OSError):  # a cache that cannot be written serves as well
            if self.revision != commit and self._commit() != commit:
                ref.parent.mkdir(parents=True, exist_ok=True)
                if self._has(ref.parent):
                    with whole_file(ref) as file:
                        file.write(commit.encode())

    def path(self, *parts: str) -> Path:
        """A path in the repository's part of the cache."""
        return self.cache.joinpath(f"models--{self.id.replace('/', '--')}", *parts)

    def _commit(self) -> str | None:
        """What refs/<revision> holds. A link or a pipe in its place is no ref, and of a large file little is read."""
        ref = self.path("refs", self.revision)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with contextlib.suppress(OSError):
            descriptor = os.open(ref, flags)
            with open(descriptor, "rb") as file:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and self._has(ref.parent):
                    return file.read(64).decode("ascii", "replace").strip()
        return None

    def _has(self, folder: Path) -> bool:
        """Whether no link leads to the folder from within the repository's part of the cache."""
        return folder.resolve().is_relative_to(self.path().resolve())
