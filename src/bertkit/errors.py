"""Every error that bertkit raises on purpose, in one tree.

    BertkitError
    ├── ConfigError           (ValueError)   an invalid configuration
    ├── UsageError            (ValueError)   an invalid argument
    │   └── OptionError                      an option that is invalid for every example of a call
    ├── TokenizerError        (ValueError)   an invalid file of a tokenizer
    ├── HubError              (OSError)      a model or file that cannot be found or downloaded
    ├── DataError             (ValueError)   texts or examples that cannot be read
    ├── ExportError           (ValueError)   an exported model that does not compute what the original computes
    ├── MissingExtraError     (ImportError)  an optional dependency that is not installed
    ├── UnavailableError      (ImportError)  a name of transformers that bertkit does not have
    └── CheckpointError       (ValueError)
        ├── FileFormatError                  a file that is damaged, or of an unknown format
        │   └── UnsafeFileError              a file that would run code, use other paths or fill the memory
        └── LoadError                        valid tensors that do not fit the model

Each is also a built-in exception, which code for other libraries catches in the same place. A message has one or two sentences:
what was received, what is accepted and what to type instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

LONGEST_MESSAGE = 3_000


@dataclass(frozen=True)
class Setting:
    """An option and its value in the text of an error. Python and the command line format it as their users type it.

    >>> str(Setting("on_long", "window")), str(Setting("max_length", 64)), str(Setting("labels", ["a", "b"]))
    ('on_long="window"', 'max_length=64', 'labels=["a", "b"]')
    >>> str(Setting("tokenizer", "a tokenizer", shown="..."))
    'tokenizer=...'
    """

    name: str
    value: object
    shown: str | None = None  # the value as Python code, if not as `_in_python` formats it

    def __str__(self) -> str:
        """The option as an argument in Python."""
        return f"{self.name}={_in_python(self.value) if self.shown is None else self.shown}"


def received(name: str, value: object) -> Setting:
    """The option that was passed, with the repr of its value.

    >>> str(received("merge", "median"))
    "merge='median'"
    """
    return Setting(name, value, repr(value))


def _in_python(value: object) -> str:
    """A value as Python code, with strings in double quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_in_python, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def worded(parts: Iterable[object], spell: Callable[[Setting], str] = str) -> str:
    """Join the parts of a message. `spell` formats the settings among them.

    >>> worded(["Type ", Setting("top_k", 3), "."])
    'Type top_k=3.'
    """
    return _printable("".join(spell(part) if isinstance(part, Setting) else str(part) for part in parts))


def _printable(text: str) -> str:
    r"""Shorten a long message, and escape control characters, as a message may repeat the contents of a file.

    >>> print(_printable("red: \x1b[31m"))
    red: \x1b[31m
    """
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[: LONGEST_MESSAGE // 2]} [...] {text[-LONGEST_MESSAGE // 2 :]}"  # the end says what to do
    return "\n".join(map(_escaped, text.split("\n")))


def printable(text: object, most: int = 200) -> str:
    r"""Shorten a text to repeat in a message, and escape its line ends and control characters.

    >>> print(printable("red: \x1b[31m", 9))
    red: \x1b[31...
    """
    text = str(text)
    return f"{_escaped(text[:most])}..." if len(text) > most else _escaped(text)


def _escaped(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def described(value: object) -> str:
    """A value, shortened, and its type, for a message.

    >>> described([1, 2])
    '[1, 2] (list)'
    """
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


class BertkitError(Exception):
    """The base class: ``except BertkitError`` catches all errors that bertkit raises on purpose.

    A message may have several parts. A part that is a `Setting` is formatted for Python by `str`, and otherwise by `worded`.

    >>> error = UsageError("The text is too long: type ", Setting("on_long", "window"), ".")
    >>> str(error)
    'The text is too long: type on_long="window".'
    >>> error.worded(lambda setting: f"--{setting.name} {setting.value}")
    'The text is too long: type --on_long window.'
    """

    def __init__(self, *parts: object) -> None:
        super().__init__("".join(map(str, parts)))
        self.parts = parts

    def __str__(self) -> str:
        return worded(self.parts)

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (type(self), self.parts)

    def worded(self, spell: Callable[[Setting], str]) -> str:
        """The message. `spell` formats the settings in it."""
        return worded(self.parts, spell)


def _unpickled(kind: type[BertkitError], parts: tuple[object, ...]) -> BertkitError:
    """An error from another process. Its class may have a constructor with other arguments."""
    error = kind.__new__(kind)
    BertkitError.__init__(error, *parts)
    return error


class ConfigError(BertkitError, ValueError):
    """An invalid configuration."""


class UsageError(BertkitError, ValueError):
    """An invalid argument."""


class OptionError(UsageError):
    """An option that is invalid for every example of a call. It is raised also with `errors="return"`."""


class TokenizerError(BertkitError, ValueError):
    """An invalid file of a tokenizer."""


class HubError(BertkitError, OSError):
    """A model or file that cannot be found or downloaded."""


class DataError(BertkitError, ValueError):
    """Texts or examples that cannot be read."""


class ExportError(BertkitError, ValueError):
    """An exported model that does not compute what the original computes."""


class MissingExtraError(BertkitError, ImportError):
    """An optional dependency that is not installed."""

    def __init__(self, module: str, extra: str | None, purpose: object) -> None:
        typed = module if extra is None else f'"bertkit[{extra}]"'
        super().__init__(purpose, f" needs {module}, which is not installed. Type: pip install {typed}")


class UnavailableError(BertkitError, ImportError):
    """A name of transformers that bertkit does not have."""


class CheckpointError(BertkitError, ValueError):
    """A checkpoint that cannot be used."""


class FileFormatError(CheckpointError):
    """A file that is damaged, or of an unknown format."""


class UnsafeFileError(FileFormatError):
    """A file that would run code, use other paths or fill the memory."""


class LoadError(CheckpointError):
    """Valid tensors that do not fit the model."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question such as `" Did you mean 'hidden_size'?"`, or an empty string if no known word is similar.

    >>> did_you_mean("hiden_size", ["hidden_size", "vocab_size"])
    " Did you mean 'hidden_size'?"
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Raises UsageError for an option whose value is not one of those known.

    >>> one_of("merge", "mean", ("mean", "max"))
    """
    if value not in known or isinstance(value, bool):
        near = did_you_mean(value, [word for word in known if isinstance(word, str)]) if isinstance(value, str) else ""
        raise UsageError(received(name, value), f" is invalid: choose one of {', '.join(map(repr, known))}.{near}")
