"""`bertkit inspect`: a checkpoint, or a directory of shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from bertkit import hub
from bertkit.checkpoint import inspect as inspect_checkpoint
from bertkit.cli.signature import Typed
from bertkit.data.shards.layout import INDEX, PARTIAL
from bertkit.errors import UsageError


def inspect(
    model: Annotated[str, "a directory, a file or a Hub id of a model, or a directory of shards"],
    typed: Typed,
    *,
    prefix: Annotated[str, "prefix of BERT's parameter names in a larger model, such as 'encoder.'"] = "",
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main",
    subfolder: Annotated[str, "folder of the model in the repository"] = "",
    json_: Annotated[bool, "print JSON"] = False,
) -> None:
    """Show the contents of a checkpoint, or of the shards that `bertkit prepare` wrote.

    For a checkpoint, these are its configuration, its tensors by part with sizes and types, missing and unexpected tensors,
    and the class and task that it is for. For shards, these are the numbers of documents, sentences and tokens, their lengths,
    and the text of some documents; all checksums are verified.
    """
    if any((Path(model) / name).is_file() for name in (INDEX, PARTIAL)):
        from bertkit.cli.shard_page import page

        if ignored := sorted(typed & {"prefix", "revision", "subfolder"}):
            raise UsageError(f"{model} has shards, and --{ignored[0]} is for a checkpoint: leave it out.")
        print(page(model, json_))
        return
    found = inspect_checkpoint(hub.locate(model, revision=revision, subfolder=subfolder), prefix=prefix)
    print(json.dumps(found.to_dict(), indent=2) if json_ else found)
