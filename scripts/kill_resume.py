"""Kill runs of `bertkit finetune` with SIGKILL, resume them, and compare their weights with those of an uninterrupted run.

    python scripts/kill_resume.py [--kills 20] [--while-writing 5] [--pretrain]

The moments of the kills are spread uniformly over the time of the uninterrupted run, from its first to its last file. As speeds
differ, a moment in training is given by the number of steps so far. Some of the kills wait for a checkpoint that is being
written. The model is tiny, with dropout. Prints a line for each kill, and exits with 1 if any weights,
losses or learning rates differ. With `--pretrain`, the runs are of `bertkit pretrain`.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import tiny_runs


def finetuning(folder: Path) -> list[str]:
    """Write a model and examples, and return the command without its output folder."""
    model, train = tiny_runs.write_model(folder / "model"), tiny_runs.write_examples(folder / "train.jsonl")
    command = ["finetune", "--task", "text-classification", "--model", str(model), "--train", str(train)]
    return command + words(tiny_runs.OPTIONS)


def pretraining(folder: Path) -> list[str]:
    """Write a model and shards, and return the command without its output folder."""
    model = tiny_runs.write_model(folder / "model")
    shards = tiny_runs.write_shards(folder / "shards", model)
    return ["pretrain", "--model", str(model), "--data", str(shards), *words(tiny_runs.PRETRAINING)]


def words(options: dict[str, Any]) -> list[str]:
    """Return options as words of a command."""
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def start(own: list[str], out: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start the command."""
    command = [sys.executable, "-m", "bertkit", *own, "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds. Return False if the process ends first."""
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(0.0002)
    return True


def result(out: Path) -> tuple[str, list[Any]]:
    """Return a hash of the final weights, and the losses and learning rates of all steps."""
    weights = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [[line[name] for name in ("step", "loss", "learning_rate", "grad_norm")] for line in lines]
    return weights, steps


def is_writing(out: Path) -> bool:
    """Return whether a checkpoint is being written."""
    return any(out.glob(".checkpoint-*.part"))


def has_steps(out: Path, steps: float) -> bool:
    """Return whether a run has made this number of steps."""
    return steps_of(out) >= steps


def is_over(end: float) -> bool:
    """Return whether a time is over."""
    return time.monotonic() >= end


def steps_of(out: Path) -> int:
    """Return the number of steps so far."""
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else -1


def killed(own: list[str], out: Path, moment: tuple[float, float], while_writing: bool) -> str:
    """Start a run, kill it after a number of steps and some seconds more, and return in which state it was."""
    steps, seconds = moment
    while True:
        process = start(own, out)
        begun = wait_for(process, partial(has_steps, out, steps))
        moment_of_kill = partial(is_writing, out) if while_writing else partial(is_over, time.monotonic() + seconds)
        begun = begun and wait_for(process, moment_of_kill)
        process.kill()
        if process.wait() > 0:
            raise SystemExit("A run failed before it was killed.")
        writing = is_writing(out)
        if begun and (writing or not while_writing):
            break
        shutil.rmtree(out)  # it ended before the kill: again, a little earlier
        steps, seconds = steps - 1, 0.8 * seconds
    found = [path.name for path in out.glob("checkpoint-*")]
    return (
        f"after step {steps_of(out):>2}, {', '.join(found) or 'no checkpoint'}{', writing another' if writing else ''}"
    )


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--while-writing", type=int, default=5, help="how many of the kills interrupt a checkpoint")
    parser.add_argument("--pretrain", action="store_true", help="kill runs of bertkit pretrain")
    options = parser.parse_args()
    rng, equal = random.Random(0), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        own = (pretraining if options.pretrain else finetuning)(folder)
        process = start(own, folder / "whole")
        times: list[float] = []  # when each step was logged
        while process.poll() is None:
            times += [time.monotonic()] * (steps_of(folder / "whole") - len(times))
            time.sleep(0.001)
        end = time.monotonic()
        if process.returncode:
            raise SystemExit("The uninterrupted run failed.")
        expected = result(folder / "whole")
        print(
            f"Uninterrupted: {len(times)} steps in {times[-1] - times[0]:.2f} s, the rest in {end - times[-1]:.2f} s."
        )
        for number in range(options.kills):
            out = folder / f"run-{number}"
            while_writing = number * options.while_writing % options.kills < options.while_writing
            at = times[0] + (end - times[0]) * (number + rng.random()) / options.kills
            steps = bisect.bisect(times, at)
            moment = (min(steps, len(times) - 4), 0.0) if while_writing else (steps, at - times[steps - 1])
            state = killed(own, out, moment, while_writing)
            if start(own, out, "--resume").wait():
                raise SystemExit("A resumed run failed.")
            same = result(out) == expected and not is_writing(out)
            equal += same
            print(f"{number + 1:>3}  {state:<48} {'equal' if same else 'DIFFERENT'}", flush=True)
    print(f"{equal} of {options.kills} runs have the same bits.")
    return int(equal < options.kills)


if __name__ == "__main__":
    sys.exit(main())
