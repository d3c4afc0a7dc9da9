"""The method `push_to_hub` of all that has `save_pretrained`, and `save_pretrained` of what is one JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from bertkit.errors import UsageError, received
from bertkit.hub.disk import whole_file


class PushesToHub:
    """The method `push_to_hub`."""

    save_pretrained: Any
    _pushed: ClassVar[str | None] = None  # in the message of a commit; None: the name of the class

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        tags: None = None,
        use_temp_dir: bool | None = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
    ) -> Any:
        """Commit the files of `save_pretrained` to a repository of the Hub, which is created if it does not exist.

        repo_id: "name" or "organization/name". private: whether a new repository is private. revision: a branch.
        create_pr: open a pull request with the commit. Returns huggingface_hub's CommitInfo.
        max_shard_size, safe_serialization: as in `save_pretrained` of models; without effect elsewhere, as is use_temp_dir.
        """
        from bertkit.hub.upload import push

        if tags is not None:
            advice = "write tags into the README.md of the repository, and leave it out."
            raise UsageError(received("tags", tags), " is not supported: ", advice)
        return push(
            lambda folder: self._save_files(folder, max_shard_size, safe_serialization),
            repo_id,
            commit_message=commit_message or f"Upload {self._pushed or type(self).__name__}",
            commit_description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
        )

    def _save_files(self, folder: Path, max_shard_size: int | str, safe_serialization: bool) -> None:
        self.save_pretrained(folder)


class SavesJson(PushesToHub):
    """What is saved as one JSON file."""

    _file: ClassVar[str]  # its name
    to_dict: Any
    to_diff_dict: Any
    validate: Any

    def to_json_string(self, use_diff: bool = True) -> str:
        """The text of the file, keys sorted."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write `to_json_string` to a file."""
        self.validate()
        with whole_file(json_file_path) as file:
            file.write(self.to_json_string(use_diff).encode())

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        push_to_hub: bool = False,
        *,
        repo_id: str | None = None,
        token: bool | str | None = None,
    ) -> None:
        """Write the file into a folder, which is created if it does not exist.

        push_to_hub, repo_id, token: also commit it to a repository of the Hub, by default of the folder's name.
        """
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).name, token=token)
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        self.to_json_file(Path(save_directory) / self._file)
