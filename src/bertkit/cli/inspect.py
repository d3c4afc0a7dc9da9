"""`bertkit inspect`."""

from __future__ import annotations

import json
from typing import Annotated

from bertkit import hub
from bertkit.checkpoint import inspect as inspect_checkpoint


def inspect(
    model: Annotated[str, "a directory, a file or a Hub id"],
    *,
    prefix: Annotated[str, "prefix of BERT's parameter names in a larger model, such as 'encoder.'"] = "",
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main",
    subfolder: Annotated[str, "folder of the model in the repository"] = "",
    json_: Annotated[bool, "print JSON"] = False,
) -> None:
    """Show the contents of a checkpoint.

    These are its configuration, its tensors by part with sizes and types, missing and unexpected tensors, and the class
    and task that it is for.
    """
    found = inspect_checkpoint(hub.locate(model, revision=revision, subfolder=subfolder), prefix=prefix)
    print(json.dumps(found.to_dict(), indent=2) if json_ else found)
