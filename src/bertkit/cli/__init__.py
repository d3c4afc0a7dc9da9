"""The command line: `bertkit COMMAND ...`.

A command is a name and a function whose signature is its options. The function's module is imported when the command is
called, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "fill-mask": ("bertkit.cli.ask:fill_mask", "which words may stand where a text has [MASK]"),
    "classify": ("bertkit.cli.ask:classify", "the label of a text or of a pair"),
    "ner": ("bertkit.cli.ask:ner", "names in a text"),
    "qa": ("bertkit.cli.ask:qa", "the answer to a question in a text"),
    "embed": ("bertkit.cli.ask:embed", "texts as vectors"),
    "similarity": ("bertkit.cli.ask:similarity", "how near texts are to a first one"),
    "nsp": ("bertkit.cli.ask:nsp", "whether a text goes on where another ends"),
    "choose": ("bertkit.cli.ask:choose", "which of several texts goes best with a first one"),
    "zero-shot": ("bertkit.cli.ask:zero_shot", "which of your labels a text has"),
    "score": ("bertkit.cli.ask:score", "how natural a text is"),
    "run": ("bertkit.cli.run:run", "any of these tasks over a file"),
    "inspect": ("bertkit.cli.inspect:inspect", "show what a checkpoint holds, what it lacks, what it is for"),
    "convert": ("bertkit.cli.convert:convert", "write a checkpoint in another format"),
    "tokenize": ("bertkit.cli.tokenize:tokenize", "show a text's tokens, ids, types and offsets"),
    "train-tokenizer": ("bertkit.cli.train_tokenizer:train_tokenizer", "learn a vocabulary from files of texts"),
    "completion": ("bertkit.cli.completion:completion", "print what completes these commands in a shell"),
}
"""Name -> where its function is, and what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, 1 when a part of the work failed, 2 when it was asked for wrongly."""
    _open_streams()
    from bertkit.errors import BertkitError

    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
            if arguments is None:
                _end_at_ctrl_c()
    except BertkitError as error:
        print(f"bertkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bertkit: stopped. What was whole before is whole still.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        _drop_output()
        return 0
    except OSError as error:  # a folder that cannot be made, a full disk
        print(f"bertkit: {error.filename or 'The disk'}: {error.strerror}.", file=sys.stderr)
        _drop_output()
        return 2


def _end_at_ctrl_c() -> None:
    """While Python ends, after all was written, Ctrl-C ends the process as it does before, without a traceback."""
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))


def _open_streams() -> None:
    """A stream that is closed takes all, and one that is not UTF-8 what it has no character for, spelled."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Leave nothing that Python could fail to write when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0 if words else 2
    if words[0] == "--version":
        from bertkit import __version__

        print(f"bertkit {__version__}")
        return 0
    from bertkit.errors import UsageError, did_you_mean

    if words[0] not in COMMANDS:
        raise UsageError(
            f"There is no command {words[0]!r}; there are {', '.join(COMMANDS)}.{did_you_mean(words[0], COMMANDS)}"
        )
    module, _, name = COMMANDS[words[0]][0].partition(":")
    from bertkit.cli.signature import call

    return call(getattr(importlib.import_module(module), name), words[0], words[1:])


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
