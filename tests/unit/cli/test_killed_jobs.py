"""Bulk jobs that end in the middle, by kill -9 or Ctrl-C, in one process and in several."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pipeline_cases
import pipeline_models
import pytest
from terminal import command

from bertkit import pipeline
from bertkit.cli import main
from bertkit.pipelines.bulk.answering import devices_of

ROWS = 4000


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A job of eight chunks, of which two processes compute four at a time."""
    rows = [" ".join(pipeline_cases.SENTENCES[n % 48].split()[: 1 + n % 5]) for n in range(ROWS)]
    (tmp_path / "in.txt").write_text("".join(row + "\n" for row in rows))
    model = str(pipeline_models.folder("plain"))
    return ["embed", "--engine", "numpy", "--model", model, "--input", str(tmp_path / "in.txt")]


def stop(words: list[str], out: Path, how: signal.Signals) -> int:
    """Start a job that reads from a pipe, and end it after its second chunk. Returns its exit code."""
    part = Path(f"{out}.part")
    at = words.index("--input") + 1
    given = [*words[:at], "-", *words[at + 1 :], "--output", str(out)]
    job = subprocess.Popen(command(given), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert job.stdin is not None and job.stderr is not None
    job.stdin.write(Path(words[at]).read_bytes()[:-60])
    job.stdin.flush()  # the pipe stays open, so that the job cannot end
    while not part.exists() or b"\n# 1024 " not in part.read_bytes():
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(how)
    code = job.wait()
    said = job.stderr.read().decode()  # its end, too, is that of the worker processes, which have the same stderr
    assert ("stopped." in said) is (how is signal.SIGINT) and "Traceback" not in said
    job.stdin.close()
    job.stderr.close()
    return code


@pytest.mark.parametrize("name", ["out.jsonl", "out.npy"])
@pytest.mark.parametrize("processes", [None, 2])
def test_a_killed_job_loses_and_repeats_nothing(
    name: str, processes: int | None, words: list[str], tmp_path: Path
) -> None:
    """After kill -9. With processes, it is resumed by another number of them."""
    several = ["--processes", "2"] if processes else []
    one = ["--processes", "1"] if processes else []
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    assert main([*words, *one, "--output", str(whole)]) == 0
    at = words.index("--input") + 1
    source = Path(words[at])
    assert stop([*words, *several], out, signal.SIGKILL) == -9
    rest = [*words[:at], "-", *words[at + 1 :]]
    with open(source) as file:
        run = subprocess.run(command([*rest, *one, "--output", str(out), "--resume"]), stdin=file)
    assert run.returncode == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.part"))
    rows = np.load(out) if name == "out.npy" else out.read_text().splitlines()
    assert len(rows) == ROWS


def test_ctrl_c_ends_the_processes(words: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert stop([*words, "--processes", "2"], out, signal.SIGINT) == 130
    assert b"\n# 1024 " in Path(f"{out}.part").read_bytes() and not out.exists()


def test_ctrl_c_while_the_input_is_awaited(words: list[str], tmp_path: Path) -> None:
    """The thread that reads ahead does not keep the process alive."""
    assert stop(words, tmp_path / "out.jsonl", signal.SIGINT) == 130


def test_processes_of_a_pipeline(tmp_path: Path) -> None:
    """Answers and files do not depend on their number. Errors are those of one process."""
    texts = [" ".join(pipeline_cases.SENTENCES[n % 48].split()[: 1 + n % 5]) for n in range(1100)]
    classify = pipeline("text-classification", pipeline_models.folder("five"), engine="numpy")
    expected = list(classify.map(texts, top_k=2))
    assert list(classify.map(iter(texts), top_k=2, processes=2)) == expected
    with pytest.raises(ValueError, match="Number 600 of the inputs: "):
        list(classify.map([*texts[:600], 5], processes=1))
    with pytest.raises(ValueError, match="processes=0 is"):
        classify.map(texts, processes=0)
    with pytest.raises(ValueError, match="Only a model that is passed by name"):
        pipeline_models.ours("text-classification", "five").map(texts, processes=2)


def test_processes_need_an_output(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--processes", "2"]) == 2
    assert "--processes 2 is for files: type --output, too" in capsys.readouterr().err
    assert main([*words, "--processes", "0", "--output", "a.jsonl"]) == 2
    assert "--processes 0 is invalid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        (None, 4, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 2, ["cuda:1"] * 3),
        (0, 2, [0] * 3),
        ("cpu", 0, ["cpu"] * 3),
        (None, 0, [None] * 3),
        ("mps", 0, ["mps"] * 3),
    ],
)
def test_each_process_has_its_gpu(device: object, gpus: int, expected: list[object]) -> None:
    assert devices_of(3, device, gpus) == expected
