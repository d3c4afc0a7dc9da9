"""The scripts that complete the commands in a shell."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from bertkit.cli import COMMANDS, main


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_its_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = script(shell, capsys)
    assert all(word in page for name in COMMANDS for word in name.split())
    for option in ("top-k", "model", "vocab-size", "no-normalize"):
        assert option in page


def needed(shell: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    return shell


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_understands_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run([needed(shell), "-n"], input=script(shell, capsys), text=True, check=True)


LINES = {
    "bertkit fil": "fill-mask",
    "bertkit fill-mask --top": "--top-k",
    "bertkit fill-mask --engine n": "numpy",
    "bertkit convert --to h": "h5",
    "bertkit completion z": "zsh",
    "bertkit expl": "explain",
    "bertkit explain mas": "mask",
    "bertkit explain attribution --meth": "--method",
    "bertkit explain attribution --method att": "attention-gradient",
    "bertkit run --task fi": "fill-mask",
}


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_bash_completes(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.split()
    ask = f'COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _bertkit; echo "${{COMPREPLY[@]}}"'
    assert answered("bash", script("bash", capsys) + "\n" + ask) == [expected]


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_fish_completes(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    ask = f"complete -C {line!r} | cut -f 1"
    assert answered(needed("fish"), script("fish", capsys) + "\n" + ask) == [expected]


def answered(shell: str, page: str) -> list[str]:
    run = subprocess.run([shell], input=page, capture_output=True, text=True, check=True)
    assert not run.stderr
    return run.stdout.split()


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
