"""A function's signature as the options of a command.

    def convert(source: Annotated[str, "what to read"], *, to: Annotated[Literal["a", "b"], "the format"] = "a") -> None: ...

is `bertkit convert SOURCE [--to {a,b}]`: parameters before the `*` are positions, those behind it options, and the text of an
annotation is the help. The docstring is the description. Of the positions, a `list[str]` takes one word or more, and one with a
default may be left out. Of the options, one without a default must be given, a bool that is False by default is a switch, any
other bool (`bool | None = None`) a pair of switches, `--accents` and `--no-accents`, and a `list[str]` may come several times.
A dataclass stands for its fields: so commands share options.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from bertkit.errors import BertkitError, UsageError

_QUOTES = "\"'"
_SHORTER = {
    "hypothesis_template": "template",
    "candidate_labels": "labels",
    "aggregation_strategy": "strategy",
    "handle_impossible_answer": "impossible",
}
"""Options of tasks that have a shorter name on the command line."""
_Owner = argparse._ActionsContainer


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. Type: {self.prog} --help")


def call(function: Callable[..., Any], command: str, words: Sequence[str]) -> int:
    """Call a function with the arguments that the words of a command line spell, for the exit code that it returns."""
    parser = parser_of(function, command)
    # Words before and behind options: argparse has another way for them, whose errors name less.
    mixed = any(action.nargs == "*" for action in parser._actions)
    given = vars(parser.parse_intermixed_args(words) if mixed else parser.parse_args(words))
    hints = get_type_hints(function, include_extras=True)
    positions = []
    for parameter in inspect.signature(function).parameters.values():
        if _is_group(group := hints[parameter.name]):
            given[parameter.name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            positions.append(given.pop(parameter.name))
    try:
        return function(*positions, **given) or 0
    except BertkitError as error:
        error.args = (_spelled(str(error), parser),)
        raise


def _spelled(sentence: str, parser: argparse.ArgumentParser) -> str:
    """What a sentence tells people to type in Python, as they type it here: `on_long="window"` -> `--on-long window`."""
    options = {action.dest: action.option_strings[-1] for action in parser._actions if action.option_strings}

    def option(found: re.Match[str]) -> str:
        name, value = _SHORTER.get(found[1], found[1]), found[2]
        if name not in options:
            return found[0]
        if value == "True":
            return options[name]
        if " " not in value or value.startswith("["):
            value = ",".join(part.strip(f" {_QUOTES}") for part in value.strip("[]").split(","))
        return f"{options[name]}{'=' if value.startswith('-') else ' '}{value}"

    sentence = re.sub(r'To put "\ufffd" in its place: .*', "Type it in UTF-8.", sentence)
    sentence = re.sub(r'pipeline\("([\w-]+)", [^)]*\)', r"bertkit run --task \1", sentence)
    return re.sub(r"""(?<![\w-])([a-z_]+)=("[^"]*"|'[^']*'|\[[^]]*\]|-?[\d.]+\b|True\b|\.\.\.)""", option, sentence)


def parser_of(function: Callable[..., object], command: str) -> argparse.ArgumentParser:
    """The parser of a command's options."""
    parser = _Parser(
        prog=f"bertkit {command}",
        description=_wrapped(inspect.getdoc(function) or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_all(parser, function)
    return parser


def _add_all(parser: _Owner, owner: Callable[..., object]) -> None:
    """The parameters of a function, or the fields of a group."""
    hints = get_type_hints(owner, include_extras=True)
    for parameter in inspect.signature(owner).parameters.values():
        if _is_group(hint := hints[parameter.name]):
            _add_all(parser.add_argument_group(inspect.getdoc(hint)), hint)
        else:
            _add(parser, parameter, *_split(hint))


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _wrapped(text: str) -> str:
    """The paragraphs of a text, as lines of a terminal."""
    return "\n\n".join(textwrap.fill(" ".join(paragraph.split()), 78) for paragraph in text.split("\n\n"))


def _split(hint: Any) -> tuple[Any, str]:
    """`Annotated[str | None, "help"]` -> str and "help", `Annotated[list[str], "help"]` -> list[str] and "help"."""
    kind, text = (hint.__origin__, hint.__metadata__[0]) if get_origin(hint) is Annotated else (hint, "")
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    return kind, text


def _add(parser: _Owner, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    if parameter.kind is not parameter.KEYWORD_ONLY:
        _add_position(parser, parameter, kind, text)
    elif kind is bool:
        _add_switch(parser, parameter, text)
    else:
        _add_option(parser, parameter, kind, text)


def _add_position(parser: _Owner, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    name = parameter.name
    if get_origin(kind) is list:
        some = "+" if parameter.default is parameter.empty else "*"
        parser.add_argument(name, metavar=name.upper(), help=text, type=get_args(kind)[0], nargs=some)
    elif get_origin(kind) is Literal:
        parser.add_argument(name, help=text, choices=get_args(kind))
    elif parameter.default is parameter.empty:
        parser.add_argument(name, metavar=name.upper(), help=text, type=kind)
    else:
        parser.add_argument(name, metavar=name.upper(), help=text, type=kind, nargs="?", default=parameter.default)


def _add_switch(parser: _Owner, parameter: inspect.Parameter, text: str) -> None:
    action = "store_true" if parameter.default is False else argparse.BooleanOptionalAction
    parser.add_argument(_option(parameter), dest=parameter.name, default=parameter.default, action=action, help=text)


def _add_option(parser: _Owner, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    choices = get_args(kind) if get_origin(kind) is Literal else None
    needed = parameter.default is parameter.empty
    told = needed or "(default: " in text or parameter.default in (None, "") or parameter.default == []
    default = "" if told else f" (default: {parameter.default})"
    repeated = get_origin(kind) is list
    parser.add_argument(
        _option(parameter),
        dest=parameter.name,
        default=None if needed else list(parameter.default) if repeated else parameter.default,
        required=needed,
        help=text + default,
        choices=choices,
        metavar=None if choices else parameter.name.upper().rstrip("_"),
        type=str if choices else get_args(kind)[0] if repeated else kind,
        action="append" if repeated else "store",
    )


def _option(parameter: inspect.Parameter) -> str:
    return "--" + parameter.name.rstrip("_").replace("_", "-")
