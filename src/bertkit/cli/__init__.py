"""The command line: `bertkit COMMAND ...`.

Each command is a function whose signature defines its options. Its module is imported only when the command runs, so that
`bertkit --help` and unknown commands are answered at once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Collection, Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "fill-mask": ("bertkit.cli.ask:fill_mask", "predict the words at [MASK] in a text"),
    "classify": ("bertkit.cli.ask:classify", "predict the label of a text or of a pair of texts"),
    "ner": ("bertkit.cli.ask:ner", "find names and other entities in a text"),
    "qa": ("bertkit.cli.ask:qa", "find the answer to a question in a text"),
    "embed": ("bertkit.cli.ask:embed", "compute vectors (embeddings) of texts"),
    "similarity": ("bertkit.cli.ask:similarity", "compare a text with other texts"),
    "nsp": ("bertkit.cli.ask:nsp", "predict whether a second text follows a first one"),
    "choose": ("bertkit.cli.ask:choose", "choose which of several texts best fits a first one"),
    "zero-shot": ("bertkit.cli.ask:zero_shot", "classify texts with labels of your choice"),
    "score": ("bertkit.cli.ask:score", "compute how likely a text is (its perplexity)"),
    "generate": ("bertkit.cli.write:generate", "continue the beginning of a text"),
    "summarize": ("bertkit.cli.write:summarize", "write the summary of a text"),
    "run": ("bertkit.cli.run:run", "run any of these tasks over a file"),
    "finetune": ("bertkit.cli.finetune:finetune", "train a model for a task on a file of examples"),
    "pretrain": ("bertkit.cli.pretrain:pretrain", "train a new model on shards of text, or a model further"),
    "predict": ("bertkit.cli.run:run", "the same as run"),
    "evaluate": ("bertkit.cli.evaluate:evaluate", "score a model on a file of examples with true answers"),
    "bench": ("bertkit.cli.bench:bench", "measure each engine and precision on your own inputs"),
    "prepare": ("bertkit.cli.prepare:prepare", "turn files of text into shards of tokens for pretraining"),
    "inspect": ("bertkit.cli.inspect:inspect", "show the contents of a checkpoint, or of shards"),
    "convert": ("bertkit.cli.convert:convert", "write a checkpoint in another format"),
    "export": ("bertkit.cli.export:export", "write a model for another runtime: ONNX or TorchScript"),
    "serve": ("bertkit.cli.serve:serve", "answer requests over HTTP"),
    "package": ("bertkit.cli.package:package", "write what an image of the server is built from"),
    "tokenize": ("bertkit.cli.tokenize:tokenize", "show the tokens of a text with ids, types and offsets"),
    "explain tokens": ("bertkit.cli.explain:tokens", "show a text as words, pieces, ids, types and positions"),
    "explain mask": ("bertkit.cli.explain:mask", "show which tokens of a batch may attend to which"),
    "explain attention": ("bertkit.cli.explain:attention", "show what each head of each layer attends to"),
    "explain attribution": ("bertkit.cli.explain:attribution", "show which tokens speak for an answer"),
    "explain embeddings": ("bertkit.cli.explain:embeddings", "show a map of texts or words with their neighbours"),
    "explain training": ("bertkit.cli.explain:training", "show the curves and the worst mistakes of a run"),
    "train-tokenizer": ("bertkit.cli.train_tokenizer:train_tokenizer", "train a vocabulary on text files"),
    "add-words": ("bertkit.cli.add_words:add_words", "add the words of a domain to a model's vocabulary"),
    "doctor": ("bertkit.cli.doctor:doctor", "check the machine, the installation and a model"),
    "completion": ("bertkit.cli.completion:completion", "print a script that completes these commands in a shell"),
}
"""Command, of one word or two -> its function, and its line in the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 1 if some rows failed or the doctor found a fault, 2 after an error, 130 after
    Ctrl-C.
    """
    _open_streams()
    from bertkit.engines.processor import thread_variables
    from bertkit.errors import BertkitError

    try:
        if arguments is None:  # the process is this command's own
            os.environ.update(thread_variables())
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
        print("bertkit: stopped. No file is left half-written.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of stdout has closed it, as `head` does
        _drop_output()
        return 0
    except OSError as error:  # for example a folder that cannot be created, or a full disk
        print(f"bertkit: {error.filename or 'The disk'}: {error.strerror}.", file=sys.stderr)
        _drop_output()
        return 2


def _end_at_ctrl_c() -> None:
    """After the command has finished, let Ctrl-C end the process without a traceback."""
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))


def _open_streams() -> None:
    """Replace a closed stream by os.devnull, and escape characters that a stream's encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Flush stdout, or redirect it to os.devnull, so that Python's own flush at exit cannot fail."""
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
    kinds = () if words[0] in COMMANDS else [name for name in COMMANDS if name.startswith(f"{words[0]} ")]
    if kinds and (len(words) == 1 or words[1] in ("-h", "--help")):
        print(_help(kinds, f"bertkit {words[0]} KIND ..."))
        return 0 if len(words) > 1 else 2
    command, rest = (" ".join(words[:2]), words[2:]) if kinds else (words[0], words[1:])
    if command not in (kinds or COMMANDS):
        raise _unknown(command, kinds or COMMANDS)
    place, _, name = COMMANDS[command][0].partition(":")
    from bertkit.cli.signature import call

    module = importlib.import_module(place)
    defaults = getattr(module, "words_of_environment", list)  # options that a container passes as environment variables
    return call(getattr(module, name), command, [*defaults(), *rest])


def _unknown(command: str, known: Collection[str]) -> Exception:
    """The error for an unknown command."""
    from bertkit.errors import UsageError, did_you_mean

    return UsageError(f"Unknown command {command!r}: choose one of {', '.join(known)}.{did_you_mean(command, known)}")


def _help(names: Collection[str] = COMMANDS, usage: str = "bertkit COMMAND ...") -> str:
    width = max(map(len, names)) + 2
    commands = "\n".join(f"  {name:<{width}}{COMMANDS[name][1]}" for name in names)
    version = "\n  --version   show the version of bertkit" if names is COMMANDS else ""
    return f"""usage: {usage}

Run BERT models, inspect and convert their checkpoints, train tokenizers.

commands:
{commands}

options:
  -h, --help  show this help; see also `bertkit COMMAND --help`{version}"""
