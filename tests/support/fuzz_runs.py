"""Run two, three or five processes with the same output file, and kill and resume them at random.

    python tests/support/fuzz_runs.py [--rounds 50] [--seed 0]

Processes with the same input and output start at random times, some with --resume, some with --overwrite, and some are killed
with kill -9. A process with exit code 0 must leave the same bytes as a single undisturbed process; a process that cannot use the
output must end with exit code 2. A last process completes the output, and no other files may remain. All choices except the times
depend only on the seed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import pipeline_cases
import pipeline_models

from bertkit.cli import main as command

ROWS = 2500


def started(words: list[str], log: Path) -> int:
    """Run a command in a forked process, and return its id."""
    child = os.fork()
    if child:
        return child
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    status = 99
    try:
        status = command(words)
    finally:
        os._exit(status)


def ended(process: int) -> int | None:
    """Return the exit code of a process, negative for a signal, or None if it is running."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def one_round(words: list[str], whole: bytes, folder: Path, numbers: random.Random, outcomes: Counter[str]) -> None:
    """Run processes until the output is complete."""
    out, log = folder / "out.csv", folder / "log"
    words = [*words, "--output", str(out)]
    for _ in range(numbers.randint(1, 3)):
        running = {}
        for _ in range(numbers.choice((2, 3, 5))):
            option = numbers.choice(([], ["--resume"], ["--resume"], ["--overwrite"]))
            limit = time.monotonic() + numbers.choice((0.2, 0.6, 1.2, 60, 60))
            running[started([*words, *option], log)] = limit
            time.sleep(numbers.choice((0, 0.02, 0.2)))
        while running:
            for process, limit in list(running.items()):
                if time.monotonic() > limit:
                    os.kill(process, signal.SIGKILL)
                code = ended(process)
                if code is not None:
                    del running[process]
                    outcomes[{0: "whole", 2: "refused", -9: "killed"}.get(code, f"exit code {code}")] += 1
                    assert code in (0, 2, -9), (code, log.read_text())
                    assert code or out.read_bytes() == whole, log.read_text()
            time.sleep(0.01)
        assert not out.exists() or out.read_bytes() == whole, log.read_text()
    code = None
    last = started([*words, *(["--overwrite"] if out.exists() else ["--resume"])], log)
    while (code := ended(last)) is None:
        time.sleep(0.01)
    assert code == 0 and out.read_bytes() == whole, log.read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["log", "out.csv"], list(folder.iterdir())


def main() -> None:
    """Run all rounds, and print the exit codes of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    numbers = random.Random(options.seed)
    outcomes: Counter[str] = Counter()
    texts = pipeline_cases.SENTENCES
    with tempfile.TemporaryDirectory() as name:
        source, whole = Path(name, "in.txt"), Path(name, "whole.csv")
        source.write_text("".join(" ".join(texts[n % 48].split()[: 1 + n % 3]) + "\n" for n in range(ROWS)))
        model = str(pipeline_models.folder("names"))
        words = ["ner", "--engine", "numpy", "--model", model, "--input", str(source)]
        assert command([*words, "--output", str(whole)]) == 0
        for number in range(options.rounds):
            folder = Path(name, f"round {number}")
            folder.mkdir()
            one_round(words, whole.read_bytes(), folder, numbers, outcomes)
            shutil.rmtree(folder)
    print(f"{options.rounds} rounds, seed {options.seed}: {dict(sorted(outcomes.items()))}")


if __name__ == "__main__":
    main()
