"""`bertkit convert`."""

from __future__ import annotations

import sys
from typing import Annotated

from bertkit import hub
from bertkit.checkpoint import convert as convert_checkpoint
from bertkit.checkpoint.conversion import Precision
from bertkit.checkpoint.save import Format


def convert(
    source: Annotated[str, "a directory, a file or a Hub id"],
    directory: Annotated[str, "the directory to write to; it is created if necessary"],
    *,
    to: Annotated[Format, "the format to write"] = "safetensors",
    head: Annotated[str | None, "class to write, such as ForMaskedLM (default: that of the source)"] = None,
    prefix: Annotated[str, "prefix of BERT's parameter names in a larger model, such as 'encoder.'"] = "",
    dtype: Annotated[Precision | None, "type to convert the numbers to (default: unchanged)"] = None,
    max_shard_size: Annotated[str, "split a safetensors file above this size"] = "5GB",
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main",
    subfolder: Annotated[str, "folder of the model in the repository"] = "",
    overwrite: Annotated[bool, "replace an existing model"] = False,
) -> None:
    """Write a checkpoint in another format, with its configuration and tokenizer files.

    The source may be safetensors, pytorch_model.bin, a TF1 or TF2 checkpoint of Google, tf_model.h5 or flax_model.msgpack.
    No code in a file is executed, and the source is not changed.
    """
    written = convert_checkpoint(
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
