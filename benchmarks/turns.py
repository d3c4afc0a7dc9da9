"""What benchmarks of training have in common: contestants in processes that take turns, and their figures.

A contestant is a process that trains several steps for each line of its standard input, and reports what it did. The contestants
take turns, in alternating order, so that a machine that becomes slower or faster does so for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CONTESTANTS = ("bertkit", "Trainer", "Trainer, best")


def add_options(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add the options of all benchmarks of training."""
    parser.add_argument("--contestants", nargs="+", default=CONTESTANTS, choices=CONTESTANTS)
    parser.add_argument("--seconds", type=float, default=seconds, help="minimum for each contestant and figure")
    parser.add_argument("--rounds", type=int, default=3, help="minimum of turns")
    parser.add_argument("--steps", type=int, default=2, help="steps of a turn")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show-errors", dest="errors", action="store_const", const=None, default=subprocess.DEVNULL)
    parser.add_argument("--serve", help=argparse.SUPPRESS)


# ------------------------------------------------------------------------------------------------------------ the contestants


class Turns:
    """The turns of a process: after each, it reports tokens, seconds, the peak of its memory, and operations, and waits."""

    def __init__(self, base: int) -> None:
        self.base, self.steps = base, 0

    def wait(self) -> bool:
        """Wait for the number of steps of the next turn. Return whether there is one."""
        line = sys.stdin.readline()
        self.steps, self.tokens, self.flops = int(line or 0), 0, 0.0
        self.start = time.perf_counter()
        return self.steps > 0

    def step(self, tokens: int, flops: float = 0.0) -> bool:
        """Count a step. Return whether to continue."""
        self.steps, self.tokens, self.flops = self.steps - 1, self.tokens + tokens, self.flops + flops
        if self.steps > 0:
            return True
        seconds = time.perf_counter() - self.start
        print(json.dumps([self.tokens, seconds, resident("VmHWM") - self.base, self.flops]), flush=True)
        return self.wait()


def resident(field: str, process: int | str = "self") -> int:
    """Return the memory of a process in bytes: VmRSS, or VmHWM for its peak."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise ValueError(field)


def started() -> Turns:
    """Begin the measurement, after all imports."""
    base = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    return Turns(base)


Collate = Callable[[list[dict[str, Any]]], Mapping[str, Any]]


def run_trainer(
    model: Any, examples: list[dict[str, Any]], collate: Collate, turns: Turns, best: bool, size: int
) -> None:
    """Train with the Trainer of transformers: with its defaults, or with its best setting on a CPU.

    Args:
        model: a model of transformers.
        examples: the examples, with `input_ids`.
        collate: makes a padded batch of some examples.
        turns: the turns of this process.
        best: whether to group texts by length, and to use a fused optimizer, and bf16 if the CPU multiplies it fast.
        size: the examples of a batch.
    """
    import transformers

    from bertkit.engines.processor import multiplies_bf16

    tokens: list[int] = []

    class Reported(transformers.TrainerCallback):
        def on_train_begin(self, *arguments: Any, **named: Any) -> None:
            turns.wait()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **named: Any) -> Any:
            control.should_training_stop = not turns.step(sum(tokens))
            tokens.clear()
            return control

    def counted(some: list[dict[str, Any]]) -> Mapping[str, Any]:
        tokens.append(sum(len(one["input_ids"]) for one in some))
        return collate(some)

    settings: dict[str, Any] = {}
    if best:
        settings = {
            "train_sampling_strategy": "group_by_length",
            "optim": "adamw_torch_fused",
            "bf16": multiplies_bf16(),
        }
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, per_device_train_batch_size=size, max_steps=10**6, use_cpu=True, report_to="none", save_strategy="no",
            disable_tqdm=True, dataloader_pin_memory=False, remove_unused_columns=False, **settings,
        )  # fmt: skip
        trainer = transformers.Trainer(model, arguments, counted, train_dataset=examples, callbacks=[Reported()])
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()


# --------------------------------------------------------------------------------------------------------------- the referee


class Process:
    """The process of a contestant: a script with `--serve`."""

    def __init__(self, script: str, words: Sequence[str], errors: int | None, first: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        if first:
            self._send(first)
        self.turns: list[list[float]] = []

    def _send(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def turn(self, steps: int) -> list[float]:
        """Return tokens, seconds, peak bytes and operations of several steps."""
        assert self.process.stdout
        self._send(str(steps))
        for line in self.process.stdout:
            if line.startswith("["):
                found: list[float] = json.loads(line)
                return found
        raise SystemExit(f"{' '.join(self.process.args)!r} stopped: run it with --show-errors to see why.")  # type: ignore[arg-type]

    def close(self) -> None:
        """End the process."""
        self._send("0")
        self.process.wait()


def take_turns(
    processes: Mapping[str, Process], options: argparse.Namespace, before: Callable[[], object] = lambda: None
) -> dict[str, dict[str, Any]]:
    """Return the speed and the peak memory of each contestant, and the ratios of the first to the others.

    Args:
        processes: the contestants by name. They are closed at the end.
        options: those of `add_options`.
        before: called before each round.
    """
    for process in processes.values():
        process.turn(1)  # the first step also allocates
    order, spent = list(processes), dict.fromkeys(processes, 0.0)
    rounds = 0
    while rounds < options.rounds or min(spent.values()) < options.seconds:
        before()
        order.reverse()
        for name in order:
            own = processes[name]
            if spent[name] < options.seconds or rounds < options.rounds:
                own.turns.append(own.turn(options.steps))
                spent[name] += own.turns[-1][1]
        rounds += 1
    for process in processes.values():
        process.close()
    turns = {name: np.array(process.turns) for name, process in processes.items()}
    first = next(iter(turns))
    return {name: _figures(own, turns[first]) for name, own in turns.items()}


def _figures(turns: np.ndarray, first: np.ndarray) -> dict[str, Any]:
    """Return figures from tokens, seconds, peaks and operations of turns [turns, 4]."""
    rng = np.random.default_rng(0)

    def speed(some: np.ndarray, column: int = 0) -> float:
        return float(some[:, column].sum() / some[:, 1].sum())

    drawn = sorted(speed(rng.choice(first, len(first))) / speed(rng.choice(turns, len(turns))) for _ in range(400))
    return {
        "tokens_per_second": speed(turns),
        "ours_faster": speed(first) / speed(turns),
        "interval": [drawn[10], drawn[-11]],
        "peak": float(turns[:, 2].max()),
        "ours_memory": float(first[:, 2].max() / turns[:, 2].max()),
        "flops_per_second": speed(turns, 3),
        "turns": len(turns),
    }


def show(title: str, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the figures of the contestants."""
    first, wide = next(iter(figures)), max(16, *(len(name) + 2 for name in figures))
    print(f"\n{title} (ratios: {first} to each)")
    print(f"  {'':<{wide}}{'tokens/s':>10}{'faster':>16}{'interval':>14}{'peak, MB':>10}{'memory':>14}")
    for name, one in figures.items():
        low, high = one["interval"]
        print(
            f"  {name:<{wide}}{one['tokens_per_second']:>10,.0f}{one['ours_faster']:>15.2f}x{low:>7.2f} -{high:>5.2f}"
            f"{one['peak'] / 1e6:>10,.0f}{one['ours_memory']:>14.2f}",
            flush=True,
        )


def processor() -> str:
    """Return the name of the CPU, with its cores and its instructions for products."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    able = [
        flag
        for flag in ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
        if flag in flags
    ]
    return f"{name}, {os.cpu_count()} cores, {' '.join(able) or 'no AVX2'}"
