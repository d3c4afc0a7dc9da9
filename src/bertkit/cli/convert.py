"""`bertkit convert`."""

from __future__ import annotations

import sys
from typing import Annotated

from bertkit import hub
from bertkit.checkpoint import convert as write
from bertkit.checkpoint.conversion import Precision
from bertkit.checkpoint.save import Format


def convert(
    source: Annotated[str, "a directory, a file or a Hub id"],
    directory: Annotated[str, "where to write; made where there is none"],
    *,
    to: Annotated[Format, "the format to write"] = "safetensors",
    head: Annotated[str | None, "class to write, such as ForMaskedLM (default: the one that the source names)"] = None,
    prefix: Annotated[str, "what stands before BERT's names in a larger model, such as encoder."] = "",
    dtype: Annotated[Precision | None, "type of the numbers (default: as they are)"] = None,
    max_shard_size: Annotated[str, "split safetensors above this size"] = "5GB",
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main",
    subfolder: Annotated[str, "folder of the repository that holds the model"] = "",
    overwrite: Annotated[bool, "replace a model that is there"] = False,
) -> None:
    """Write a checkpoint of any origin in the format of your choice, with its configuration and its tokenizer's files.

    Reads safetensors, pytorch_model.bin, Google's TF1 and TF2 checkpoints, tf_model.h5 and flax_model.msgpack. No code in
    a file is executed, and the source is not changed.
    """
    written = write(
        hub.locate(source, revision=revision, subfolder=subfolder),
        directory,
        to=to,
        head=head,
        prefix=prefix,
        dtype=dtype,
        max_shard_size=max_shard_size,
        overwrite=overwrite,
        progress=sys.stderr.isatty(),
    )
    for path in written:
        print(path)
