"""Makes a function's signature the options of a command.

    def convert(source: Annotated[str, "what to read"], *, to: Annotated[Literal["a", "b"], "the format"] = "a") -> None: ...

becomes `bertkit convert SOURCE [--to {a,b}]`. Parameters before the `*` are positional arguments, those after it are options.
The text of an annotation is the help, and the docstring is the description.

- A positional argument of type `list[str]` takes one word or more. With a default it is optional.
- An option without a default is required, and one of type `list[str]` may be repeated. A bool that is False by default is a
  switch, any other bool (`bool | None = None`) a pair of switches: `--accents` and `--no-accents`.
- A dataclass adds its fields as options, so that commands can share them. Its field `spell` is not an option: it formats the
  settings in messages.
- `Also("other-name")` after the text of an annotation adds names that the help does not show. Underscores may replace hyphens.
- A parameter of type `Typed` gets the names of the options that were typed.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from bertkit.errors import BertkitError, Setting, UsageError

Spell = Callable[[Setting], str]
"""A function that formats a setting as users of the command line, or of Python, type it."""


class Typed(frozenset[str]):
    """The names of the options that were typed, as other options have their defaults."""


_SHORTER = {
    "hypothesis_template": "template",
    "candidate_labels": "labels",
    "aggregation_strategy": "strategy",
    "handle_impossible_answer": "impossible",
    "similarity_fn_name": "measure",
    "layers": "layer",
    "heads": "head",
}
"""Options of tasks -> their shorter names on the command line."""
_WIDEST = 55
"""The characters of an option and its choices from which its help does not show them as {a,b}. Its text names them instead."""

_MANY = 40
"""The most options that the first lines of a help list."""

_Owner = argparse._ActionsContainer


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.{self._option_for(message)} Type: {self.prog} --help")

    def _option_for(self, message: str) -> str:
        """What to type instead of words without an option, where the command takes none."""
        _, found, words = message.partition("unrecognized arguments: ")
        flag = next((flag for flag in ("--question", "--input") if flag in self._option_string_actions), None)
        if not found or words.startswith("-") or flag is None or any(not one.option_strings for one in self._actions):
            return ""
        return f" Each value needs an option in front of it, such as {flag}."

    def format_help(self) -> str:
        """The help of argparse, followed by the two examples of the command."""
        from bertkit.cli.manual import EXAMPLES

        examples = EXAMPLES.get(self.prog.partition(" ")[2], ())
        lines = "".join(_broken(f"  {self.prog} {words}") for words in examples)
        title = "examples, where DIR is the directory or Hub id of a model" if "DIR" in lines else "examples"
        return super().format_help() + (f"\n{title}:\n{lines}" if lines else "")

    def as_switch(self, word: str) -> list[str]:
        """Return a switch by its own name. --resume=true is the switch, and --resume=False its opposite."""
        flag, equals, value = word.partition("=")
        action = self._option_string_actions.get(flag) or self._option_string_actions.get(flag.replace("_", "-"))
        if action is None or action.nargs != 0 or (equals and value.lower() not in ("true", "false")):
            return [word]
        names = action.option_strings
        if value.lower() == "false":
            return list(names[-1:]) if len(names) > 1 else []
        return [flag if flag in names else names[-1] if flag.startswith("--no_") else names[0]]

    def typed(self, words: Sequence[str]) -> Typed:
        """The names of the options among the words of a command line."""
        flags = {word.partition("=")[0] for word in words}
        return Typed(action.dest for flag, action in self._option_string_actions.items() if flag in flags)

    def spell(self, setting: Setting) -> str:
        """A setting as an option of this command, or as a Python argument if the command has no such option."""
        flags = {action.dest: action.option_strings for action in self._actions if action.option_strings}
        value = setting.value
        name = setting.name if setting.name in flags else _SHORTER.get(setting.name, setting.name)
        if name == "task" and name not in flags:
            return f"bertkit run --task {value}"
        if name not in flags:
            return f"--option {_quoted(f'{setting.name}={_json(value)}')}" if "option" in flags else str(setting)
        if isinstance(value, bool):
            return flags[name][0 if value else -1]
        if isinstance(value, Mapping):
            value = [f"{key}={one}" for key, one in value.items()]
        word = _quoted(",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
        return f"{flags[name][-1]}{'=' if word.startswith('-') else ' '}{word}"


def _broken(command: str) -> str:
    """A command as lines that fit a terminal, broken before options, with a backslash at the end of each but the last."""
    lines = [""]
    for number, part in enumerate(command.split(" --")):
        part = f" --{part}" if number else part
        if number and len(lines[-1] + part) > 77:
            lines[-1] += " \\"
            lines.append("     " + part)
        else:
            lines[-1] += part
    return "\n".join(lines) + "\n"


def _json(value: object) -> str:
    """A value as --option takes it: a string unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _quoted(word: str) -> str:
    """A word, in quotes if a shell needs them."""
    quote = "'" if '"' in word else '"'
    return f"{quote}{word}{quote}" if " " in word or '"' in word else word


def call(function: Callable[..., Any], command: str, words: Sequence[str]) -> int:
    """Parse the words of a command line, and call a function with the result. Returns the exit code."""
    parser = parser_of(function, command)
    words = [word for given in words for word in parser.as_switch(given)]
    # parse_intermixed_args accepts texts both before and after options, but its errors are less precise.
    mixed = any(action.nargs == "*" for action in parser._actions)
    parsed = parser.parse_intermixed_args(words) if mixed else parser.parse_args(words)
    given = {**vars(parsed), "spell": parser.spell}
    hints = get_type_hints(function, include_extras=True)
    positions = []
    for parameter in inspect.signature(function).parameters.values():
        group = hints[parameter.name]
        if isinstance(group, type) and dataclasses.is_dataclass(group):
            given[parameter.name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        elif group is Typed:
            given[parameter.name] = parser.typed(words)
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            positions.append(given.pop(parameter.name))
    given.pop("spell", None)
    try:
        return function(*positions, **given) or 0
    except BertkitError as error:
        error.parts = (error.worded(parser.spell),)
        raise


def parser_of(function: Callable[..., object], command: str) -> _Parser:
    """The argument parser of a command."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    parser = _Parser(
        prog=f"bertkit {command}",
        description="\n\n".join(textwrap.fill(" ".join(paragraph.split()), 78) for paragraph in paragraphs),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_all(parser, function)
    if len(parser._actions) > _MANY or " " in command:
        texts = [str(action.metavar or action.dest) for action in parser._actions if not action.option_strings]
        parser.usage = " ".join([parser.prog, "[options]", *texts])
    return parser


def _add_all(parser: _Owner, owner: Callable[..., object]) -> None:
    """Add the parameters of a function, or the fields of a dataclass, to a parser."""
    hints = get_type_hints(owner, include_extras=True)
    for parameter in inspect.signature(owner).parameters.values():
        hint = hints[parameter.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            _add_all(parser.add_argument_group(inspect.getdoc(hint)), hint)
        elif get_origin(hint) is Annotated:
            kind, text = _plain(hint.__origin__), hint.__metadata__[0]
            flag = "--" + parameter.name.rstrip("_").replace("_", "-")
            if parameter.kind is not parameter.KEYWORD_ONLY:
                _add_position(parser, parameter, kind, text)
            elif kind is bool:
                _add_switch(parser, flag, parameter, text)
            else:
                _add_option(parser, flag, parameter, kind, text)
            if parameter.kind is parameter.KEYWORD_ONLY:
                _add_names(parser, flag, [name for also in hint.__metadata__[1:] for name in also])


def _add_names(parser: _Owner, flag: str, names: Sequence[str]) -> None:
    """Add names of an option that the help does not show, all also with underscores."""
    known = parser._option_string_actions
    for name in (flag[2:], *names):
        known.setdefault(f"--{name}", known[flag])
        known.setdefault(f"--{name.replace('-', '_')}", known[flag])


def _plain(kind: Any) -> Any:
    """`str | None` -> str; other types unchanged."""
    if get_origin(kind) in (Union, UnionType):
        return next(part for part in get_args(kind) if part is not NoneType)
    return kind


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


def _add_switch(parser: _Owner, flag: str, parameter: inspect.Parameter, text: str) -> None:
    action = "store_true" if parameter.default is False else argparse.BooleanOptionalAction
    parser.add_argument(flag, dest=parameter.name, default=parameter.default, action=action, help=text)


def _add_option(parser: _Owner, flag: str, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    choices = get_args(kind) if get_origin(kind) is Literal else None
    required = parameter.default is parameter.empty
    silent = required or "(default: " in text or parameter.default in (None, "", [])
    default = "" if silent else f" (default: {parameter.default})"
    repeated = get_origin(kind) is list
    parser.add_argument(
        flag,
        dest=parameter.name,
        default=None if required else list(parameter.default) if repeated else parameter.default,
        required=required,
        help=text + default,
        choices=choices,
        metavar=None if choices and len(flag + ",".join(choices)) < _WIDEST else parameter.name.upper().rstrip("_"),
        type=str if choices else get_args(kind)[0] if repeated else kind,
        action="append" if repeated else "store",
    )


def check_utf8(text: str) -> None:
    """Raises UsageError for an argument that is not UTF-8. Python decodes its invalid bytes as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The text {text!r} is not UTF-8 at {text[error.start]!r}: type it in UTF-8.") from error
