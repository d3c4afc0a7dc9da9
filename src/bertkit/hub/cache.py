"""What the cache has of a repository of the Hub."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from bertkit.errors import HubError
from bertkit.hub.place import Place, folder_place


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub at a revision, and its part of huggingface_hub's cache.

    There refs/<branch> holds a commit, and snapshots/<commit> the files that were fetched of it. It is read here since
    huggingface_hub may send requests even when told to use local files only.
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
        ref = self._path("refs", self.revision)
        with contextlib.suppress(OSError):
            commit = ref.read_text("utf-8", "replace").strip() if ref.is_file() else self.revision
            snapshot = self._path("snapshots", commit)
            return snapshot if re.fullmatch("[0-9a-f]{40}", commit) and snapshot.is_dir() else None
        return None

    def remember(self, commit: str) -> None:
        """That the revision is `commit` now: huggingface_hub, asked for files of a commit, cannot know it."""
        ref = self._path("refs", self.revision)
        with contextlib.suppress(OSError):  # a cache that cannot be written serves as well
            if self.revision != commit and not (ref.is_file() and ref.read_bytes() == commit.encode()):
                ref.parent.mkdir(parents=True, exist_ok=True)
                ref.write_bytes(commit.encode())

    def _path(self, *parts: str) -> Path:
        return self.cache.joinpath(f"models--{self.id.replace('/', '--')}", *parts)
