"""Interrupted runs: two on one output, other inputs, another model, damaged files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pipeline_cases
import pipeline_models
import pytest
from terminal import command

from bertkit.cli import main

ROWS = 1500
SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a model, which tests may change."""
    return Path(shutil.copytree(pipeline_models.folder("names"), tmp_path / "model"))


@pytest.fixture
def words(model: Path, tmp_path: Path) -> list[str]:
    texts = pipeline_cases.SENTENCES
    rows = [" ".join(texts[n % 48].split()[: 1 + n % 3]) for n in range(ROWS)]
    (tmp_path / "in.txt").write_text("".join(row + "\n" for row in rows))
    given = ["--model", str(model), "--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.csv")]
    return ["ner", "--engine", "numpy", *given]


@pytest.fixture
def whole(words: list[str], tmp_path: Path) -> bytes:
    """The output of a run without interruption."""
    assert main([*words[:-1], str(tmp_path / "whole.csv")]) == 0
    return (tmp_path / "whole.csv").read_bytes()


def interrupt(words: list[str], chunks: int = 2) -> Path:
    """Interrupt a run after some chunks. Returns the file that it leaves."""
    from bertkit.pipelines.bulk.partial import Partial

    add, count = Partial.add, 0

    def add_some(partial: Partial, lines: Any, report: Any) -> None:
        nonlocal count
        add(partial, lines, report)
        count += 1
        if count == chunks:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Partial, "add", add_some)
        assert main(words) == 130
    return Path(f"{words[-1]}.part")


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The error of a command. It must leave the file of results unchanged."""
    part = Path(f"{words[words.index('--output') + 1]}.part")
    before = part.read_bytes()[120:]  # after the line that names the process
    capsys.readouterr()
    assert main(words) == 2
    assert part.read_bytes()[120:] == before
    said = capsys.readouterr().err
    assert said.startswith("bertkit: ")
    return said


# Two runs on one output.


@pytest.mark.parametrize("option", ["--resume", "--overwrite", None])
def test_a_second_run_on_one_output_is_refused(
    option: str | None, words: list[str], whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the process that writes the output. The first run continues."""
    part = tmp_path / "out.csv.part"
    first = subprocess.Popen(command([*words, "--input", "-"]), stdin=subprocess.PIPE)
    assert first.stdin is not None
    rows = (tmp_path / "in.txt").read_bytes()
    first.stdin.write(rows[:-100])
    first.stdin.flush()
    while not part.exists() or b"\n" not in part.read_bytes():
        assert first.poll() is None
        time.sleep(0.01)
    for _ in range(2):  # a refused run does not release the lock
        assert main([*words, *([option] if option else [])]) == 2
        said = capsys.readouterr().err
        assert f"out.csv is being written by another run, process {first.pid} since 2" in said
    first.communicate(rows[-100:])
    assert first.returncode == 0 and (tmp_path / "out.csv").read_bytes() == whole
    assert not part.exists()


def test_a_lock_ends_with_its_process(words: list[str], whole: bytes, tmp_path: Path) -> None:
    part = tmp_path / "out.csv.part"
    first = subprocess.Popen(command([*words, "--input", "-"]), stdin=subprocess.PIPE)
    while not part.exists() or b"\n" not in part.read_bytes():
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert main([*words, "--resume"]) == 0  # no row was answered, so that the other input does not matter
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_many_runs_killed_at_random() -> None:
    """A few rounds of fuzz_runs.py, which runs 50 by default."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(SUPPORT / "fuzz_runs.py"), "--rounds", "3", "--seed", str(os.getpid())]
    run = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("3 rounds, seed ")


def test_a_file_that_another_program_changes_becomes_no_output(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertkit.pipelines.bulk.partial import Partial

    finish = Partial.finish

    def cut(partial: Partial) -> None:
        os.truncate(partial.path, partial.path.read_bytes().index(b"\n# 512 ") + 1)
        finish(partial)

    monkeypatch.setattr(Partial, "finish", cut)
    assert main(words) == 2
    assert "out.csv.part has 512 rows, but 1,500 were written: another program changed it" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists() and not list(tmp_path.glob(".out*"))


def test_a_file_that_was_removed_meanwhile_still_becomes_the_output(
    words: list[str], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the file of the run that replaced it is not changed."""
    from bertkit.pipelines.bulk.partial import Partial

    finish = Partial.finish

    def replaced(partial: Partial) -> None:
        partial.path.unlink()
        partial.path.write_text("another's")
        finish(partial)

    monkeypatch.setattr(Partial, "finish", replaced)
    assert main(words) == 0
    assert (tmp_path / "out.csv").read_bytes() == whole
    assert (tmp_path / "out.csv.part").read_text() == "another's"


# Runs that differ.


def test_other_inputs_of_the_same_size_are_another_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(words)
    source = tmp_path / "in.txt"
    text = source.read_text()
    at = text.index("\n", 2000) - 1
    source.write_text(text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :])
    assert "has results of other inputs: the first 1,024 rows changed" in refused([*words, "--resume"], capsys)


def test_rows_that_were_not_answered_may_change(words: list[str], tmp_path: Path) -> None:
    interrupt(words)
    source = tmp_path / "in.txt"
    text = source.read_text()
    source.write_text(text[:-20] + text[-20:].upper())
    assert main([*words, "--resume"]) == 0
    assert main([*words[:-1], str(tmp_path / "alone.csv")]) == 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()


@pytest.mark.parametrize("change", ["another", "fewer"])
def test_other_lines_on_standard_input_are_another_run(change: str, words: list[str], tmp_path: Path) -> None:
    source, given = tmp_path / "in.txt", words.index("--input")
    words = [*words[:given], *words[given + 2 :]]
    rows = source.read_text().splitlines(keepends=True)
    process = subprocess.Popen(command(words), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("".join(rows[:1400]).encode())
    process.stdin.flush()
    part = tmp_path / "out.csv.part"
    while not part.exists() or b"\n# 1024 " not in part.read_bytes():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    other = rows[:700] if change == "fewer" else [*rows[:9], "something else\n", *rows[10:]]
    run = subprocess.run(command([*words, "--resume"]), input="".join(other), text=True, stderr=subprocess.PIPE)
    assert run.returncode == 2
    sentence = (
        "has 1,024 results, but the input has only 700 rows" if change == "fewer" else "has results of other inputs"
    )
    assert sentence in run.stderr
    run = subprocess.run(command([*words, "--resume"]), input="".join(rows), text=True, stderr=subprocess.PIPE)
    assert run.returncode == 0


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_that_changed_in_place_is_another_run(
    name: str, words: list[str], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if only its contents differ, or only the time of its last change."""
    interrupt(words)
    path = model / name
    before, status = path.read_bytes(), path.stat()
    changed = before[:-9] + bytes([before[-9] ^ 1]) + before[-8:] if name.endswith("s") else before[:-1] + b" "
    path.write_bytes(before.replace(b"strip_accents", b"strip_accentz") if name.startswith("tok") else changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert f"{name} of the model changed since" in refused([*words, "--resume"], capsys)
    path.write_bytes(before)
    assert f"{name} of the model changed since" in refused([*words, "--resume"], capsys)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert main([*words, "--resume"]) == 0


@pytest.mark.parametrize(
    ("further", "difference"),
    [
        (["--engine", "torch"], 'engine was "numpy" and is now "torch". Type --engine numpy, or type --overwrite'),
        (["--batch-size", "7"], "batch_size was null and is now 7. Leave batch_size out, or type --overwrite"),
        (["--processes", "1"], "it was not computed in processes of one thread each. Leave processes out, or"),
        (["--strategy", "first"], 'aggregation_strategy was "simple" and is now "first". Type --strategy simple, or'),
        (["--on-long", "error"], 'on_long was "window" and is now "error". Type --on-long window, or'),
    ],
)
def test_another_setting_is_another_run(
    further: list[str], difference: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(words)
    assert difference in refused([*words, "--resume", *further], capsys)


def test_automatic_choices_are_compared(
    words: list[str], whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same command in another environment."""
    automatic = [words[0], *words[3:]]
    choices = "bertkit.pipelines.open._AUTO"
    monkeypatch.setattr(choices, {"numpy": []})
    interrupt(automatic)
    monkeypatch.setattr(choices, {"torch": ["torch"]})
    assert 'engine was "numpy" and is now "torch". Type --engine numpy' in refused([*automatic, "--resume"], capsys)
    assert main([*automatic, "--resume", "--engine", "numpy"]) == 0
    assert (tmp_path / "out.csv").read_bytes() == whole
    (tmp_path / "out.csv").unlink()
    interrupt([*automatic])
    monkeypatch.setattr("bertkit.engines.torch.multiplies_bf16", lambda: True)
    said = refused([*automatic, "--resume"], capsys)
    assert 'precision was "fp32" and is now "bf16". Type --precision fp32' in said
    assert main([*automatic, "--resume", "--precision", "fp32"]) == 0


def test_another_file_beside_the_model_is_the_same_run(words: list[str], model: Path) -> None:
    interrupt(words)
    (model / "training_log.json").write_text("{}")
    (model / "optimizer.pt").write_bytes(b"0")
    assert main([*words, "--resume"]) == 0


# Files that are damaged, or not regular files.


def test_a_damaged_line_is_answered_again(
    words: list[str], whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows after it are answered again, too, and a warning says so."""
    part = interrupt(words)
    content = part.read_bytes()
    for at, rows in ((content.index(b"# 512 ") + 500, 512), (content.index(b"# 512 ") - 500, 0)):
        part.write_bytes(content[:at] + b"\xff{" + content[at + 2 :])
        assert main([*words, "--resume"]) == 0
        assert f"is damaged after row {rows}: the rows after it are answered again" in capsys.readouterr().err
        assert (tmp_path / "out.csv").read_bytes() == whole
        (tmp_path / "out.csv").unlink()


def test_damage_anywhere_gives_a_complete_output_or_an_error(
    words: list[str], whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part, out = interrupt(words), tmp_path / "out.csv"
    content = part.read_bytes()
    second = content.index(b"\n") + 1
    places = [0, 40, second - 2, second, second + 30, content.index(b"\n", second), content.index(b"# 512 ")]
    for at in [*places, content.index(b"# 512 ") + 4, content.index(b"# 512 ") + 60, len(content) - 3]:
        for damage in (content[:at], content[:at] + b"\xff" + content[at + 1 :], content[:at] + b"\n" + content[at:]):
            part.write_bytes(damage)
            code = main([*words, "--resume"])
            assert code == 2 or (code == 0 and out.read_bytes() == whole), at
            assert capsys.readouterr().err.startswith("bertkit: ")
            out.unlink(missing_ok=True)


def test_invalid_lines_with_valid_digests(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that forges the file with its digests causes no traceback."""
    from hashlib import blake2b

    part = interrupt(words, 1)
    head = part.read_bytes().splitlines(keepends=True)[:2]
    inputs = part.read_bytes().split()[-5].decode()
    for line in (b"no JSON\n", b"[" * 20_000 + b"]" * 20_000 + b"\n", b'{"error": 5}\n', b"\xff\n", b'{"error": [}\n'):
        rows = line * 512
        mark = f"# 512 {blake2b(rows, digest_size=16).hexdigest()} {inputs} 0 0 9 9\n"
        part.write_bytes(b"".join([*head, rows, mark.encode()]))
        assert main([*words, "--resume"]) in (1, 2)
        assert capsys.readouterr().err.startswith("bertkit: ")
        (tmp_path / "out.csv").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "pipe", "folder", "device"])
def test_a_part_that_is_no_regular_file_is_refused(
    kind: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim, part = tmp_path / "victim", tmp_path / "out.csv.part"
    if kind != "dangling":
        victim.write_text("mine")
    if kind in ("link", "dangling"):
        part.symlink_to(victim)
    elif kind == "hard link":
        part.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    elif os.geteuid() == 0:
        os.mknod(part, 0o600 | 0o020000, os.makedev(1, 3))  # as /dev/null is
    else:
        part.symlink_to("/dev/null")
    for option in ("--overwrite", "--resume"):
        assert main([*words, option]) == 2
        assert "out.csv.part cannot be opened for results: " in capsys.readouterr().err
    assert not victim.exists() if kind == "dangling" else victim.read_text() == "mine"
    assert part.lstat()


@pytest.mark.parametrize("kind", ["device", "link", "pipe"])
def test_an_output_that_is_no_file_is_never_replaced(
    kind: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    if kind == "pipe":
        os.mkfifo(out)
    elif kind == "link":
        out.symlink_to(tmp_path / "elsewhere")
    elif os.geteuid() == 0:
        os.mknod(out, 0o600 | 0o020000, os.makedev(1, 3))
    else:
        out = Path("/dev/null")
    before = out.lstat()
    assert main([*words[:-1], str(out), "--overwrite"]) == 2
    sentence = "is a link: name the file itself" if kind == "link" else "is not a regular file: name one."
    assert sentence in capsys.readouterr().err
    assert out.lstat().st_ino == before.st_ino and not list(tmp_path.glob("*.part"))


def test_files_of_a_run_killed_at_its_end_are_removed(words: list[str], whole: bytes, tmp_path: Path) -> None:
    """Kill -9 while the output is made from the rows."""
    interrupt(words)
    script = f"""
import os
from bertkit.cli import main
os.replace = lambda *names: os.kill(os.getpid(), 9)
main({[*words, "--resume"]!r})
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert len(list(tmp_path.glob(".out.csv.*.part"))) == 1
    assert main([*words, "--resume"]) == 0
    assert (tmp_path / "out.csv").read_bytes() == whole
    assert not list(tmp_path.glob(".out.csv*")) and not list(tmp_path.glob("*.part"))


def test_overwrite_keeps_the_earlier_results_until_the_model_is_open(
    words: list[str], whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(words)
    at = words.index("--model") + 1
    assert main([*words[:at], "none/at-all", *words[at + 1 :], "--overwrite"]) == 2
    assert main([*words, "--resume"]) == 0
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_a_file_that_is_not_ours_is_left(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = tmp_path / "out.csv.part"
    for content in ("my notes\n", json.dumps({"bertkit": "0.1.0", "task": "ner"}) + "\n"):
        part.write_text(content)
        for option in ([], ["--resume"]):
            assert main([*words, *option]) == 2
            assert "was not written by an interrupted run: move it away" in capsys.readouterr().err
        assert part.read_text() == content


def test_ctrl_c_while_python_exits(tmp_path: Path) -> None:
    """The exit code is that of Ctrl-C, and there is no traceback."""
    script = """
import atexit, os, signal, sys
from bertkit.cli import main
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.argv = ["bertkit", "--version"]
sys.exit(main())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 130 and not run.stderr and run.stdout.startswith("bertkit ")
