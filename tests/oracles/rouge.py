"""What rouge-score 0.1.2 finds for random summaries.

    python3.11 -m venv .venv-rouge
    .venv-rouge/bin/pip install rouge-score==0.1.2
    PYTHONPATH=tests/support .venv-rouge/bin/python tests/oracles/rouge.py

It writes tests/data/rouge.json: for each case of `rouge_cases`, the precision, recall and F1 of each kind of ROUGE, without and
with stemming.
"""

from __future__ import annotations

import json
from pathlib import Path

from rouge_cases import cases
from rouge_score import rouge_scorer

DATA = Path(__file__).parents[1] / "data" / "rouge.json"
KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def main() -> None:
    """Score all cases, and write the file."""
    lines = []
    for prediction, references in cases():
        own = []
        for stemming in (False, True):
            scores = rouge_scorer.RougeScorer(KINDS, use_stemmer=stemming).score_multi(references, prediction)
            own.append([[round(number, 9) for number in scores[kind]] for kind in KINDS])
        lines.append(json.dumps(own, separators=(",", ":")))
    DATA.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(f"{DATA}: {len(lines)} cases, {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    main()
