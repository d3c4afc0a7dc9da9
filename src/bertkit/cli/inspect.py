"""`bertkit inspect`."""

from __future__ import annotations

import json
from typing import Annotated

from bertkit import hub
from bertkit.checkpoint import inspect as look


def inspect(
    model: Annotated[str, "a directory, a file or a Hub id"],
    *,
    prefix: Annotated[str, "what stands before BERT's names in a larger model, such as encoder."] = "",
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main",
    subfolder: Annotated[str, "folder of the repository that holds the model"] = "",
    json_: Annotated[bool, "print JSON for programs"] = False,
) -> None:
    """Show what a checkpoint holds.

    Its configuration, its tensors by part with sizes and types, what is missing or
    left over, and which class and task the files are for.
    """
    found = look(hub.locate(model, revision=revision, subfolder=subfolder), prefix=prefix)
    print(json.dumps(found.to_dict(), indent=2) if json_ else found)
