"""Every error that bertkit raises on purpose, in one tree.

    BertkitError
    ├── ConfigError           (ValueError)   a configuration that cannot be
    ├── UsageError            (ValueError)   an argument that cannot be
    ├── TokenizerError        (ValueError)   a tokenizer's file that cannot be
    ├── HubError              (OSError)      a name that leads to no file
    ├── DataError             (ValueError)   texts or examples that cannot be read
    ├── MissingExtraError     (ImportError)  an optional dependency that is not installed
    └── CheckpointError       (ValueError)
        ├── FileFormatError                  a file that is damaged, or of no format that we read
        │   └── UnsafeFileError              a file that asks for more than tensors: code, other paths, endless memory
        └── LoadError                        sound tensors that are not those of the model

Each also is the built-in exception that users of other libraries catch in the same place. A message says what came,
what is accepted and what to type instead, in one sentence or two.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BertkitError(Exception):
    """The root: ``except BertkitError`` catches all that bertkit raises on purpose."""


class ConfigError(BertkitError, ValueError):
    """A configuration that cannot be."""


class UsageError(BertkitError, ValueError):
    """An argument that cannot be."""


class TokenizerError(BertkitError, ValueError):
    """A tokenizer's file that cannot be."""


class HubError(BertkitError, OSError):
    """A name that leads to no file."""


class DataError(BertkitError, ValueError):
    """Texts or examples that cannot be read."""


class MissingExtraError(BertkitError, ImportError):
    """An optional dependency that is not installed."""

    def __init__(self, module: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs {module}, which is not installed. Type: pip install "bertkit[{extra}]"')

    def __str__(self) -> str:
        return str(self.args[0])  # where ImportError has a second place for it


class CheckpointError(BertkitError, ValueError):
    """A checkpoint that cannot be used."""


class FileFormatError(CheckpointError):
    """A file that is damaged, or of no format that we read."""


class UnsafeFileError(FileFormatError):
    """A file that asks for more than tensors: code, other paths, endless memory."""


class LoadError(CheckpointError):
    """Sound tensors that are not those of the model."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'hidden_size'?"` for a near miss, the empty string when nothing is near.

    >>> did_you_mean("hiden_size", ["hidden_size", "vocab_size"])
    " Did you mean 'hidden_size'?"
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
