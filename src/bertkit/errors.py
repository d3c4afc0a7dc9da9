"""Every error that bertkit raises on purpose, in one tree.

    BertkitError
    ├── ConfigError           (ValueError)   an invalid configuration
    ├── UsageError            (ValueError)   an invalid argument
    │   └── OptionError                      an option that is invalid for every example of a call
    ├── TokenizerError        (ValueError)   an invalid file of a tokenizer
    ├── HubError              (OSError)      a name that leads to no file
    ├── DataError             (ValueError)   texts or examples that cannot be read
    ├── MissingExtraError     (ImportError)  an optional dependency that is not installed
    ├── UnavailableError      (ImportError)  a name of transformers that bertkit does not have
    └── CheckpointError       (ValueError)
        ├── FileFormatError                  a file that is damaged, or of no format that we read
        │   └── UnsafeFileError              a file that asks for more than tensors: code, other paths, endless memory
        └── LoadError                        sound tensors that are not those of the model

Each also is the built-in exception that users of other libraries catch in the same place. A message says what was received,
what is accepted and what to type instead, in one sentence or two.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

LONGEST_MESSAGE = 3_000


@dataclass(frozen=True)
class Setting:
    """An option and its value in the text of an error. Each front end spells it as its users type it.

    >>> str(Setting("on_long", "window")), str(Setting("max_length", 64)), str(Setting("labels", ["a", "b"]))
    ('on_long="window"', 'max_length=64', 'labels=["a", "b"]')
    >>> str(Setting("tokenizer", "a tokenizer", shown="..."))
    'tokenizer=...'
    """

    name: str
    value: object
    shown: str | None = None  # the value as Python code, where it is not the usual one

    def __str__(self) -> str:
        """As an argument in Python."""
        return f"{self.name}={_in_python(self.value) if self.shown is None else self.shown}"


def received(name: str, value: object) -> Setting:
    """An option as a call has it, its value as Python prints it.

    >>> str(received("merge", "median"))
    "merge='median'"
    """
    return Setting(name, value, repr(value))


def _in_python(value: object) -> str:
    """A value as the documentation writes it: texts in double quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_in_python, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def worded(parts: Iterable[object], spell: Callable[[Setting], str] = str) -> str:
    """A message of several parts, with each setting as `spell` writes it.

    >>> worded(["Type ", Setting("top_k", 3), "."])
    'Type top_k=3.'
    """
    return _printable("".join(spell(part) if isinstance(part, Setting) else str(part) for part in parts))


def _printable(text: str) -> str:
    r"""A message of bounded length without sequences for the terminal: it may repeat what a file says.

    >>> print(_printable("red: \x1b[31m"))
    red: \x1b[31m
    """
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[: LONGEST_MESSAGE // 2]} [...] {text[-LONGEST_MESSAGE // 2 :]}"  # what to do stands at the end
    return "\n".join(map(_escaped, text.split("\n")))


def printable(text: object, most: int = 200) -> str:
    r"""A text from elsewhere as a message repeats it: one line of bounded length, without sequences for the terminal.

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
    """A value and its type as an error shows them.

    >>> described([1, 2])
    '[1, 2] (list)'
    """
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


class BertkitError(Exception):
    """The root: ``except BertkitError`` catches all that bertkit raises on purpose.

    A message may have several parts. Those that are a `Setting` are advice as data: `worded` spells them for a front end.

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

    def worded(self, spell: Callable[[Setting], str]) -> str:
        """The message, with each setting as `spell` writes it."""
        return worded(self.parts, spell)


class ConfigError(BertkitError, ValueError):
    """An invalid configuration."""


class UsageError(BertkitError, ValueError):
    """An invalid argument."""


class OptionError(UsageError):
    """An option that is invalid for every example of a call. It is raised even where a call returns the errors of examples."""


class TokenizerError(BertkitError, ValueError):
    """An invalid file of a tokenizer."""


class HubError(BertkitError, OSError):
    """A name that leads to no file."""


class DataError(BertkitError, ValueError):
    """Texts or examples that cannot be read."""


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


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Raises UsageError for an option whose value is not one of those known.

    >>> one_of("merge", "mean", ("mean", "max"))
    """
    if value not in known or isinstance(value, bool):
        near = did_you_mean(value, [word for word in known if isinstance(word, str)]) if isinstance(value, str) else ""
        raise UsageError(received(name, value), f" is invalid. Accepted: {', '.join(map(repr, known))}.{near}")
