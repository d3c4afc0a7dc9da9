"""Time and memory of a forward and of a training step, compared with transformers, on full batches and realistic lengths.

    python benchmarks/attention.py [--size base] [--device cpu] [--dtype float32] [--rounds 3] [--seconds 30] [--texts 128]
                                   [--only mix|table] [--passes inference training] [--json FILE] [--png FILE]

The table has the batches of BERT's page in the documentation of transformers: 1 to 16 texts of 128, 256 and 512 tokens, full and
with realistic lengths (lognormal, median 40, 95th percentile 200) padded to the longest. The mix is a stream of texts of such
lengths in batches of 32, in training of 16. Each contestant is a separate process. They run in turns, in alternating order, for
at least the given rounds and seconds. A time is the median of the rounds. A ratio is the median of the ratios of each round, with
a 95 percent bootstrap interval. Memory is the peak of a step with weights, gradients and optimizer, without the memory of the
imports; "nan" means that the system killed the contestant for lack of memory.

    transformers eager, sdpa    BertModel, or in training BertForMaskedLM with AdamW (fused), of transformers
    bertkit eager, sdpa         the same classes of bertkit, called in the same way
    bertkit packed              the same, called with packed tokens and their lengths
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

CONTESTANTS = ("transformers eager", "transformers sdpa", "bertkit eager", "bertkit sdpa", "bertkit packed")
BATCHES, LENGTHS = (1, 2, 4, 8, 16), (128, 256, 512)


def real_lengths(count: int, longest: int, seed: int) -> list[int]:
    """Realistic lengths of texts: lognormal, median 40, 95th percentile 200, limited to `longest`."""
    rng = random.Random(seed)
    return [min(longest, max(3, round(math.exp(rng.gauss(math.log(40), math.log(5) / 1.645))))) for _ in range(count)]


# ------------------------------------------------------------------------------------------------------------- the contestant


def resident(field: str) -> int:
    """The memory of this process in bytes: VmRSS, or VmHWM for its peak."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise ValueError(field)


class Contestant:
    """One library with one kind of attention, in a separate process."""

    def __init__(self, name: str, size: str, device: str, dtype: str) -> None:
        import torch

        self.torch, self.packed, self.device = torch, name.endswith("packed"), device
        self.base = resident("VmRSS")
        library, attention = name.split()
        if library == "transformers":
            import transformers as library_
        else:
            import bertkit as library_  # type: ignore[no-redef]
        from bertkit import BertConfig

        shape = BertConfig.named(size).to_diff_dict()
        for key in ("model_type", "position_embedding_type"):
            shape.pop(key, None)
        config = library_.BertConfig(**shape)
        self.base = resident("VmRSS")
        implementation = "sdpa" if attention == "packed" else attention
        torch.manual_seed(0)
        if library == "transformers":
            config._attn_implementation = implementation
        self.model = library_.BertForMaskedLM(config).to(device, getattr(torch, dtype))
        if library == "bertkit":
            self.model.set_attn_implementation(implementation)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=True)

    def batch(self, lengths: list[int]) -> dict[str, Any]:
        """Random words, 15 percent of them masked."""
        torch = self.torch
        rng = torch.Generator().manual_seed(sum(lengths))
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        ids = torch.randint(1000, 30000, mask.shape, generator=rng) * mask
        masked = (torch.rand(mask.shape, generator=rng) < 0.15) & mask
        masked[:, 0] = True
        labels = torch.where(masked, ids, -100)
        if self.packed:
            batch = {"input_ids": ids[mask], "labels": labels[mask], "lengths": lengths}
        else:
            batch = {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}
        return {key: value.to(self.device) if hasattr(value, "to") else value for key, value in batch.items()}

    def step(self, batch: dict[str, Any], training: bool) -> None:
        """One forward, or one step of training."""
        if training:
            self.model(**batch).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return
        labels = batch.pop("labels", None)
        with self.torch.inference_mode():
            self.model.bert(**batch)
        batch["labels"] = labels

    def run(self, batches: list[list[int]], training: bool) -> dict[str, float]:
        """Seconds and peak bytes of the batches of these lengths."""
        import ctypes

        cuda = self.device.startswith("cuda")
        self.model.train(training)
        made = [self.batch(lengths) for lengths in batches]
        if cuda:
            self.torch.cuda.reset_peak_memory_stats()
            self.torch.cuda.synchronize()
        else:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        start = time.perf_counter()
        for batch in made:
            self.step(batch, training)
        if cuda:
            self.torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        peak = self.torch.cuda.max_memory_allocated() if cuda else resident("VmHWM") - self.base
        return {"seconds": seconds, "peak": peak}


def serve(options: argparse.Namespace) -> None:
    """Run the jobs on stdin, one JSON line each."""
    contestant = Contestant(options.serve, options.size, options.device, options.dtype)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(contestant.run(**json.loads(line))), flush=True)


# --------------------------------------------------------------------------------------------------------------- the referee


class Process:
    """The process of a contestant, as the referee sees it."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.command = [sys.executable, __file__, "--serve", name]
        self.command += ["--size", options.size, "--device", options.device, "--dtype", options.dtype]
        self.start()

    def start(self) -> None:
        """Start the process."""
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n", self.command

    def run(self, batches: list[list[int]], training: bool) -> dict[str, float]:
        """Seconds and peak bytes. If the process was killed for lack of memory, both are NaN, and it is started again."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"batches": batches, "training": training}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.close()
            if self.process.returncode != -signal.SIGKILL:
                raise SystemExit(f"{self.command} ended with {self.process.returncode}.")
            self.start()
            return {"seconds": math.nan, "peak": math.nan}
        answer: dict[str, float] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(
    processes: dict[str, Process], batches: list[list[int]], training: bool, options: argparse.Namespace
) -> dict[str, Any]:
    """For each contestant the median seconds, the speed relative to transformers sdpa and the peak, after a round to warm up."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in processes}
    order = list(processes)
    for name in order:
        processes[name].run(batches[:1], training)
    end = time.monotonic() + options.seconds
    while len(runs[order[0]]) < options.rounds or time.monotonic() < end:
        order.reverse()
        for name in order:
            runs[name].append(processes[name].run(batches, training))
    peer = runs["transformers sdpa"]
    rng = random.Random(0)
    figures = {}
    for name, of_one in runs.items():
        ratios = [b["seconds"] / a["seconds"] for a, b in zip(of_one, peer, strict=True)]
        drawn = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(400))
        figures[name] = {
            "seconds": statistics.median(run["seconds"] for run in of_one),
            "faster": statistics.median(ratios),
            "interval": [drawn[10], drawn[-11]],
            "rounds": len(ratios),
            "peak": max(run["peak"] for run in of_one),
        }
    return figures


def interval(one: dict[str, Any]) -> str:
    """The interval of the median ratio, as text."""
    low, high = one["interval"]
    return f"{low:.2f} - {high:.2f}"


def mix(processes: dict[str, Process], options: argparse.Namespace) -> dict[str, Any]:
    """Measure the stream of texts with realistic lengths, and the same number of full batches."""
    figures = {}
    lengths = real_lengths(options.texts, 512, 1)
    streams = {
        (False, "texts of real lengths by 32"): [lengths[i : i + 32] for i in range(0, len(lengths), 32)],
        (False, "full, 32 x 128"): [[128] * 32],
        (True, "texts of real lengths by 16"): [lengths[i : i + 16] for i in range(0, options.texts // 4, 16)],
        (True, "full, 16 x 128"): [[128] * 16],
    }
    for (training, what), batches in streams.items():
        if training not in options.passes:
            continue
        tokens = sum(map(sum, batches))
        padded = sum(len(batch) * max(batch) for batch in batches)
        found = compare(processes, batches, training, options)
        title = f"{'training' if training else 'inference'}, {what}: {tokens:,} tokens"
        theirs = found["transformers sdpa"]
        print(f"\n{title} ({padded / tokens:.2f} times as many with padding)")
        print(f"  {'':<22}{'tokens/s':>10}{'times sdpa':>12}{'interval':>14}{'peak, MB':>10}{'of sdpa':>9}")
        for name, one in found.items():
            rate, memory = tokens / one["seconds"], one["peak"] / theirs["peak"]
            print(
                f"  {name:<22}{rate:>10,.0f}{one['faster']:>12.2f}{interval(one):>14}{one['peak'] / 1e6:>10,.0f}{memory:>9.2f}",
                flush=True,
            )
        figures[title] = found
    return figures


def table(processes: dict[str, Process], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every batch size and length, training and inference, full and with realistic lengths."""
    rows = []
    for training in options.passes:
        for real in (False, True):
            print(f"\n{'training' if training else 'inference'}, {'texts of real lengths' if real else 'full batches'}")
            names = "".join(f"{name:>35}" for name in processes)
            print(f"  {'batch':>5}{'length':>7}{names}   seconds, peak MB, times sdpa")
            for batch in BATCHES:
                for length in LENGTHS:
                    lengths = real_lengths(batch, length, batch * length) if real else [length] * batch
                    found = compare(processes, [lengths], training, options)
                    cells = [
                        f"{one['seconds']:.3f} {one['peak'] / 1e6:>7,.0f} {one['faster']:.2f} ({interval(one)})"
                        for one in found.values()
                    ]
                    print(f"  {batch:>5}{length:>7}" + "".join(f"{cell:>35}" for cell in cells), flush=True)
                    rows.append({"training": training, "real": real, "batch": batch, "length": length, "found": found})
    return rows


def picture(rows: list[dict[str, Any]], path: str, title: str) -> None:
    """Draw the table as bars: the speed of each contestant relative to transformers sdpa."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    passes = sorted({row["training"] for row in rows})
    size = (15, 4 * len(passes))
    figure, axes = plt.subplots(len(passes), 2, figsize=size, sharex=True, squeeze=False, constrained_layout=True)
    shown = [name for name in rows[0]["found"] if name != "transformers sdpa"]
    colours = {
        "transformers eager": "#c8c8c8",
        "bertkit eager": "#9ecae1",
        "bertkit sdpa": "#3182bd",
        "bertkit packed": "#08519c",
    }
    for axis, (training, real) in zip(axes.flat, itertools.product(passes, (False, True)), strict=True):
        part = [row for row in rows if row["training"] == training and row["real"] == real]
        for i, name in enumerate(shown):
            faster = [row["found"][name]["faster"] for row in part]
            axis.bar([j + (i - 1.5) * 0.2 for j in range(len(part))], faster, 0.2, label=name, color=colours.get(name))
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_title(f"{'training' if training else 'inference'}, {'real lengths' if real else 'full batches'}")
        axis.set_xticks(range(len(part)), [f"{row['batch']}x{row['length']}" for row in part], rotation=60)
        axis.set_ylabel("times transformers sdpa")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(shown))
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the benchmark, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="base")
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="minimum for each line of the table")
    parser.add_argument("--texts", type=int, default=128, help="number of texts in the mix")
    parser.add_argument(
        "--contestants",
        default=",".join(CONTESTANTS),
        help="which to run, separated by commas; transformers sdpa is required",
    )
    parser.add_argument("--only", choices=["mix", "table"])
    passes = ("inference", "training")
    parser.add_argument("--passes", nargs="+", choices=passes, default=passes)
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--png", metavar="FILE", help="draw the table to this file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    options.passes = [name == "training" for name in passes if name in options.passes]
    processes = {name: Process(name, options) for name in options.contestants.split(",")}
    figures: dict[str, Any] = {}
    if options.only != "table":
        figures["mix"] = mix(processes, options)
    if options.only != "mix":
        figures["table"] = table(processes, options)
    for process in processes.values():
        process.close()
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if options.png and "table" in figures:
        picture(figures["table"], options.png, f"{options.size}, {options.device}, {options.dtype}")


if __name__ == "__main__":
    main()
