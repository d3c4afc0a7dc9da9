"""Upload files to a repository of the Hub: push_to_hub of models, configurations and tokenizers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi

from bertkit.errors import HubError
from bertkit.hub.online import FAILURES, check_token, hub_endpoint


def push(
    write: Callable[[Path], object],
    repo_id: str,
    *,
    commit_message: str,
    commit_description: str | None = None,
    private: bool | None = None,
    token: bool | str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> CommitInfo:
    """Commit the files that `write` writes into a folder to a repository, which is created if it does not exist.

    private: whether a new repository is private. revision: a branch. create_pr: open a pull request with the commit instead.
    """
    check_token(token)
    hub = HfApi(endpoint=hub_endpoint(), token=token, library_name="bertkit")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))  # first, so that an invalid argument creates no repository
        try:
            repository = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
            commit: CommitInfo = hub.upload_folder(
                repo_id=repository,
                folder_path=folder,
                commit_message=commit_message,
                commit_description=commit_description,
                revision=revision,
                create_pr=create_pr,
            )
            return commit
        except FAILURES as error:
            if isinstance(error, HubError):
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise HubError(
                f"{repo_id} cannot be written at {hub.endpoint}: {reason}. Type once: hf auth login, or pass token= with a "
                "token that may write."
            ) from error
