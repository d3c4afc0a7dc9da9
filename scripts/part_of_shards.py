"""Copy whole files of shards, up to a size in bytes: to train on a part, or where not all of them fit.

    python scripts/part_of_shards.py SHARDS OUT --bytes 60000000

OUT has the first shards that fit, one after the other, and is a normal folder of shards. The size includes the tokenizer.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from bertkit import Shards
from bertkit.data.shards.layout import INDEX, TOKENIZER, Shard, shard_name


def fitting(shards: Shards, room: int) -> list[Shard]:
    """Return the entries of the shards that fit, in their order."""
    chosen = []
    for file in shards.files:
        size = file.entry.size(shards.special.dtype)
        if size <= room:
            chosen.append(file.entry)
            room -= size
    return chosen


def main() -> None:
    """Copy the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bytes", type=int, required=True)
    options = parser.parse_args()
    if options.out.exists():
        sys.exit(f"{options.out} exists: type a new folder.")
    shards = Shards(options.shards)
    tokenizer = sum(path.stat().st_size for path in (options.shards / TOKENIZER).iterdir())
    chosen = fitting(shards, options.bytes - tokenizer)
    if not chosen:
        sys.exit("No shard fits: type more --bytes, or make smaller shards with bertkit prepare --shard-tokens.")
    shutil.copytree(options.shards / TOKENIZER, options.out / TOKENIZER)
    for number, entry in enumerate(chosen):
        shutil.copyfile(options.shards / entry.file, options.out / shard_name(number))
    entries = [replace(entry, file=shard_name(number)) for number, entry in enumerate(chosen)]
    documents = sum(entry.documents for entry in entries)
    replace(shards.index, shards=entries, documents=documents, crc=0).write(options.out / INDEX)
    part = Shards(options.out)
    part.verify()
    print(f"{len(entries)} of {len(shards.files)} shards: {documents:,} documents, {part.tokens:,} tokens")


if __name__ == "__main__":
    main()
