"""Time and memory of training steps, compared with the Trainer of transformers.

    python benchmarks/training.py [--widths minilm base] [--tasks classification ner mlm] [--seconds 25] [--rounds 3]
                                  [--lengths data|lognormal] [--batch-size 32] [--threads N] [--json FILE]

The models are slices: 2 layers of MiniLM's width (384) or of BERT-base's (768), a vocabulary of 30,522, random weights, the
default dropout. The lengths are those of real texts in the folder BERTKIT_DATA (classification: SST-2; NER: WNUT-17; MLM:
paragraphs of Wikipedia), or without it lognormal ones, median 40, 95th percentile 200, at most 512. The words are random.

    bertkit           Finetuner with its default settings: packed batches of texts of similar length
    Trainer           transformers' Trainer with its default settings: float32, batches in random order
    Trainer, best     the same with texts of similar length in a batch, fused AdamW, and bf16 if the CPU has AMX for it

All use the same examples and batch size, and pad, if they do, to the longest text of a batch. Each is a separate process. They
take turns, in alternating order, for at least the given seconds and rounds each; a turn is several steps. Speed is the number of
tokens without padding, divided by the time. A ratio is that of all turns, with a 95 percent bootstrap interval. Memory is the
peak over all steps, with weights, gradients and optimizer, without the memory of the imports.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

import numpy as np

CONTESTANTS = ("bertkit", "Trainer", "Trainer, best")
HEADS = {"classification": "ForSequenceClassification", "ner": "ForTokenClassification", "mlm": "ForMaskedLM"}
WIDTHS = {"tiny": (64, 1), "minilm": (384, 12), "base": (768, 12)}  # hidden size and heads
LABELS = {"classification": 2, "ner": 13, "mlm": 2}
IGNORED, LONGEST = -100, 512


# ------------------------------------------------------------------------------------------------------------- the examples


def lengths_of(task: str, source: str, count: int) -> list[int]:
    """Return the numbers of tokens of texts."""
    rng = random.Random(1)
    folder = os.environ.get("BERTKIT_DATA")
    if source == "lognormal" or not folder:
        deviation = math.log(5) / 1.645
        return [min(LONGEST, max(3, round(math.exp(rng.gauss(math.log(40), deviation))))) for _ in range(count)]
    import bertkit

    data = Path(folder)
    tokenizer = bertkit.BertTokenizerFast(vocab_file=data / "vocab" / "bert-base-uncased.txt")
    texts = list(islice(TEXTS[task](data), 40_000))
    chosen = rng.sample(texts, min(count, len(texts)))
    ids = tokenizer(chosen, truncation=True, max_length=LONGEST)["input_ids"]
    return [max(3, len(own)) for own in ids]


def _sst2(data: Path) -> Iterator[str]:
    with open(data / "glue" / "SST-2" / "train.tsv", encoding="utf-8") as file:
        next(file)
        yield from (line.split("\t")[0] for line in file)


def _wnut17(data: Path) -> Iterator[str]:
    words: list[str] = []
    with open(data / "wnut17" / "wnut17train.conll", encoding="utf-8") as file:
        for line in file:
            if line.strip():
                words.append(line.split("\t")[0])
            elif words:
                yield " ".join(words)
                words = []


def _wikipedia(data: Path) -> Iterator[str]:
    with lzma.open(data / "wikipedia" / "en-0.txt.xz", "rt", encoding="utf-8") as file:
        yield from (line.strip() for line in file if line.strip())


TEXTS: dict[str, Callable[[Path], Iterator[str]]] = {"classification": _sst2, "ner": _wnut17, "mlm": _wikipedia}


def examples_of(task: str, lengths: list[int]) -> list[dict[str, Any]]:
    """Return random words with labels: of a text, of each word, or of the 15 percent of words that are masked."""
    rng = np.random.default_rng(0)
    found = []
    for length in lengths:
        ids = rng.integers(1000, 30000, length)
        labels: Any = int(rng.integers(2))
        if task == "ner":
            labels = np.where(rng.random(length) < 0.8, rng.integers(0, LABELS["ner"], length), IGNORED)
        if task == "mlm":
            masked = rng.random(length) < 0.15
            masked[1] = True
            labels = np.where(masked, ids, IGNORED)
            ids = np.where(masked, 103, ids)
        found.append({"input_ids": ids, "labels": labels})
    return found


# ------------------------------------------------------------------------------------------------------------ the contestants


class Turns:
    """The turns of a process: after each, it reports tokens, seconds and the peak of its memory, and waits for the next."""

    def __init__(self, base: int) -> None:
        self.base, self.steps = base, 0

    def wait(self) -> bool:
        """Wait for the number of steps of the next turn. Return whether there is one."""
        line = sys.stdin.readline()
        self.steps, self.tokens = int(line or 0), 0
        self.start = time.perf_counter()
        return self.steps > 0

    def step(self, tokens: int) -> bool:
        """Count a step. Return whether to continue."""
        self.steps, self.tokens = self.steps - 1, self.tokens + tokens
        if self.steps > 0:
            return True
        seconds = time.perf_counter() - self.start
        print(json.dumps([self.tokens, seconds, resident("VmHWM") - self.base]), flush=True)
        return self.wait()


def resident(field: str) -> int:
    """Return the memory of this process in bytes: VmRSS, or VmHWM for its peak."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise ValueError(field)


def started() -> Turns:
    """Begin the measurement, after all imports."""
    base = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    return Turns(base)


def sizes(task: str, width: str) -> dict[str, int]:
    """Return the fields of a configuration."""
    hidden, heads = WIDTHS[width]
    return {
        "vocab_size": 30522,
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "num_labels": LABELS[task],
    }


def train_ours(options: argparse.Namespace, examples: list[dict[str, Any]]) -> None:
    """Train with bertkit's Finetuner. Its first step has the longest texts, as those of the others have."""
    import bertkit
    from bertkit.data.batches import Row, Target
    from bertkit.training.batches import batches_of
    from bertkit.training.loop import Finetuner
    from bertkit.training.objectives import objective_of
    from bertkit.training.options import Settings

    turns, head = started(), HEADS[options.task]
    grain = "row" if options.task == "classification" else "token"
    units = [
        [Row(one["input_ids"], np.zeros_like(one["input_ids"]), targets={"labels": Target(one["labels"], grain)})]
        for one in examples
    ]
    model = getattr(bertkit, f"Bert{head}")(bertkit.BertConfig(**sizes(options.task, options.width)))
    problem = "single_label_classification" if options.task == "classification" else None
    settings = Settings(task="text-classification", model="", train="", batch_size=options.batch_size, max_steps=10**6)
    tuner = Finetuner(model, units, objective_of(head, problem), settings)
    longest = sorted(units, key=lambda unit: -len(unit[0]))[: options.batch_size]
    turns.wait()
    more = turns.step(tuner.step(batches_of(longest, settings.batch_tokens)).tokens)
    while more:
        more = turns.step(tuner.step().tokens)


def train_theirs(options: argparse.Namespace, examples: list[dict[str, Any]], best: bool) -> None:
    """Train with the Trainer of transformers."""
    import torch
    import transformers

    from bertkit.engines.processor import multiplies_bf16

    turns = started()

    class Reported(transformers.TrainerCallback):
        def on_train_begin(self, *arguments: Any, **named: Any) -> None:
            turns.wait()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **named: Any) -> Any:
            control.should_training_stop = not turns.step(sum(tokens))
            tokens.clear()
            return control

    tokens: list[int] = []

    def padded(some: list[dict[str, Any]]) -> dict[str, Any]:
        lengths = torch.tensor([len(one["input_ids"]) for one in some])
        tokens.append(int(lengths.sum()))
        shape, labels = (len(some), int(lengths.max())), torch.tensor([0] * len(some))
        ids, of_words = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
        for row, one in enumerate(some):
            ids[row, : lengths[row]] = torch.from_numpy(one["input_ids"])
            if options.task == "classification":
                labels[row] = one["labels"]
            else:
                of_words[row, : lengths[row]] = torch.from_numpy(one["labels"])
        mask = (torch.arange(shape[1]) < lengths[:, None]).long()
        given = labels if options.task == "classification" else of_words
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids), "labels": given}

    settings: dict[str, Any] = {}
    if best:
        settings = {
            "train_sampling_strategy": "group_by_length",
            "optim": "adamw_torch_fused",
            "bf16": multiplies_bf16(),
        }
    head = HEADS[options.task]
    model = getattr(transformers, f"Bert{head}")(transformers.BertConfig(**sizes(options.task, options.width)))
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=options.batch_size,
            max_steps=10**6,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **settings,
        )
        trainer = transformers.Trainer(
            model, arguments, data_collator=padded, train_dataset=examples, callbacks=[Reported()]
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()


def serve(options: argparse.Namespace) -> None:
    """Be a contestant: train, several steps for each line of stdin."""
    import torch

    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    examples = examples_of(options.task, json.loads(sys.stdin.readline()))
    if options.serve == "bertkit":
        train_ours(options, examples)
    else:
        train_theirs(options, examples, best=options.serve.endswith("best"))


# --------------------------------------------------------------------------------------------------------------- the referee


class Process:
    """The process of a contestant."""

    def __init__(self, name: str, task: str, width: str, lengths: list[int], options: argparse.Namespace) -> None:
        words = ["--serve", name, "--task", task, "--width", width, "--batch-size", str(options.batch_size)]
        words += ["--threads", str(options.threads)]
        command = [sys.executable, __file__, *words]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=options.errors, text=True
        )
        self._send(json.dumps(lengths))
        self.turns: list[list[float]] = []

    def _send(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def turn(self, steps: int) -> list[float]:
        """Return tokens, seconds and peak bytes of several steps."""
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


def measure(task: str, width: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the speed and the peak memory of each contestant, and the ratios of the first to the others."""
    lengths = lengths_of(task, options.lengths, options.texts)
    processes = {name: Process(name, task, width, lengths, options) for name in options.contestants}
    for process in processes.values():
        process.turn(1)  # the first step also allocates
    order, spent = list(processes), dict.fromkeys(processes, 0.0)
    rounds = 0
    while rounds < options.rounds or min(spent.values()) < options.seconds:
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
    """Return figures from tokens, seconds and peaks of turns [turns, 3]."""
    rng = np.random.default_rng(0)

    def speed(some: np.ndarray) -> float:
        return float(some[:, 0].sum() / some[:, 1].sum())

    drawn = sorted(speed(rng.choice(first, len(first))) / speed(rng.choice(turns, len(turns))) for _ in range(400))
    return {
        "tokens_per_second": speed(turns),
        "ours_faster": speed(first) / speed(turns),
        "interval": [drawn[10], drawn[-11]],
        "peak": float(turns[:, 2].max()),
        "ours_memory": float(first[:, 2].max() / turns[:, 2].max()),
        "turns": len(turns),
    }


def processor() -> str:
    """Return the name of the CPU, with its cores and whether it multiplies bf16 natively."""
    from bertkit.engines.processor import multiplies_bf16

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{name}, {os.cpu_count()} cores, {'AMX bf16' if multiplies_bf16() else 'no AMX bf16'}"


def main() -> None:
    """Run the benchmark, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", nargs="+", default=["minilm", "base"], choices=WIDTHS)
    parser.add_argument("--tasks", nargs="+", default=list(HEADS), choices=HEADS)
    parser.add_argument("--contestants", nargs="+", default=CONTESTANTS, choices=CONTESTANTS)
    parser.add_argument("--seconds", type=float, default=25, help="minimum for each contestant and figure")
    parser.add_argument("--rounds", type=int, default=3, help="minimum of turns")
    parser.add_argument("--steps", type=int, default=2, help="steps of a turn")
    parser.add_argument("--texts", type=int, default=1600, help="number of examples")
    parser.add_argument("--lengths", default="data", choices=["data", "lognormal"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show-errors", dest="errors", action="store_const", const=None, default=subprocess.DEVNULL)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--width", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    found: dict[str, Any] = {"processor": processor(), "figures": {}}
    source = "real texts" if options.lengths == "data" and "BERTKIT_DATA" in os.environ else "lognormal lengths"
    print(f"{found['processor']}; {source}, batches of {options.batch_size}")
    for width in options.widths:
        for task in options.tasks:
            print(f"\n{task}, 2 layers of {WIDTHS[width][0]}")
            print(
                f"  {'':<16}{'tokens/s':>10}{'bertkit faster':>16}{'interval':>14}{'peak, MB':>10}{'bertkit uses':>14}"
            )
            figures = found["figures"][f"{task} {width}"] = measure(task, width, options)
            for name, one in figures.items():
                low, high = one["interval"]
                print(
                    f"  {name:<16}{one['tokens_per_second']:>10,.0f}{one['ours_faster']:>15.2f}x{low:>7.2f} -{high:>5.2f}"
                    f"{one['peak'] / 1e6:>10,.0f}{one['ours_memory']:>14.2f}",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
