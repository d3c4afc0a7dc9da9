"""The command line: `bertkit COMMAND ...`.

A command is a name and a function whose signature is its options. The function's module is imported when the command is
called, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "inspect": ("bertkit.cli.inspect:inspect", "show what a checkpoint holds, what it lacks, what it is for"),
    "convert": ("bertkit.cli.convert:convert", "write a checkpoint in another format"),
    "tokenize": ("bertkit.cli.tokenize:tokenize", "show a text's tokens, ids, types and offsets"),
    "train-tokenizer": ("bertkit.cli.train_tokenizer:train_tokenizer", "learn a vocabulary from files of texts"),
}
"""Name -> where its function is, and what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, 1 when a part of the work failed, 2 when it was asked for wrongly."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0 if words else 2
    if words[0] == "--version":
        from bertkit import __version__

        print(f"bertkit {__version__}")
        return 0
    from bertkit.errors import BertkitError, UsageError, did_you_mean

    try:
        if words[0] not in COMMANDS:
            raise UsageError(
                f"There is no command {words[0]!r}; there are {', '.join(COMMANDS)}.{did_you_mean(words[0], COMMANDS)}"
            )
        module, _, name = COMMANDS[words[0]][0].partition(":")
        from bertkit.cli.signature import call

        call(getattr(importlib.import_module(module), name), words[0], words[1:])
    except BertkitError as error:
        print(f"bertkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bertkit: stopped. What was whole before is whole still.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that cannot be made, a full disk
        print(f"bertkit: {error.filename or 'The disk'}: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:<{width}}{what}" for name, (_, what) in COMMANDS.items())
    return f"""usage: bertkit COMMAND ...

BERT, whole.

commands:
{commands}

options:
  -h, --help  this page; `bertkit COMMAND --help` shows a command's own
  --version   the version of bertkit"""
