"""Memory of `bertkit embed` over many short lines, at ten points of the job and while its output is written.

    python benchmarks/bulk.py [--lines 1000000] [--output vectors.npy] [--json FILE] [options of embed]

The lines have 1 to 8 random words, and the model is a random one with 2 layers of 32. A figure is the memory of all processes of
the job that is not shared with files (RssAnon of Linux). The number of rows is that in the unfinished file.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where tokenizers.py hides the package of the same name

WORDS = [a + b + c for a in "bdfgklmnprstvz" for b in "aeiou" for c in ("", "n", "r", "st")]


def make_model(folder: Path) -> None:
    """Save a random model with a vocabulary of the words."""
    import numpy as np

    from bertkit import BertConfig, BertTokenizerFast, save_checkpoint
    from bertkit.parameters import expand, initial

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    config = BertConfig(vocab_size=5 + len(WORDS), max_position_embeddings=64, **sizes)
    rng = np.random.default_rng(0)
    needed = expand(config, "Model")
    save_checkpoint(folder, {name: initial(one, config, rng) for name, one in needed.items()}, config, "Model")
    BertTokenizerFast(folder / "vocab.txt", model_max_length=64).save_pretrained(folder)


def make_lines(path: Path, count: int) -> None:
    """Write lines of random words."""
    rng = random.Random(0)
    with path.open("w") as file:
        for _ in range(count):
            file.write(" ".join(rng.choices(WORDS, k=rng.randint(1, 8))) + "\n")


def memory(process: int) -> float:
    """Return the megabytes of a process and its children that are not shared with files; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return 0.0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return (int(found[1]) / 1024 if found else 0.0) + sum(memory(int(child)) for child in children)


def rows_in(part: Path) -> int:
    """Return the number of rows in the unfinished file."""
    try:
        with part.open("rb") as file:
            file.seek(max(part.stat().st_size - 200, 0))
            marks = re.findall(rb"\n# (\d+) ", file.read())
    except OSError:
        return 0
    return int(marks[-1]) if marks else 0


def measured(words: list[str], part: Path, lines: int) -> list[dict[str, Any]]:
    """Run a job. Returns the rows, seconds and megabytes at ten points, and the most while the output is written."""
    began, points = time.monotonic(), list[dict[str, Any]]()
    writing = 0.0
    job = subprocess.Popen(words)
    while job.poll() is None:
        rows, now = rows_in(part), memory(job.pid)
        if rows >= lines:
            writing = max(writing, now)
        elif rows >= (len(points) + 1) * lines // 10:
            points.append({"rows": rows, "seconds": round(time.monotonic() - began, 1), "megabytes": round(now, 1)})
        time.sleep(0.02)
    if job.returncode:
        raise SystemExit(job.returncode)
    end = {"rows": lines, "seconds": round(time.monotonic() - began, 1), "megabytes": round(writing, 1)}
    return [*points, end]


def main() -> None:
    """Print the memory of a job as a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--output", default="vectors.npy")
    parser.add_argument("--json", type=Path)
    given, further = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model")
        make_lines(folder / "lines.txt", given.lines)
        out = folder / given.output
        words = [sys.executable, "-m", "bertkit", "embed", "--model", str(folder / "model"), "--output", str(out)]
        words += ["--input", str(folder / "lines.txt"), *further]
        points = measured(words, Path(f"{out}.part"), given.lines)
    print("      rows   seconds   megabytes")
    for point in points:
        print(f"{point['rows']:10,}{point['seconds']:10.1f}{point['megabytes']:12.1f}")
    if given.json:
        given.json.write_text(json.dumps({"lines": given.lines, "options": further, "points": points}))


if __name__ == "__main__":
    main()
