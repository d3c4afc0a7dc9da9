"""A function's signature as the options of a command.

    def convert(source: Annotated[str, "what to read"], *, to: Annotated[Literal["a", "b"], "the format"] = "a") -> None: ...

is `bertkit convert SOURCE [--to {a,b}]`: parameters before the `*` are positions, those behind it options, a bool is a switch,
and the text of an annotation is the help. The docstring is the description.
"""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from bertkit.errors import UsageError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. Type: {self.prog} --help")


def call(function: Callable[..., object], command: str, words: Sequence[str]) -> None:
    """Call a function with the arguments that the words of a command line spell."""
    given = vars(parser_of(function, command).parse_args(words))
    parameters = inspect.signature(function).parameters.values()
    positions = [given.pop(parameter.name) for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    function(*positions, **given)


def parser_of(function: Callable[..., object], command: str) -> argparse.ArgumentParser:
    """The parser of a command's options."""
    parser = _Parser(
        prog=f"bertkit {command}",
        description=_wrapped(inspect.getdoc(function) or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        _add(parser, parameter, *_split(hints[parameter.name]))
    return parser


def _wrapped(text: str) -> str:
    """The paragraphs of a text, as lines of a terminal."""
    return "\n\n".join(textwrap.fill(" ".join(paragraph.split()), 78) for paragraph in text.split("\n\n"))


def _split(hint: Any) -> tuple[Any, str]:
    """`Annotated[str | None, "help"]` -> str and "help"."""
    kind, text = (hint.__origin__, hint.__metadata__[0]) if get_origin(hint) is Annotated else (hint, "")
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    return kind, text


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    if parameter.kind is not parameter.KEYWORD_ONLY:
        parser.add_argument(parameter.name, metavar=parameter.name.upper(), help=text, type=kind)
        return
    option = "--" + parameter.name.rstrip("_").replace("_", "-")
    if kind is bool:
        parser.add_argument(option, dest=parameter.name, action="store_true", help=text)
        return
    default = f" (default: {parameter.default})" if parameter.default not in (None, "") else ""
    choices = get_args(kind) if get_origin(kind) is Literal else None
    parser.add_argument(
        option,
        dest=parameter.name,
        default=parameter.default,
        help=text + default,
        choices=choices,
        metavar=None if choices else parameter.name.upper(),
        type=str if choices else kind,
    )
