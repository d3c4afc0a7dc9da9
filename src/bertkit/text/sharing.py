"""A tokenizer's files -> a repository on the Hub."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any


def push(
    tokenizer: Any,
    repo_id: str,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> Any:
    """Write the files of a tokenizer into a repository in one commit, and make the repository where it does not exist."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repository = api.create_repo(repo_id, private=private, exist_ok=True)
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=folder,
            commit_message=commit_message or "Upload tokenizer",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )
