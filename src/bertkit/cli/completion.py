"""`bertkit completion`."""

from __future__ import annotations

import argparse
import importlib
from typing import Annotated, Literal

from bertkit.cli import COMMANDS
from bertkit.cli.signature import parser_of
from bertkit.tasks import TASKS

_FILES = ("--model", "--config", "--tokenizer", "--input", "--output", "--out")


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], "the shell that runs the script"]) -> None:
    """Print a script that completes the commands and their options in a shell.

    bash: eval "$(bertkit completion bash)". zsh: the same with zsh, after compinit. fish: bertkit completion fish | source.
    """
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]())


def _kinds() -> dict[str, list[str]]:
    """The first words of commands of two words -> the second words."""
    found: dict[str, list[str]] = {}
    for command in COMMANDS:
        first, _, second = command.partition(" ")
        if second:
            found.setdefault(first, []).append(second)
    return found


def _first_words() -> dict[str, str]:
    """The first word of each command, and its line in the help."""
    named = {first: f"show {', '.join(kinds)}" for first, kinds in _kinds().items()}
    return {command.partition(" ")[0]: what for command, (_, what) in COMMANDS.items()} | named


def _options(command: str) -> list[argparse.Action]:
    """The options of a command, and its positional arguments with choices."""
    module, _, name = COMMANDS[command][0].partition(":")
    parser = parser_of(getattr(importlib.import_module(module), name), command)
    for action in parser._actions:
        if action.dest == "task":  # the parser knows no choices, as aliases are valid too
            action.choices = list(TASKS)
    return [action for action in parser._actions if action.option_strings or action.choices]


def _long(action: argparse.Action) -> list[str]:
    return [name for name in action.option_strings if name.startswith("--")]


def _bash() -> str:
    cases, values = [], []
    for command in COMMANDS:
        names = []
        for action in _options(command):
            names += _long(action) if action.option_strings else list(map(str, action.choices or ()))
            if action.choices and action.option_strings:
                pattern = "|".join(f'"{command}:{name}"' for name in _long(action))
                values.append(f'    {pattern}) words="{" ".join(map(str, action.choices))}" ;;')
        cases.append(f'      "{command}") words="{" ".join(names)}" ;;')
    kinds = _kinds()
    second = [
        f'  elif [ "$command" = {first} ] && [ "$COMP_CWORD" -eq 2 ]; then words="{" ".join(each)}"'
        for first, each in kinds.items()
    ]
    both = [f'    if [ "$command" = {first} ]; then command="{first} ${{COMP_WORDS[2]}}"; fi' for first in kinds]
    files = "|".join(f"*:{name}" for name in _FILES)
    return "\n".join(
        [
            "_bertkit() {",
            '  local now="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="${COMP_WORDS[1]}" words=""',
            f'  if [ "$COMP_CWORD" -eq 1 ]; then words="{" ".join(_first_words())} --help --version"',
            *second,
            "  else",
            *both,
            '    case "$command:$before" in',
            *values,
            f'    {files}) COMPREPLY=($(compgen -f -- "$now")); return ;;',
            '    *) case "$command" in',
            *cases,
            "    esac ;;",
            "  esac; fi",
            '  COMPREPLY=($(compgen -W "$words" -- "$now"))',
            '  if [ ${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=($(compgen -f -- "$now")); fi',
            "}",
            "complete -o filenames -F _bertkit bertkit",
        ]
    )


def _zsh() -> str:
    commands = " ".join(_quoted(f"{name}:{what}") for name, what in _first_words().items())
    kinds = [
        f"  if [[ $name == {first} ]]; then if (( CURRENT == 2 )); then compadd {' '.join(seconds)}; return; fi; "
        'name="$name $words[2]"; shift words; (( CURRENT-- )); fi'
        for first, seconds in _kinds().items()
    ]
    cases = []
    for command in COMMANDS:
        specs = []
        for action in _options(command):
            choices = f":value:({' '.join(map(str, action.choices))})" if action.choices else ""
            if not action.option_strings:
                specs.append(_quoted(f"1{choices}"))
                continue
            takes = choices or ("" if action.nargs == 0 else ":value:_files")
            specs += [_quoted(f"{name}[{_plain(action.help or '')}]{takes}") for name in _long(action)]
        cases.append(f"    '{command}') _arguments {' '.join(specs)} '*:file:_files' ;;")
    return "\n".join(
        [
            "_bertkit() {",
            f"  local -a commands; commands=({commands})",
            "  if (( CURRENT == 2 )); then _describe command commands; return; fi",
            "  local name=$words[2]; shift words; (( CURRENT-- ))",
            *kinds,
            "  case $name in",
            *cases,
            "  esac",
            "}",
            "compdef _bertkit bertkit",
        ]
    )


def _fish() -> str:
    lines = ["complete -c bertkit -e"]
    for word, what in _first_words().items():
        lines.append(f"complete -c bertkit -n __fish_use_subcommand -f -a {word} -d {_quoted(what)}")
    for first, kinds in _kinds().items():
        seconds = " ".join(kinds)
        unseen = f"'__fish_seen_subcommand_from {first}; and not __fish_seen_subcommand_from {seconds}'"
        lines.append(f"complete -c bertkit -n {unseen} -f -a '{seconds}'")
    for command in COMMANDS:
        seen = f"-n '{'; and '.join(f'__fish_seen_subcommand_from {word}' for word in command.split())}'"
        for action in _options(command):
            choices = " ".join(map(str, action.choices or ()))
            if not action.option_strings:
                lines.append(f"complete -c bertkit {seen} -f -a {_quoted(choices)}")
            for name in _long(action):
                takes = "" if action.nargs == 0 else f" -x -a {_quoted(choices)}" if choices else " -r"
                lines.append(f"complete -c bertkit {seen} -l {name[2:]}{takes} -d {_quoted(_plain(action.help or ''))}")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Help text without the characters that zsh's _arguments interprets."""
    return "".join(" " if character in "[]:\\" else character for character in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
