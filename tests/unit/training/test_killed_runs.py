"""Killed runs continue exactly, and a run works in a process of `multiprocessing`'s spawn method."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import tiny_runs

SCRIPT = Path(__file__).parents[3] / "scripts" / "kill_resume.py"


@pytest.mark.parametrize("of", [(), ("--pretrain",)])
def test_killed_runs_continue_exactly(of: tuple[str, ...]) -> None:
    """One kill at a random moment, one while a checkpoint is written. The script itself does twenty."""
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--while-writing", "1", *of]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "writing another" in done.stdout
    assert done.stdout.endswith("2 of 2 runs have the same bits.\n")


def test_spawned_processes_train(tmp_path: Path) -> None:
    """As on macOS and Windows. The weights are those of a run in this process."""
    model, train = tiny_runs.write_model(tmp_path / "model"), tiny_runs.write_examples(tmp_path / "train.jsonl")
    options = {**tiny_runs.OPTIONS, "epochs": 1.0}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        spawned = pool.submit(tiny_runs.finetune, str(model), str(train), str(tmp_path / "spawned"), options)
        assert spawned.result(timeout=200) != os.getpid()
    tiny_runs.finetune(str(model), str(train), str(tmp_path / "here"), options)
    found, expected = (tmp_path / name / "model.safetensors" for name in ("spawned", "here"))
    assert found.read_bytes() == expected.read_bytes()
