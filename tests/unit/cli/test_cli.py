"""The command line: answers on stdout; errors are one line on stderr and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import terminal
import tiny

from bertkit import load_checkpoint, save_checkpoint
from bertkit.cli import COMMANDS, ask, main
from bertkit.cli.run import run
from bertkit.cli.signature import call, parser_of
from bertkit.errors import Setting, UsageError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    config = tiny.config()
    save_checkpoint(tmp_path / "model", tiny.weights(config, "ForMaskedLM"), config, "ForMaskedLM")
    return tmp_path / "model"


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(name in page for name in COMMANDS)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as leave:
            main([name, "--help"])
        assert leave.value.code == 0
        page += capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: bertkit COMMAND" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bertkit 0.")


def test_inspect(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model)]) == 0
    page = capsys.readouterr().out
    assert "BertForMaskedLM" in page
    assert "fill-mask" in page
    assert main(["inspect", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "BertForMaskedLM"


def test_convert(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(model), str(tmp_path / "new"), "--to", "h5", "--dtype", "float16"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / name) for name in ("tf_model.h5", "config.json")]
    assert load_checkpoint(tmp_path / "new")[0]["cls.predictions.bias"].dtype == np.float16


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["inspct", "x"],
            "explain training, train-tokenizer, add-words, doctor, completion. Did you mean 'inspect'?",
        ),
        (["inspect"], "the following arguments are required: MODEL. Type: bertkit inspect --help"),
        (["inspect", "no such model"], "'no such model'"),
        (["inspect", "."], "config.json"),
        (["inspect", "/dev/null"], "no config.json or bert_config.json in the folder /dev"),
        (["convert", "a"], "required: DIRECTORY"),
        (["convert", "a", "b", "--to", "bin"], "invalid choice: 'bin'"),
        (["convert", "a", "b", "--max-shard"], "unrecognized arguments: --max-shard. Type: bertkit convert --help"),
        (["qa", "Where?"], "Where?. Each value needs an option in front of it, such as --question. Type: bertkit qa"),
        (["run", "--task", "ner", "x"], "x. Each value needs an option in front of it, such as --input. Type: bertkit"),
    ],
)
def test_invalid_use_is_an_error_of_one_line(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    output = capsys.readouterr()
    assert not output.out
    assert sentence in output.err
    assert output.err.startswith("bertkit: ")
    assert "Traceback" not in output.err


def test_a_folder_that_cannot_be_created_is_an_error_of_one_line(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(model), "/dev/null/new"]) == 2
    assert capsys.readouterr().err == "bertkit: /dev/null/new: Not a directory.\n"


def test_the_path_of_a_configuration_names_its_folder(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model / "config.json")]) == 0
    assert "BertForMaskedLM" in capsys.readouterr().out


def test_convert_does_not_overwrite(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(model), str(model)]) == 2
    assert "name another directory, or type --overwrite." in capsys.readouterr().err


@pytest.mark.parametrize("words", ["inspect MODEL", "--help", "--version", "run --help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_installed_command_survives_a_closed_pipe(words: str, unbuffered: str, model: Path) -> None:
    """The sleep lets the reader end before anything is written."""
    command = f"{sys.executable} -m bertkit.cli {words.replace('MODEL', str(model))}"
    run = f"(sleep 0.1; PYTHONUNBUFFERED={unbuffered} {command}; echo $? >&2) | true"
    result = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=True)
    assert result.stderr == "0\n"


def test_a_full_disk_and_a_closed_output(model: Path) -> None:
    run = f"{sys.executable} -m bertkit.cli inspect {model}"
    result = subprocess.run(["bash", "-c", run + " > /dev/full"], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr == "bertkit: The disk: No space left on device.\n"
    for closed in (">&-", "2>&-"):
        result = subprocess.run(["bash", "-c", f"{run} {closed}"], capture_output=True, text=True)
        assert result.returncode == 0 and not result.stderr


def test_progress_is_drawn_on_a_terminal_only(model: Path, tmp_path: Path) -> None:
    """The bar is drawn on stderr, and only if stderr is a terminal."""
    words = ["convert", str(model), str(tmp_path / "new")]
    assert not subprocess.run(terminal.command(words), capture_output=True, text=True, check=True).stderr
    assert "Writing safetensors: 100%" in terminal.seen([*words, "--overwrite"])


def test_lists_optional_booleans_and_required_options() -> None:
    seen = {}

    def function(
        files: Annotated[list[str], "files"],
        *,
        out: Annotated[str, "where to"],
        accents: Annotated[bool | None, "keep them"] = None,
        bar: Annotated[bool, "draw it"] = True,
    ) -> None:
        """Do it."""
        seen.update(files=files, out=out, accents=accents, bar=bar)

    call(function, "do", ["a", "b", "--out", "c", "--no-accents", "--no-bar"])
    assert seen == {"files": ["a", "b"], "out": "c", "accents": False, "bar": False}
    call(function, "do", ["a", "--accents", "--out", "c"])
    assert seen == {"files": ["a"], "out": "c", "accents": True, "bar": True}
    call(function, "do", ["a", "--out", "c"])
    assert seen["accents"] is None
    with pytest.raises(UsageError, match="required: --out"):
        call(function, "do", ["a"])
    with pytest.raises(UsageError, match="required: FILES"):
        call(function, "do", ["--out", "c"])


def test_a_positional_argument_with_a_default_is_optional() -> None:
    seen = []

    def function(text: Annotated[str, "a text"] = "-") -> None:
        """Do it."""
        seen.append(text)

    call(function, "do", [])
    call(function, "do", ["-"])
    call(function, "do", ["x"])
    assert seen == ["-", "-", "x"]


def test_settings_are_formatted_as_users_type_them() -> None:
    def spelled(function: Callable[..., object], name: str, value: object) -> str:
        return parser_of(function, "x").spell(Setting(name, value))

    assert spelled(ask.ner, "on_long", "window") == "--on-long window"
    assert spelled(ask.ner, "max_length", 64) == "--max-length 64"
    assert spelled(ask.ner, "aggregation_strategy", "first") == "--strategy first"
    assert spelled(ask.ner, "constrained", True) == "--constrained"
    assert spelled(ask.ner, "is_split_into_words", True) == "--is-split-into-words"
    assert spelled(ask.embed, "normalize", True) == "--normalize"
    assert spelled(ask.embed, "normalize", False) == "--no-normalize"
    assert spelled(ask.embed, "layers", [-4, -3]) == "--layers=-4,-3"
    assert spelled(ask.fill_mask, "targets", ["good", "bad"]) == "--targets good,bad"
    assert spelled(ask.zero_shot, "candidate_labels", ["a", "b"]) == "--labels a,b"
    assert spelled(ask.zero_shot, "hypothesis_template", "It is {}.") == '--template "It is {}."'
    assert spelled(ask.qa, "handle_impossible_answer", True) == "--impossible"
    assert spelled(ask.qa, "task", "fill-mask") == "bertkit run --task fill-mask"
    assert spelled(run, "top_k", 3) == "--option top_k=3"
    assert spelled(run, "targets", ["good", "bad"]) == '--option \'targets=["good", "bad"]\''
    assert spelled(run, "multi_label", True) == "--option multi_label=true"
    assert spelled(run, "overlap", 8) == "--overlap 8"
    assert spelled(ask.nsp, "null_threshold", 0.5) == "null_threshold=0.5"


def test_a_signature_is_a_parser() -> None:
    seen = {}

    def function(
        name: Annotated[str, "a name"],
        *,
        count: Annotated[int, "how many"] = 3,
        kind: Annotated[Literal["a", "b"] | None, "which"] = None,
        loud: Annotated[bool, "shout"] = False,
    ) -> None:
        """Do it."""
        seen.update(name=name, count=count, kind=kind, loud=loud)

    globals().update(Annotated=Annotated, Literal=Literal)
    call(function, "do", ["x", "--count", "4", "--kind", "b", "--loud"])
    assert seen == {"name": "x", "count": 4, "kind": "b", "loud": True}
    call(function, "do", ["y"])
    assert seen == {"name": "y", "count": 3, "kind": None, "loud": False}
    with pytest.raises(UsageError, match="invalid int value: 'many'. Type: bertkit do --help"):
        call(function, "do", ["y", "--count", "many"])
