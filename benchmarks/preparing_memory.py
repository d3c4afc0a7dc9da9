"""Memory of `bertkit prepare` over a large generated corpus, and its slope over what has been written.

    BERTKIT_DATA=... python benchmarks/preparing_memory.py [--megabytes 1000] [--json FILE] [options of prepare]

The corpus has documents of random words, as frequent as Zipf's law says, and the vocabulary of bert-base-uncased. A figure is the
memory of all processes of the job that is not shared with files (RssAnon of Linux). The slope is that of the line of least
squares after the first fifth of the job, in which processes start and tables fill.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from bulk import memory
from preparing import VOCABULARY

_DOCUMENTS = 3000  # different ones, which are drawn again and again


def make_corpus(path: Path, size: int) -> None:
    """Write documents of random words until the file has a size in bytes."""
    words = [word for word in VOCABULARY.read_text("utf-8").split("\n") if word.isalpha()]
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, len(words) + 1)

    drawn = iter(rng.choice(words, 2**21, p=share / share.sum()).tolist())

    def sentence() -> str:
        return " ".join(islice(drawn, int(rng.integers(5, 30)))).capitalize() + ".\n"

    documents = ["".join(sentence() for _ in range(rng.integers(10, 60))) + "\n" for _ in range(_DOCUMENTS)]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            file.writelines(documents[number] for number in rng.integers(0, _DOCUMENTS, 1000))


def measured(words: list[str], out: Path) -> list[tuple[float, float, float]]:
    """Run a job. Return its seconds, the megabytes in its output, and those of its memory, several times a second."""
    began, points = time.monotonic(), []
    job = subprocess.Popen(words)
    while job.poll() is None:
        written = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) if out.exists() else 0
        points.append((time.monotonic() - began, written / 1e6, memory(job.pid)))
        time.sleep(0.25)
    if job.returncode:
        raise SystemExit(job.returncode)
    return points


def summary(points: list[tuple[float, float, float]]) -> dict[str, Any]:
    """Return the peak, the slope, and ten points."""
    seconds, written, used = np.array(points).T
    late = written > written.max() / 5
    slope = float(np.polyfit(written[late], used[late], 1)[0]) * 1000
    rows = [points[int(at)] for at in np.linspace(0, len(points) - 1, 11)[1:]]
    return {"seconds": seconds[-1], "written": written[-1], "peak": used.max(), "slope": slope, "points": rows}


def main() -> None:
    """Print the memory of a job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given, further = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokenizer").mkdir()
        (folder / "tokenizer" / "vocab.txt").write_bytes(VOCABULARY.read_bytes())
        make_corpus(folder / "corpus.txt", given.megabytes * 10**6)
        words = [sys.executable, "-m", "bertkit", "prepare", str(folder / "corpus.txt")]
        words += ["--tokenizer", str(folder / "tokenizer"), "--out", str(folder / "shards"), *further]
        found = summary(measured(words, folder / "shards"))
    print("  seconds  written, MB  memory, MB")
    for seconds, written, used in found["points"]:
        print(f"{seconds:9.0f}{written:13.0f}{used:12.0f}")
    print(f"peak {found['peak']:.0f} MB, slope {found['slope']:.1f} MB for each GB written")
    if given.json:
        given.json.write_text(json.dumps({"megabytes": given.megabytes, "options": further, **found}))


if __name__ == "__main__":
    main()
